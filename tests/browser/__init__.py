"""A call with a real browser in it."""
