"""Numbers events and delivers them."""
