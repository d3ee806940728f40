"""The console's pages of Durable Objects: a look that wakes, changes and locks nobody."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from durable.contract import DurableObject
from tests.support.console_visit import PROBES, Visitor, assert_tame, words
from tests.support.running_host import RunningHost
from tests.support.waiting import until
from worker.entry.host_tools import HostTools

CLASS = "Shelf"


class Shelf(DurableObject):
    """Stores what it is told, in every way there is."""

    woken = 0

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        Shelf.woken += 1

    async def put(self, entries: dict[str, Any]) -> None:
        """Store values."""
        for key, value in entries.items():
            await self.ctx.storage.put(key, value)

    async def sql(self, *statements: str) -> None:
        """Run SQL."""
        for statement in statements:
            self.ctx.storage.sql.exec(statement)

    async def ring(self, when_ms: int) -> None:
        """Set the alarm."""
        await self.ctx.storage.set_alarm(when_ms)

    async def alarm(self, info: Any) -> None:
        """Nothing to do."""

    async def watch(self, tags: list[str], attachment: Any) -> None:
        """Accept a socket."""
        client, server = HostTools().socket_pair()
        self.ctx.accept_web_socket(server, tags)
        server.serialize_attachment(attachment)
        self.client = client

    async def hold(self, seconds: float) -> None:
        """Write, and stay inside the transaction for a while."""

        async def inside(transaction: Any) -> None:
            await transaction.put("held", "inside")
            await asyncio.sleep(seconds)

        await self.ctx.storage.transaction(inside)

    async def total(self) -> int:
        """Return how many values there are."""
        return len(await self.ctx.storage.list())


@pytest.fixture
async def shelves(host: RunningHost) -> AsyncIterator[Any]:
    """A class of actors that the host did not know, bound as SHELF."""
    Shelf.woken = 0
    namespace = host.opened.actors.bind(CLASS, Shelf, host.env)
    config = host.opened.config
    config.actors["SHELF"] = CLASS  # type: ignore[index]  # a dict behind its type
    # Env has no place for a binding of tests; the console only asks it for names.
    host_env = type(host.env)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(host_env, "shelf", namespace, raising=False)
    yield namespace
    monkey.undo()


def page_of(stub: Any) -> str:
    """The address of an object."""
    return f"/objects/{CLASS}/{stub.id.hex}"


async def test_classes_lead_to_objects_in_memory_and_on_disk(
    host: RunningHost, shelves: Any
) -> None:
    """The list counts who lives; the class tells who is in memory and who has a file."""
    await shelves.get_by_name("front").call("put", {"a": 1})
    await shelves.get_by_name("quiet").call("total")
    visitor = Visitor(host)

    listing = words(await visitor.get("/objects"))
    page = words(await visitor.get(f"/objects/{CLASS}"))
    in_memory, _, on_disk = page.partition("With a file")

    assert "Shelf SHELF 2 2 0" in listing
    assert "front awake" in in_memory
    assert "quiet awake" in in_memory
    assert "front" in on_disk
    assert "quiet" not in on_disk


async def test_an_object_tells_values_by_type_and_size(host: RunningHost, shelves: Any) -> None:
    """Every type of value says what it is; long ones are cut and say so."""
    room = shelves.get_by_name("types")
    await room.call(
        "put",
        {
            "number": 42,
            "text": "words",
            "blob": b"\x00\xff" * 100,
            "list": [1, "two"],
            "dict": {"three": 3},
            "when": datetime(2026, 11, 21, tzinfo=UTC),
            "umlaut": "ü",
            "long": "x" * 50_000,
            "longer": "y" * 100_000,
        },
    )

    page = words(await Visitor(host).get(page_of(room)))

    for text in (
        "number 42 int 2",
        "text words text 7",
        "200 bytes, 32 shown blob 200",
        "umlaut ü text 4",
        '[1, "two"] 2 entries',
        '{"three": 3} 1 entry',
        "2026-11-21T00:00:00+00:00",
        "50,000 characters, 2,000 shown",
        "100,002 characters, 2,000 shown json",
    ):
        assert text in page, text


async def test_pages_of_values_hold_every_key_once(host: RunningHost, shelves: Any) -> None:
    """Keys go on where the page ended, also when large values end a page early."""
    room = shelves.get_by_name("many")
    await room.call("put", {f"key-{number:03}": number for number in range(120)})
    await room.call("put", {f"key-9{number:02}": b"x" * 1_500_000 for number in range(6)})
    visitor = Visitor(host)
    seen: list[str] = []
    path = page_of(room)

    while path:
        page = await visitor.get(path)
        seen += re.findall(r"<code>(key-\d+)</code>", page)
        following = re.search(r'href="/_console([^"]+)" rel="next"', page)
        path = following[1].replace("&amp;", "&") if following else ""

    assert seen == [f"key-{n:03}" for n in range(120)] + [f"key-9{n:02}" for n in range(6)]


async def test_tables_alarm_and_sockets_are_told(host: RunningHost, shelves: Any) -> None:
    """SQL tables with rows, when the alarm rings, how many sockets with which tags."""
    room = shelves.get_by_name("full")
    await room.call(
        "sql",
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)",
        "INSERT INTO notes VALUES (1, 'first'), (2, NULL)",
        "CREATE VIEW forever AS WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    )
    await room.call("ring", int((host.env.tools.now() + 3600 * 5) * 1000))
    await room.call("watch", ["red", "blue"], {"who": "ada"})
    visitor = Visitor(host)

    page = await visitor.get(page_of(room))
    table = words(await visitor.get(page_of(room) + "/table?name=notes"))
    view = words(await visitor.get(page_of(room) + "/table?name=forever"))

    assert "notes table 2" in words(page)
    assert "in 4 h 59 min" in words(page) or "in 5 h" in words(page)
    assert "1; tags: red (1), blue (1)" in words(page)
    assert '{"who": "ada"}' in words(page)
    assert "_cf_" not in page
    assert "1 first" in table
    assert "NULL" in table
    assert "are not read here" in view


async def fall_asleep(host: RunningHost) -> None:
    """Let the idle time pass."""
    host.clock.forward(host.opened.actors.timing.idle_seconds + 1)
    await host.opened.actors.tick()


async def test_looking_wakes_nobody(host: RunningHost, shelves: Any) -> None:
    """An object that sleeps is read from its file, with its name, and goes on sleeping."""
    room = shelves.get_by_name("sleeper")
    await room.call("put", {"dream": "deep"})
    await fall_asleep(host)
    woken = Shelf.woken
    visitor = Visitor(host)

    page = words(await visitor.get(page_of(room)))
    listing = words(await visitor.get(f"/objects/{CLASS}"))

    assert "sleeper" in page
    assert "asleep, not in memory" in page
    assert "deep" in page
    assert "sleeper" in listing
    assert Shelf.woken == woken
    assert host.opened.actors.live(CLASS) == []
    assert await room.call("total") == 1


async def test_looking_changes_no_byte(host: RunningHost, shelves: Any, tmp_path: Path) -> None:
    """Neither the file of a sleeping object nor what stands beside it is another afterwards."""
    room = shelves.get_by_name("still")
    await room.call("put", {"a": 1})
    await fall_asleep(host)
    folder = host.opened.actors.directory / CLASS / room.id.hex[:2]
    # A thread closes the file, and SQLite then clears away what stood beside it.
    await until(lambda: len(list(folder.iterdir())) == 1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    await Visitor(host).get(page_of(room))
    await asyncio.sleep(0.2)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert len(before) == 1


async def test_looking_and_working_do_not_meet(host: RunningHost, shelves: Any) -> None:
    """While an object is inside a transaction it can be looked at, and its writes are kept."""
    room = shelves.get_by_name("busy")
    await room.call("put", {"before": 1})
    work = asyncio.create_task(room.call("hold", 0.3))
    await asyncio.sleep(0.05)
    visitor = Visitor(host)

    for _ in range(5):
        await visitor.get(page_of(room))
    await work

    assert await room.call("total") == 2
    await room.call("put", {"after": 3})
    assert await room.call("total") == 3


async def test_a_look_cannot_write(host: RunningHost, shelves: Any) -> None:
    """The engine refuses to write while a look lasts, and writes again after it."""
    room = shelves.get_by_name("guarded")
    await room.call("put", {"a": 1})

    with pytest.raises(Exception, match="attempt to write a readonly database"):
        host.opened.actors.look_with(
            CLASS, room.id.hex, lambda connection: connection.execute("DELETE FROM _cf_KV")
        )

    await room.call("put", {"b": 2})
    assert await room.call("total") == 2


async def test_a_look_that_takes_long_is_interrupted(host: RunningHost, shelves: Any) -> None:
    """Nothing that a table holds can keep the loop: a look ends after a moment."""
    room = shelves.get_by_name("slow")
    await room.call("put", {"a": 1})
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

    with pytest.raises(Exception, match="interrupted"):
        host.opened.actors.look_with(CLASS, room.id.hex, lambda c: c.execute(endless).fetchone())

    assert await room.call("total") == 1


async def test_what_objects_store_never_becomes_markup(host: RunningHost, shelves: Any) -> None:
    """Names, keys, values, tables, tags and attachments that hold HTML are text."""
    visitor = Visitor(host)
    for probe in PROBES:
        room = shelves.get_by_name(probe)
        quoted = '"' + probe.replace('"', '""') + '"'
        text = "'" + probe.replace("'", "''") + "'"
        await room.call("put", {probe: probe, "list": [probe], "dict": {probe: probe}})
        await room.call(
            "sql", f"CREATE TABLE {quoted} ({quoted})", f"INSERT INTO {quoted} VALUES ({text})"
        )
        await room.call("watch", [probe], {"x": probe})
        page = await visitor.get(page_of(room))
        assert_tame(page)
        table = re.search(r'href="/_console([^"]+/table[^"]+)"', page)
        assert table is not None
        assert_tame(await visitor.get(table[1].replace("&amp;", "&")))
    assert_tame(await visitor.get(f"/objects/{CLASS}"))


async def test_an_object_is_found_by_its_name(host: RunningHost, shelves: Any) -> None:
    """The form leads from a name to the object, whether or not it exists."""
    room = shelves.get_by_name("a/b c")
    await room.call("put", {"a": 1})

    answer = await Visitor(host).ask("GET", f"/objects/{CLASS}?name=a%2Fb%20c")

    assert answer.status == 302
    assert answer.headers["Location"] == "/_console" + page_of(room)


async def test_pages_of_stored_objects_hold_every_one_once(host: RunningHost, shelves: Any) -> None:
    """More objects than a page shows are walked by "Next page"."""
    for number in range(60):
        await shelves.get_by_name(f"room-{number}.").call("put", {"a": 1})
    visitor = Visitor(host)
    seen: list[str] = []
    path = f"/objects/{CLASS}"

    while path:
        page = await visitor.get(path)
        seen += re.findall(r">(room-\d+\.)<", page.partition("With a file")[2])
        following = re.search(r'href="/_console([^"]+)" rel="next"', page)
        path = following[1].replace("&amp;", "&") if following else ""

    assert sorted(seen) == sorted(f"room-{number}." for number in range(60))


UNKNOWN = [
    ("/objects/Nope", 404),
    ("/objects/ImportRoom/abc", 404),
    ("/objects/ImportRoom/" + "0" * 64, 404),
    ("/objects/ImportRoom/..%2F..%2Fx", 404),
    ("/objects/ImportRoom/abc/table?name=x", 404),
    ("/objects/ImportRoom?after=zzz", 400),
]


async def test_unknown_names_and_altered_addresses_get_clear_pages(host: RunningHost) -> None:
    """404 for classes, ids and tables that are not there, 400 for altered positions."""
    for path, status in UNKNOWN:
        assert "<h1>" in await Visitor(host).get(path, status), path


async def test_an_object_that_stored_nothing_is_not_made_by_looking(
    host: RunningHost, shelves: Any
) -> None:
    """The id of an object that nobody called answers 404, and leaves no file behind."""
    room = shelves.get_by_name("nobody")

    await Visitor(host).get(page_of(room), 404)

    assert host.opened.actors.live(CLASS) == []
    assert host.opened.actors.stored(CLASS) == []
