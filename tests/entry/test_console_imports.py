"""The console's imports: a file through the Worker's own door, live progress, reports."""

import asyncio
import contextvars
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientResponse

from tests.support.console_visit import PROBES, Visitor, assert_tame, visit, words
from tests.support.profiles import line, ndjson, profile
from tests.support.running_host import Answer, RunningHost
from tests.support.waiting import until
from worker.profiles import import_room
from worker.web import Headers, Request

BOUNDARY = "----edgekeep-test"
ID = "imp_20261121080000_a1b2c3"


def head_of(fields: dict[str, str], filename: str = "p.ndjson") -> bytes:
    """Return a multipart form up to the content of its file."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
        f'name="file"; filename="{filename}"\r\n\r\n'
    )
    return "".join(parts).encode()


TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


def lines(profile_ids: list[str]) -> bytes:
    """Return a valid line for each id."""
    return ndjson([line(profile_id) for profile_id in profile_ids])


async def send(
    visitor: Visitor, content: bytes | AsyncIterator[bytes], accept: str = "", **fields: str
) -> Answer:
    """Send a file from the form of the page."""
    head = head_of({"csrf": visitor.token, "mode": "partial", **fields})
    body = head + content + TAIL if isinstance(content, bytes) else _around(head, content)
    return await visitor.ask(
        "POST",
        "/imports",
        data=body,
        headers={
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
            **({"Accept": accept} if accept else {}),
        },
    )


async def _around(head: bytes, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in content:
        yield chunk
    yield TAIL


async def told(response: ClientResponse, events: list[dict[str, object]]) -> None:
    """Put the events of a stream into *events* until its end."""
    async for one in response.content:
        if one.startswith(b"data: "):
            events.append(json.loads(one[6:]))
            if events[-1]["event"] in ("report", "end"):
                return


async def test_a_file_is_imported_and_leads_to_its_report(host: RunningHost) -> None:
    """Without JavaScript the form answers with the report: counts, and errors by line."""
    visitor = await visit(host, "/imports")
    bad = json.dumps(profile("usr_cccccc", assertiveness_level=9)).encode()

    answer = await send(visitor, lines(["usr_aaaaaa", "usr_bbbbbb"]) + bad + b"\nno json\n")
    page = words(await visitor.follow(answer))

    assert "2 profiles stored, 2 refused." in page
    assert "2 lines valid of 4" in page
    assert "done, answered 207" in page
    assert "assertiveness_level" in page
    assert await host.total() == 2


async def test_gzip_is_told_by_its_first_bytes(host: RunningHost) -> None:
    """The name of the file does not matter."""
    visitor = await visit(host, "/imports")

    page = words(await visitor.follow(await send(visitor, gzip.compress(lines(["usr_aaaaaa"])))))

    assert "application/gzip" in page
    assert await host.total() == 1


async def test_atomic_stores_nothing_when_a_line_is_invalid(host: RunningHost) -> None:
    """The report says refused, the notice why."""
    visitor = await visit(host, "/imports")

    answer = await send(visitor, lines(["usr_aaaaaa"]) + b"{}\n", mode="atomic")
    page = words(await visitor.follow(answer))

    assert "refused, answered 422" in page
    assert "In atomic mode one invalid line refuses the whole import" in page
    assert await host.total() == 0


async def test_progress_is_told_live_until_the_report(host: RunningHost) -> None:
    """The events open before the import, tell counts while it runs, and end with the report."""
    visitor = await visit(host, "/imports")
    gate = asyncio.Event()
    events: list[dict[str, object]] = []

    async def slowly() -> AsyncIterator[bytes]:
        for number in range(4):
            yield lines([f"usr_{number}{n:07}" for n in range(500)])
            await asyncio.sleep(0.25)
        await gate.wait()

    url = f"{host.url}/_console/imports/progress?id={ID}"
    async with host.session.get(url, headers=host.with_key({})) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        watching = asyncio.create_task(told(stream, events))
        sending = asyncio.create_task(send(visitor, slowly(), "application/json", id=ID))
        await until(lambda: any(event["event"] == "progress" for event in events))
        listing = words(await Visitor(host).get("/imports"))
        running = await Visitor(host).get(f"/imports/report?id={ID}")
        gate.set()
        answer = await sending
        await watching

    assert answer.json() == {"location": f"/_console/imports/report?id={ID}"}
    assert events[0]["event"] == "waiting"
    assert events[-1]["event"] == "report"
    assert events[-1]["profiles_stored"] == 2000
    assert f"Under way {ID}" in listing
    assert 'http-equiv="refresh"' in running


async def test_a_watcher_that_comes_at_the_last_moment_harms_nobody(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears the report that is just being kept, and the import ends well."""
    keep_report = import_room.keep_report
    watchers = []

    async def watch() -> None:
        request = Request("GET", "/progress", "request_id=1", Headers({"Upgrade": "websocket"}))
        answer = await host.env.import_room.get_by_name(ID).fetch(request)
        # Not read: the room's end of it is closing while the room goes on.
        watchers.append(answer.web_socket)

    async def with_a_late_watcher(env: Any, made: dict[str, Any], owner: str) -> None:
        # From outside the room, as another visitor would.
        await asyncio.get_running_loop().create_task(watch(), context=contextvars.Context())
        await keep_report(env, made, owner)

    monkeypatch.setattr(import_room, "keep_report", with_a_late_watcher)

    answer = await send(await visit(host, "/imports"), lines(["usr_aaaaaa"]), id=ID)

    assert answer.status == 303
    assert json.loads(await watchers[0].receive())["event"] == "report"


