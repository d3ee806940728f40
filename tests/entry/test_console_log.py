"""The request log of the console: what is kept, filters, the live tail, its end."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession
from hypothesis import given
from hypothesis import strategies as st

from tests.support.console_visit import words
from tests.support.running_host import GRACE, RunningHost, running_host
from tests.support.waiting import PATIENCE
from worker.entry.console.log_filter import LogFilter
from worker.entry.console.log_tail import KEPT_LINES, WAITING_LINES, LogTail

LOG = "/_console/log"


async def shown(host: RunningHost, query: str = "") -> str:
    """Return what the log page says."""
    answer = await host.get(LOG + query)
    assert answer.status == 200
    return words(answer.body.decode().partition("<tbody>")[2])


async def some_requests(host: RunningHost) -> None:
    """Ask for what the filters tell apart."""
    assert (await host.get("/healthz")).status == 200
    assert (await host.get("/nothing")).status == 404
    assert (await host.ask("DELETE", "/api/profiles/count")).status == 405
    assert (await host.get("/api/profiles/count")).status == 200
    host.env.log.event("warning", "odd_thing", what="here")


async def test_the_last_lines_stand_in_the_page_newest_first(host: RunningHost) -> None:
    """With method, route, status, time and request id; no line is left in a buffer."""
    assert "Nothing was asked yet." in await shown(host)
    answer = await host.get("/healthz")
    await host.get("/readyz")
    read = await shown(host)
    assert answer.headers["X-Request-Id"] in read
    assert read.index("/readyz") < read.index("/healthz")
    assert "Nothing was asked yet." in read  # kept hidden, for the live tail to show


@pytest.mark.parametrize(
    ("query", "there", "absent"),
    [
        ("?method=DELETE", "405", "/healthz"),
        ("?route=profiles/c", "405", "/healthz"),
        ("?status=4", "404", "/healthz"),
        ("?status=4&method=GET", "404", "405"),
        ("?level=warning", "odd_thing", "request"),
        ("?event=odd", '"what": "here"', "request"),
        ("?min_ms=600000", "No line passes", "/healthz"),
        ("?request_id=nobody", "No line passes", "/healthz"),
        ("?method=NONSENSE&status=9&min_ms=x&level=loud", "/healthz", "(nothing)"),
        ("?route=%3Cscript%3E", "No line passes", "<script>"),
    ],
)
async def test_filters_work_without_javascript(
    host: RunningHost, query: str, there: str, absent: str
) -> None:
    """They are a form of method GET; what is no choice counts as not given."""
    await some_requests(host)
    read = (await shown(host, query)).partition("At most")[0]
    assert there in read
    assert absent not in read


async def test_the_console_does_not_log_its_own_reading(host: RunningHost) -> None:
    """Looking at the log would otherwise fill it."""
    for path in ("", "/log", "/kv", "/static/console.css"):
        await host.get(f"/_console{path}")
    assert host.requests_logged() == []


# -- the live tail ---------------------------------------------------------------------------------


async def event(stream: ClientResponse) -> dict[str, Any]:
    """Return the data of the next event, with its id."""
    found: dict[str, Any] = {}
    async with asyncio.timeout(PATIENCE):
        while True:
            line = (await stream.content.readline()).decode()
            if line.startswith("id: "):
                found["id"] = int(line[4:])
            if line.startswith("data: "):
                return {**found, **json.loads(line[6:])}
            assert line, "the stream ended"


async def test_new_lines_come_as_events(host: RunningHost) -> None:
    """Filtered as the page is; the id counts lines, so that a reader can go on where it was."""
    await host.get("/readyz")
    async with host.session.get(
        f"{host.url}{LOG}/stream?route=/healthz", headers=host.with_key({})
    ) as stream:
        assert stream.content_type == "text/event-stream"
        for _ in range(3):
            await host.get("/healthz")
            await host.get("/readyz")
        rows: list[dict[str, str]] = []
        while len(rows) < 3:
            news = await event(stream)
            rows += news["rows"]
            last = news["id"]
    assert [row["route"] for row in rows] == ["/healthz"] * 3
    await host.get("/healthz")
    host.env.log.flush()
    again = {"Last-Event-ID": str(last)}
    async with host.session.get(f"{host.url}{LOG}/stream", headers=host.with_key(again)) as stream:
        news = await event(stream)
    assert news["rows"][-1]["route"] == "/healthz"
    assert news["id"] > last


async def test_a_page_and_its_stream_leave_no_gap(host: RunningHost) -> None:
    """What is logged between the page and its stream comes with the stream."""
    page = (await host.get(LOG)).body.decode()
    seen = page.partition('data-seen="')[2].partition('"')[0]
    await host.get("/healthz")
    host.env.log.flush()
    async with host.session.get(
        f"{host.url}{LOG}/stream?seen={seen}", headers=host.with_key({})
    ) as stream:
        assert (await event(stream))["rows"][0]["route"] == "/healthz"


async def test_a_stream_ends_when_the_host_stops(tmp_path: Path) -> None:
    """At once, and not after the seconds that requests in flight are granted."""
    async with ClientSession() as session:
        async with running_host(tmp_path / "state") as host:
            stream = await session.get(f"{host.url}{LOG}/stream", headers=host.with_key({}))
            await stream.content.readline()
            began = time.monotonic()
        assert time.monotonic() - began < GRACE
        rest = await stream.content.read()
        assert rest.strip(b":\n") == b""


async def test_a_reader_that_leaves_is_forgotten(host: RunningHost) -> None:
    """Its watcher goes with the next line."""
    before = asyncio.all_tasks()
    stream = await host.session.get(f"{host.url}{LOG}/stream", headers=host.with_key({}))
    await stream.content.readline()
    assert asyncio.all_tasks() > before
    stream.close()
    async with asyncio.timeout(PATIENCE):
        # What serves it ends when it finds nobody there.
        while asyncio.all_tasks() - before:
            host.env.log.event("info", "tick")
            await asyncio.sleep(0.05)


async def test_head_of_the_stream_ends(host: RunningHost) -> None:
    """HEAD has no body to wait for."""
    assert (await host.ask("HEAD", f"{LOG}/stream")).status == 200


def lines(start: int, end: int) -> str:
    """Return numbered lines as the log writes them."""
    return "".join(f'{{"n":{number}}}\n' for number in range(start, end))


def numbers(found: list[str]) -> list[int]:
    """Return the numbers of such lines."""
    return [json.loads(line)["n"] for line in found]


def test_lines_go_on_at_once_and_the_last_are_kept() -> None:
    """Memory is bounded; the writer below gets every byte."""
    written: list[str] = []
    tail = LogTail(written.append)
    for start in range(0, 5000, 100):
        tail.write(lines(start, start + 100))
    assert "".join(written) == lines(0, 5000)
    assert numbers(tail.lines()) == list(range(5000 - KEPT_LINES, 5000))


async def test_a_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    """Nobody waits for it, and what it gets is in order."""
    tail = LogTail(lambda _text: None)
    slow, quick = tail.watch(), tail.watch()
    got: list[str] = []
    for start in range(0, 3 * WAITING_LINES, 500):
        tail.write(lines(start, start + 500))
        got += quick.take(10_000)[0]
    assert numbers(got) == list(range(3 * WAITING_LINES))
    found, lost = slow.take(10_000)
    assert lost == 2 * WAITING_LINES
    assert numbers(found) == list(range(2 * WAITING_LINES, 3 * WAITING_LINES))
    assert slow.seen == quick.seen == 3 * WAITING_LINES
    assert slow.take(10) == ([], 0)


@given(st.integers(0, 5000), st.integers(-10, 6000))
def test_a_reader_goes_on_where_it_was(written: int, seen: int) -> None:
    """Every kept line behind *seen* comes once; a number of another run means all that are kept."""

    async def check() -> None:
        tail = LogTail(lambda _text: None)
        tail.write(lines(0, written))
        watcher = tail.watch(seen)
        tail.write(lines(written, written + 5))
        start = seen if 0 <= seen <= written else 0
        expected = list(range(max(start, written - KEPT_LINES), written + 5))
        found, lost = watcher.take(10_000)
        assert numbers(found) == expected[lost:]
        assert lost == max(0, len(expected) - WAITING_LINES)
        assert watcher.seen == written + 5

    asyncio.run(check())


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("ms"), inner),
    ),
    st.dictionaries(st.sampled_from(list(LogFilter.__slots__)), st.text()),
)
def test_no_line_and_no_query_breaks_the_filter(line: Any, query: dict[str, str]) -> None:
    """Whatever stands in the log, a row holds texts only."""
    wanted = LogFilter.of(query)
    assert LogFilter.of(wanted.query()) == wanted
    for text in (json.dumps(line), json.dumps(line)[:-1]):
        row = wanted.row(text)
        assert row is None or all(isinstance(value, str) for value in row.values())
