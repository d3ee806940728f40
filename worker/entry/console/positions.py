"""
Where a page of a list begins, as a sealed text in its address.

Sealed, because what comes back from an address bar is anything: only a position that this
deployment made for this very list is followed.
"""

from typing import TYPE_CHECKING, Any

from aiohttp import web

from worker.codec import open_cursor, seal_cursor

if TYPE_CHECKING:
    from worker.entry.console.frame import Console

FIELD = "after"


def seal(console: "Console", of: str, position: Any) -> str | None:
    """Return *position* (JSON-like) sealed for the list named *of*; None stays None."""
    if position is None:
        return None
    return seal_cursor(console.env.settings.cursor_key.reveal(), f"console:{of}", position)


def begin(console: "Console", request: web.Request, of: str) -> Any:
    """
    Return the position in the address of *request*, None when it names none.

    Raises `web.HTTPBadRequest` for one that was not made for the list named *of*.
    """
    text = request.query.get(FIELD)
    if not text:
        return None
    try:
        return open_cursor(console.env.settings.cursor_key.reveal(), f"console:{of}", text)
    except ValueError:
        raise bad_position() from None


def bad_position() -> web.HTTPBadRequest:
    """Return what answers a position that leads nowhere."""
    return web.HTTPBadRequest(
        text="This page of the list is unknown: its address was altered. Begin with the first page."
    )
