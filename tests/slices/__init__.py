"""Slices, through the doors of a running host."""
