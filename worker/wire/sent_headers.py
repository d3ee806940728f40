"""
Headers that a page may send here: each declared once, where a door reads it.

A browser asks before a page of another origin sends one, and `worker.wire.cors` allows what is
declared. What every browser sends by itself, and what no page can set, needs no declaration; a test
finds a header that is read and is neither.
"""

_DECLARED: set[str] = set()


def sent(name: str) -> str:
    """Declare that pages may send the header *name*, and return it; for constants of a module."""
    _DECLARED.add(name)
    return name


def declared() -> str:
    """Return all that was declared, as Access-Control-Allow-Headers has it."""
    return ", ".join(sorted(_DECLARED))
