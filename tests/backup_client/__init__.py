"""The reference client of the encrypted backup: library, command, vectors, browser module."""
