"""The relay and Signal's own library: real clients, and what they sign."""