async def test_a_watcher_that_leaves_lets_its_socket_go(host: RunningHost) -> None:
    """The room has no socket of a page that was closed."""
    async with host.session.get(
        f"{host.url}/_console/imports/progress?id={ID}", headers=host.with_key({})
    ) as stream:
        await stream.content.readline()
        assert [one.sockets for one in host.opened.actors.live("ImportRoom")] == [1]

    sending = asyncio.create_task(send(await visit(host, "/imports"), lines(["usr_aaaaaa"]), id=ID))
    await sending

    await until(lambda: not any(one.sockets for one in host.opened.actors.live("ImportRoom")))


async def test_a_large_file_streams_through(host: RunningHost) -> None:
    """8 MB are held nowhere, and others are answered while they run."""
    visitor = await visit(host, "/imports")
    block = lines(["usr_aaaaaa"] * 1000)
    blocks = 8_000_000 // len(block)

    async def content() -> AsyncIterator[bytes]:
        for _ in range(blocks):
            yield block

    tracemalloc.start()
    try:
        sending = asyncio.create_task(send(visitor, content()))
        while not sending.done():
            assert (await host.get("/healthz")).status == 200
            await asyncio.sleep(0.1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (await sending).status == 303
    assert peak < 6_000_000, peak


async def test_recent_reports_are_listed_newest_first(host: RunningHost) -> None:
    """The newest reports stand on top, whoever made them; more than twenty are not shown."""
    day = f"{datetime.now(UTC):%Y%m%d}"
    for number in range(22):
        await host.send_profiles(lines(["usr_aaaaaa"]), f"?id=imp_{day}0000{number:02}_aaaaaa")

    page = await Visitor(host).get("/imports")

    assert f"imp_{day}000021_aaaaaa" in page
    assert page.index(f"imp_{day}000021_aaaaaa") < page.index(f"imp_{day}000020_aaaaaa")
    assert f"imp_{day}000001_aaaaaa" not in page


async def test_errors_are_paged(host: RunningHost) -> None:
    """100 errors a page; the next begins where it ended."""
    visitor = await visit(host, "/imports")
    await send(visitor, b"no\n" * 450, id=ID)

    first = await visitor.get(f"/imports/report?id={ID}")
    second = words(await visitor.get(f"/imports/report?id={ID}&from=100"))
    last = words(await visitor.get(f"/imports/report?id={ID}&from=400"))

    assert "Here: 1 to 100." in words(first)
    assert "from=100" in first
    assert "Here: 101 to 200." in second
    assert "Here: 401 to 450." in last
    assert "This is the last page." not in second


async def test_the_report_can_be_saved(host: RunningHost) -> None:
    """As JSON, as an attachment."""
    visitor = await visit(host, "/imports")
    await send(visitor, lines(["usr_aaaaaa"]), id=ID)

    answer = await visitor.ask("GET", f"/imports/report.json?id={ID}")

    assert answer.json()["profiles_stored"] == 1
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{ID}.json"'


async def test_what_a_report_keeps_never_becomes_markup(host: RunningHost) -> None:
    """Notes, keys and whatever KV holds under a report's name are text."""
    note = "<script>alert(1)</script>"
    await host.send_profiles(
        lines(["usr_aaaaaa"]),
        f"?id={ID}",
        headers={"X-Import-Notes": note, "Idempotency-Key": note, "X-Shard-Id": note},
    )
    made = await host.report(ID)
    day = f"{datetime.now(UTC):%Y%m%d}"
    for number, probe in enumerate(PROBES):
        made |= {"notes": probe, "state": probe, "import_id": probe, "mode": probe}
        made["errors"] = [{"line_no": 1, "path": probe, "error_code": probe, "message": probe}]
        key = f"imp_{day}00000{number}_aaaaaa"
        await host.env.import_report_kv.put(f"report:{key}", json.dumps(made))
        assert_tame(await Visitor(host).get(f"/imports/report?id={key}"))

    assert_tame(await Visitor(host).get(f"/imports/report?id={ID}"))
    assert_tame(await Visitor(host).get("/imports"))


async def test_no_import_without_the_token(host: RunningHost) -> None:
    """A form from elsewhere is refused before its file is read."""
    visitor = await visit(host, "/imports")
    visitor.token = "forged"

    answer = await send(visitor, lines(["usr_aaaaaa"]))

    assert answer.status == 403
    assert await host.total() == 0


async def test_a_form_that_breaks_off_is_concluded(host: RunningHost) -> None:
    """What came until then is judged; the report says that the body was incomplete."""
    visitor = await visit(host, "/imports")
    body = head_of({"csrf": visitor.token, "id": ID}) + lines(["usr_aaaaaa"])

    answer = await visitor.ask(
        "POST",
        "/imports",
        data=body,
        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
    )
    page = words(await visitor.follow(answer))

    assert "failed" in page
    assert "incomplete_body" in page


async def test_the_caller_of_the_console_is_named_in_the_log(host: RunningHost) -> None:
    """Imports are requests like any other, and neither token nor profile reaches the log."""
    visitor = await visit(host, "/imports")
    await send(visitor, lines(["usr_aaaaaa"]))

    logged = [line for line in host.requests_logged() if line["method"] == "POST"]

    assert [line["route"] for line in logged] == ["/api/profiles/import"]
    assert logged[0]["actor_uid"]
    assert "eyJ" not in "".join(host.log)
    assert "Ada" not in "".join(host.log)


UNKNOWN = [
    ("/imports/report", 400),
    ("/imports/report?id=nope", 400),
    (f"/imports/report?id={ID}", 404),
    (f"/imports/report.json?id={ID}", 404),
    ("/imports/progress?id=<script>", 400),
    ("/imports/nothing", 404),
]


async def test_unknown_imports_get_clear_pages(host: RunningHost) -> None:
    """400 for what is no id, 404 for an import that is not known."""
    for path, status in UNKNOWN:
        assert "<h1>" in await Visitor(host).get(path, status), path


@pytest.mark.parametrize("begin", ["-1", "x", "1.5", "9999999", "²"])
async def test_a_strange_first_error_is_refused(host: RunningHost, begin: str) -> None:
    """ "from" is a whole number."""
    visitor = await visit(host, "/imports")
    await send(visitor, lines(["usr_aaaaaa"]), id=ID)

    await visitor.get(f"/imports/report?id={ID}&from={begin}", 400)


async def test_an_id_that_was_used_is_refused_with_a_sentence(host: RunningHost) -> None:
    """409 tells that the id is taken; the first report stays."""
    visitor = await visit(host, "/imports")
    await send(visitor, lines(["usr_aaaaaa"]), id=ID)

    answer = await send(visitor, lines(["usr_bbbbbb"]), id=ID)

    assert answer.status == 409
    assert "import id is taken" in words(answer.body.decode())
    assert (await host.report(ID, "console"))["profiles_stored"] == 1
