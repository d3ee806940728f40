"""Pages of a list: `limit` and `cursor` in the query, `next_cursor` in the answer (X23)."""

from typing import Any

from worker.codec import open_cursor, seal_cursor
from worker.env import Env
from worker.errors import BadRequest, InvalidCursor
from worker.limits import LIST_DEFAULT, LIST_MAX
from worker.web import Request


def page_size(request: Request) -> int:
    """Return how much a page may hold; raises `BadRequest`."""
    text = request.query.get("limit")
    if text is None:
        return LIST_DEFAULT
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= LIST_MAX):
        raise BadRequest(f"limit must be a whole number from 1 to {LIST_MAX}.")
    return int(text)


def position(request: Request, env: Env, purpose: str) -> Any:
    """Return where a page begins, None for the first; raises `InvalidCursor`."""
    cursor = request.query.get("cursor")
    if not cursor:
        return None
    try:
        return open_cursor(env.settings.cursor_key.reveal(), purpose, cursor)
    except ValueError:
        raise InvalidCursor("Start the list again without a cursor.") from None


def rest(env: Env, purpose: str, following: Any) -> dict[str, Any]:
    """Return the members of an answer that lead on to *following*, None at the end of the list."""
    key = env.settings.cursor_key.reveal()
    cursor = None if following is None else seal_cursor(key, purpose, following)
    return {"list_complete": following is None, "next_cursor": cursor}
