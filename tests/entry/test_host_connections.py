"""Connections that keep a host waiting, and too many of them; WebSockets live on."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.backups import blob, make_keeper
from tests.support.child_host import child_host
from tests.support.problems import assert_problem
from tests.support.profiles import line
from tests.support.raw import RawConnection, connect, head
from tests.support.relay import user
from tests.support.running_host import RunningHost, running_host
from tests.support.waiting import PATIENCE, until
from worker.limits import MIB

SOON, NEVER = "1", "3600"
ASK = head("GET", "/healthz", {})


@contextlib.asynccontextmanager
async def hurried(state: Path, *names: str, **variables: str) -> AsyncIterator[RunningHost]:
    """Run a host that waits for a second for what *names* say, and for an hour for the rest."""
    deadlines = dict.fromkeys(("HEAD_SECONDS", "IDLE_SECONDS", "BODY_SECONDS"), NEVER)
    deadlines.update(dict.fromkeys(names, SOON))
    async with running_host(state, **deadlines, **variables) as host:
        yield host


async def closed(connection: RawConnection) -> bytes:
    """Return what still comes until the host closes the connection."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            return await connection.reader.read()
    return b""


def timed_out(host: RunningHost) -> list[str]:
    """Return what connections were dropped for, as the log says."""
    events = [one for one in host.events() if one["event"] == "connection_timed_out"]
    return [one["waited_for"] for one in events]


@pytest.mark.parametrize("sent", [b"", b"G", ASK[:-2], b"POST / HTTP/1.1\r\nHost: x\r\nX: "])
async def test_who_sends_no_head_is_dropped(tmp_path: Path, sent: bytes) -> None:
    """Silent or in the middle of it: closed at the deadline, and the log says so."""
    async with hurried(tmp_path / "state", "HEAD_SECONDS") as host:
        connection = await connect(host.port)
        await connection.send(sent)
        assert await closed(connection) == b""
        assert timed_out(host) == ["head"]
        await connection.cut()


@pytest.mark.parametrize("asked", [b"", ASK])
async def test_a_head_that_trickles_is_dropped_too(tmp_path: Path, asked: bytes) -> None:
    """Bytes do not put the deadline off, on a new connection nor behind an answer."""
    async with hurried(tmp_path / "state", "HEAD_SECONDS", "IDLE_SECONDS") as host:
        connection = await connect(host.port)
        await connection.send(asked + b"GET /healthz HTTP/1.1\r\nX: ")
        if asked:
            assert (await connection.answer()).status == 200

        async def trickle() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await connection.send(b"x")
                    await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        assert await closed(connection) == b""
        trickling.cancel()
        await connection.cut()


async def test_a_connection_without_a_next_request_is_closed(tmp_path: Path) -> None:
    """Also while heads have an hour; that is everyday and not worth a line in the log."""
    async with hurried(tmp_path / "state", "IDLE_SECONDS") as host:
        connection = await connect(host.port)
        for _ in range(2):
            await connection.send(ASK)
            assert (await connection.answer()).status == 200
        assert await closed(connection) == b""
        assert timed_out(host) == []
        await connection.cut()


STALLS = [
    ("POST", "/v1/sessions", {"Content-Type": "application/json"}),
    ("POST", "/v1/users", {"Content-Type": "application/json"}),
    ("POST", "/v1/backup", {}),
    ("POST", "/v1/attachments", {}),
    ("PUT", "/v1/keys", {"Content-Type": "application/json"}),
    ("POST", "/api/profiles/import", {"Content-Type": "application/x-ndjson"}),
]


LENGTH, CHUNKED = {"Content-Length": "100"}, {"Transfer-Encoding": "chunked"}
# What has no type is refused without a length.
WAYS = [(*door, way) for door in STALLS for way in (LENGTH, CHUNKED)[: 2 if door[2] else 1]]


