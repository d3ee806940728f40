"""
Durable Objects: classes, who is in memory, who has a file, and a look into one object.

Nothing here wakes an object, changes it or keeps it waiting (durable/looking.py).
"""

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from d1_schema.sqlite.engine import Connection, Error
from durable.contract import ObjectNamespace
from durable.looking import ObjectLook
from durable.values import stored_size
from worker.entry.console import positions
from worker.entry.console.table_reader import (
    PAGE_BYTES,
    BadPositionError,
    read_rows,
    relation,
    relations,
)
from worker.entry.console.value_cells import plain_cell, stored_cell

if TYPE_CHECKING:
    from worker.entry.console.frame import Console, Page

_LIVE_SHOWN: Final = 200
_PAGE_STORED: Final = 50
_PAGE_VALUES: Final = 50
_VALUE_CHARS: Final = 2000
_STATES: Final = {1: "open", 2: "closing", 3: "closed"}


async def classes(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the classes that the configuration binds, and how many objects are in memory."""
    rows = []
    for binding, name in console.opened.config.actors.items():
        live = console.opened.actors.live(name)
        awake, sockets = sum(one.is_awake for one in live), sum(one.sockets for one in live)
        rows.append((binding, name, len(live), awake, sockets))
    return console.render(request, "objects.html", classes=rows)


async def one_class(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the objects of a class; ?name= leads to the one of this name."""
    class_name = _class(console, request)
    name = request.query.get("name")
    if name:
        digits = _namespace(console, class_name).id_from_name(name).hex
        raise web.HTTPFound(f"/_console/objects/{class_name}/{digits}")
    of = f"objects:{class_name}"
    after = positions.begin(console, request, of)
    live = console.opened.actors.live(class_name)
    stored = console.opened.actors.stored(class_name, limit=_PAGE_STORED + 1, after=after or "")
    more, stored = len(stored) > _PAGE_STORED, stored[:_PAGE_STORED]
    return console.render(
        request,
        "objects_class.html",
        class_name=class_name,
        live=live[:_LIVE_SHOWN],
        live_total=len(live),
        stored=stored,
        is_first=after is None,
        next=positions.seal(console, of, stored[-1].id.hex) if more else None,
    )


async def one_object(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: one object: memory, alarm, sockets, values, tables."""
    class_name, found = _found(console, request)
    actors, digits = console.opened.actors, found.id.hex
    of = f"values:{class_name}:{digits}"
    after = positions.begin(console, request, of)
    values = actors.look_at_values(
        class_name, digits, after=after, limit=_PAGE_VALUES + 1, max_bytes=PAGE_BYTES
    )
    # A page that ended early for its bytes is not the last either: one more look tells.
    shown = values[:_PAGE_VALUES]
    more = bool(shown) and bool(
        actors.look_at_values(class_name, digits, after=shown[-1][0], limit=1, max_bytes=0)
    )
    return console.render(
        request,
        "object.html",
        class_name=class_name,
        object=found,
        states=_STATES,
        sockets=[(one, plain_cell(one.attachment)) for one in found.sockets],
        values=[
            (key, stored_size(value), stored_cell(value, _VALUE_CHARS)) for key, value in shown
        ],
        tables=_read(console, class_name, digits, relations) or [],
        is_first=after is None,
        next=positions.seal(console, of, shown[-1][0]) if more else None,
    )


async def table(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: a page of the rows of one table of an object."""
    class_name, found = _found(console, request)
    name = request.query.get("name", "")
    of = f"rows:{class_name}:{found.id.hex}:{name}"
    begin = positions.begin(console, request, of)

    def read(connection: Connection) -> Any:
        about = relation(connection, name)
        # Rows of a view may take any time, and the loop waits.
        if about is None or about.kind == "view":
            return about, None
        return about, read_rows(connection, about, begin)

    about, page = _read(console, class_name, found.id.hex, read) or (None, None)
    if about is None:
        raise web.HTTPNotFound(text="This object has no such table.")
    return console.render(
        request,
        "object_table.html",
        class_name=class_name,
        object=found,
        table=about,
        page=page,
        is_first=begin is None,
        next=positions.seal(console, of, page.next) if page is not None else None,
    )


def _read(console: "Console", class_name: str, digits: str, work: Any) -> Any:
    try:
        return console.opened.actors.look_with(class_name, digits, work)
    except BadPositionError:
        raise positions.bad_position() from None
    except Error as error:
        raise web.HTTPServiceUnavailable(
            text=f"The object's file cannot be read at this moment: {error}."
        ) from None


def _class(console: "Console", request: web.Request) -> str:
    name = request.match_info["class_name"]
    if name not in console.opened.actors.class_names:
        raise web.HTTPNotFound(text="No class of this name is bound.")
    return name


def _namespace(console: "Console", class_name: str) -> ObjectNamespace:
    binding = next(b for b, c in console.opened.config.actors.items() if c == class_name)
    found: ObjectNamespace = getattr(console.env, binding.lower())
    return found


def _found(console: "Console", request: web.Request) -> tuple[str, ObjectLook]:
    """Return class and object of the address; raises `web.HTTPNotFound`."""
    class_name = _class(console, request)
    try:
        found = console.opened.actors.look(class_name, request.match_info["id"])
    except TypeError:
        raise web.HTTPNotFound(text="This is no id of an object of this class.") from None
    except Error as error:
        raise web.HTTPServiceUnavailable(
            text=f"The object's file cannot be read at this moment: {error}."
        ) from None
    if found is None:
        raise web.HTTPNotFound(
            text="This object is not in memory and has no file: it has stored nothing, or nobody "
            "ever asked it anything."
        )
    return class_name, found


PAGES: "tuple[tuple[str, str, Page], ...]" = (
    ("GET", "/objects", classes),
    ("GET", "/objects/{class_name}", one_class),
    ("GET", "/objects/{class_name}/{id}", one_object),
    ("GET", "/objects/{class_name}/{id}/table", table),
)
