"""One observed room: the people in it, their permits and taps, and what is published about them."""