@pytest.mark.parametrize(("method", "path", "fields", "framing"), WAYS)
async def test_a_body_that_stands_still_is_408(
    tmp_path: Path, method: str, path: str, fields: dict[str, str], framing: dict[str, str]
) -> None:
    """At every door that reads one; then the connection is closed, and nothing is stored."""
    async with hurried(tmp_path / "state", "BODY_SECONDS") as host:
        if path.endswith("import"):
            sent = {**fields, **framing, **host.bearer("profiles:import")}
        elif path == "/v1/keys":
            token = (await user(host, "ada")).token
            sent = {**fields, **framing, "Authorization": f"Bearer {token}"}
        elif fields:
            sent = {**fields, **framing}
        else:
            sent = {**(await make_keeper(host.env, host)).headers, **framing}
        connection = await connect(host.port)
        await connection.send(head(method, path, sent) + (b"1" if framing == LENGTH else b"5\r\n{"))
        answer = await connection.answer()
        assert (answer.status, answer.json()["error"]) == (408, "request_timeout")
        assert answer.headers["Connection"] == "close"
        assert await closed(connection) == b""
        await connection.cut()
        assert (await host.env.blobs.list()).objects == []


async def test_a_stalled_import_frees_its_key(tmp_path: Path) -> None:
    """The same key with the whole body runs; the report of the first says what came of it."""
    async with hurried(tmp_path / "state", "BODY_SECONDS") as host:
        key = {"Idempotency-Key": "once"}
        fields = {
            **host.bearer("profiles:import"),
            **key,
            "Content-Type": "application/x-ndjson",
            "Content-Length": "5000",
        }
        connection = await connect(host.port)
        await connection.send(head("POST", "/api/profiles/import", fields) + line() + b"\n")
        refused = (await connection.answer()).json()
        assert refused["error"] == "request_timeout"
        assert (await host.report(refused["import_id"]))["state"] == "failed"
        assert (await host.send_profiles(line(), headers=key)).status == 200
        await connection.cut()


async def test_an_upload_on_a_slow_line_goes_on(tmp_path: Path) -> None:
    """It takes longer than a body may stand still, and never stands still as long."""
    async with running_host(tmp_path / "state", BODY_SECONDS="4") as host:
        ada = await make_keeper(host.env, host)

        async def slowly() -> AsyncIterator[bytes]:
            for _ in range(15):
                await asyncio.sleep(0.3)
                yield b"x" * 1000

        fields = {"Content_Length": "15000"}
        assert (await ada.ask("POST", "/v1/attachments", slowly(), **fields)).status == 201


