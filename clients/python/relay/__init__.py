"""A client of the relay for a terminal: it shows the doors at work. It is no messenger."""