async def test_a_body_that_never_stands_still_must_get_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then is not enough: over all there must be some speed."""
    monkeypatch.setattr("worker.entry.host_http._SLOWEST", 1e9)
    async with hurried(tmp_path / "state", "BODY_SECONDS") as host:
        connection = await connect(host.port)
        fields = {"Content-Type": "application/json", "Content-Length": "10000"}
        await connection.send(head("POST", "/v1/sessions", fields))

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await connection.send(b" ")
                    await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert_problem(await connection.answer(), 408, "request_timeout")
        dripping.cancel()
        await connection.cut()


async def test_who_does_not_read_an_answer_is_dropped(tmp_path: Path) -> None:
    """The answer of a megabyte that nobody takes does not hold its connection."""
    async with hurried(tmp_path / "state", "BODY_SECONDS") as host:
        ada = await make_keeper(host.env, host)
        name = await ada.attach(blob(1, 20 * MIB))
        connection = await connect(host.port)
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await connection.send(head("GET", f"/v1/attachments/{name}", ada.headers))
        await until(lambda: timed_out(host) == ["reader"])
        await connection.cut(reset=True)


async def test_a_socket_lives_past_every_deadline(tmp_path: Path) -> None:
    """A WebSocket says nothing for longer than anybody else may, and still hears."""
    names = ("HEAD_SECONDS", "IDLE_SECONDS", "BODY_SECONDS")
    async with hurried(tmp_path / "state", *names) as host:
        ada, bob = await user(host, "ada"), await user(host, "bob")
        silent = await bob.socket()
        await silent.subscribe()
        await asyncio.sleep(2.5)
        speaking = await ada.socket()
        await speaking.send("bob", b"are you there?")
        assert (await silent.hear()).message.ciphertext == b"are you there?"
        await silent.close()
        await speaking.close()


COUNTED = {"RATE_LIMITS": "on", "CONNECTIONS_PER_ADDRESS": "5"}


async def silent(host: RunningHost, number: int) -> list[RawConnection]:
    """Open *number* connections and say nothing."""
    return [await connect(host.port) for _ in range(number)]


async def stalled(host: RunningHost, number: int) -> list[RawConnection]:
    """Open *number* connections with a request under way."""
    fields = {"Content-Type": "application/json", "Content-Length": "10", "Expect": "100-continue"}
    opened = await silent(host, number)
    for one in opened:
        await one.send(head("POST", "/v1/sessions/refresh", fields))
        assert (await one.answer(no_body=True)).status == 100
    return opened


async def cut(connections: list[RawConnection]) -> None:
    """Close all."""
    for one in connections:
        await one.cut()


async def asked(connection: RawConnection) -> Any:
    """Ask for something; return the answer."""
    await connection.send(ASK)
    return await connection.answer()


async def test_who_waited_longest_makes_room_for_a_sixth(tmp_path: Path) -> None:
    """Of one address; the others stay, and those in use stay longest. It is told once."""
    async with hurried(tmp_path / "state", **COUNTED) as host:
        opened = await silent(host, 5)
        assert (await asked(opened[0])).status == 200
        later = await silent(host, 2)
        for gone in opened[1:3]:
            assert await closed(gone) == b""
        for kept in (*later, opened[0], *opened[3:]):
            assert (await asked(kept)).status == 200
        told = [one for one in host.events() if one["event"] == "connections_crowded"]
        assert len(told) == 1
        await cut(opened + later)


async def test_a_sixth_is_refused_when_all_are_in_use(tmp_path: Path) -> None:
    """429 and closed; another address is served, and this one when one of its own has ended."""
    async with hurried(tmp_path / "state", **COUNTED) as host:
        opened = await stalled(host, 5)
        refused = await connect(host.port)
        assert_problem(await refused.answer(), 429, "rate_limited")
        assert await closed(refused) == b""
        if sys.platform == "linux":
            # All of 127/8 is this machine there.
            elsewhere = RawConnection(
                *await asyncio.open_connection("127.0.0.1", host.port, local_addr=("127.0.0.2", 0))
            )
            assert (await asked(elsewhere)).status == 200
            await elsewhere.cut()
        await opened.pop().cut(reset=True)

        async def is_served() -> bool:
            one = await connect(host.port)
            status = (await asked(one)).status
            await one.cut()
            return bool(status == 200)

        await until(is_served)
        await cut([*opened, refused])


@pytest.mark.parametrize(
    "spared", [{"TRUSTED_PROXIES": "127.0.0.1"}, {"RATE_LIMITS": "auto"}, {"RATE_LIMITS": "off"}]
)
async def test_proxies_and_the_spared_are_not_counted(
    tmp_path: Path, spared: dict[str, str]
) -> None:
    """Behind a proxy all its clients come from one address; a developer opens what he likes."""
    async with hurried(tmp_path / "state", **{**COUNTED, **spared}) as host:
        opened = await stalled(host, 12)
        one = await connect(host.port)
        assert (await asked(one)).status == 200
        await cut([*opened, one])


RAISED = """
import resource
from worker.entry.host_connections import file_limit, raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 150))
raise_file_limit()
print(file_limit())
"""


async def test_the_limit_of_open_files_is_raised_as_far_as_the_system_allows() -> None:
    """From whatever a shell gives to what the system's administrator does."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RAISED), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await child.communicate()
    assert told == b"150\n"


async def test_three_hundred_silent_connections_at_150_files(tmp_path: Path) -> None:
    """They are closed from the oldest on; whoever asks is answered, by the stores too."""
    async with child_host(tmp_path / "state", files=150) as child:
        opened = [await connect(child.port) for _ in range(300)]
        for path in ("/healthz", "/readyz"):
            assert (await child.get(path)).status == 200
        body = line()
        assert (await child.post("/api/profiles/import", body)).status == 200
        assert await child.total() == 1
        await cut(opened)
