"""WebSockets: golden/ws.txt step by step, tags, attachments, hibernation (facts D6, H5)."""

import asyncio
from typing import Any

import pytest

from durable.contract import (
    DurableObject,
    InvalidAccessError,
    ObjectResetError,
)
from durable.local_socket import LocalSocket, local_pair
from durable.socket_frames import DROPPED, Closed
from tests.bindings.durable_world import World, made_world
from tests.support.waiting import PATIENCE

world = made_world

TOO_LARGE = (
    "WebSocket protocol error; protocolError.statusCode = 1009; "
    "protocolError.description = Message is too large"
)
# The measured size is 16390: V8's wire form. Ours is JSON text with its two quotes.
TOO_LONG_ATTACHMENT = (
    "SocketStateError: A WebSocket 'attachment' cannot be larger than 16384 bytes."
    "'attachment' was 16386 bytes."
)
NOT_ACCEPTED = (
    "SocketStateError: you must call 'acceptWebSocket()' before attempting to access the tags "
    "of a WebSocket."
)
TOO_LONG_PAIR = "ValueError: {0} cannot be larger than 2048 bytes. A {1} of size 2049 was provided."


class Chat(DurableObject):
    """The actor of golden/probe/ws.mjs in Python."""

    constructed = 0

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        type(self).constructed += 1
        self.born = f"born{type(self).constructed}"
        ctx.set_web_socket_auto_response("ping", "pong")

    async def fetch(self, request: Any) -> LocalSocket:
        client, server = local_pair()
        self.ctx.accept_web_socket(server, [request])
        server.serialize_attachment({"u": request, "born": self.born})
        server.send("hello")
        return client

    async def state(self) -> dict[str, Any]:
        sockets = self.ctx.get_web_sockets()
        return {
            "born": self.born,
            "log": await self.ctx.storage.get("log") or [],
            "tags": [self.ctx.get_tags(ws) for ws in sockets],
            "att": [ws.deserialize_attachment() for ws in sockets],
            "ts": [self.ctx.get_web_socket_auto_response_timestamp(ws) for ws in sockets],
            "rs": [ws.ready_state for ws in sockets],
        }

    async def tagged(self, tag: str) -> int:
        return len(self.ctx.get_web_sockets(tag))

    async def kick(self) -> None:
        for ws in self.ctx.get_web_sockets():
            ws.close(4001, "kicked")

    async def send_and_fail(self) -> None:
        await self._note(["sent"])
        for ws in self.ctx.get_web_sockets():
            ws.send("never")

    async def flood(self, count: int, size: int) -> None:
        for ws in self.ctx.get_web_sockets():
            for _ in range(count):
                ws.send("x" * size)

    async def abort(self) -> None:
        self.ctx.abort("enough")

    async def _note(self, entry: list[Any]) -> None:
        log = await self.ctx.storage.get("log") or []
        await self.ctx.storage.put("log", [*log, entry])

    async def web_socket_message(self, ws: LocalSocket, m: str | bytes) -> None:
        kind = "str" if isinstance(m, str) else "bytes"
        await self._note(["msg", kind, m if kind == "str" and len(m) < 40 else len(m)])
        if m == "throw":
            raise RuntimeError("handler boom")
        if m == "closeme":
            ws.close(4000, "bye")
            try:
                ws.send("after")
            except TypeError as error:
                await self._note(["sendafterclose", str(error)])
        elif m == "badclose":
            await self._bad_close(ws)
        elif m == "bin":
            ws.send(b"\1\2\3")
        elif m in ("slow", "slower"):
            await asyncio.sleep(0.01 if m == "slow" else 0.3)
            ws.send("done slow")
        else:
            ws.send(f"echo {kind}:{m!r}" if len(m) < 40 else f"echo {kind}:{len(m)}")

    async def _bad_close(self, ws: LocalSocket) -> None:
        for code in (1005, 999, 5000, 1004, 1015, 1001, 1006):
            try:
                ws.close(code, "x")
            except InvalidAccessError as error:
                await self._note(["close err", code, str(error)])
            else:
                await self._note(["close ok", code])
                return

    async def web_socket_close(self, ws: LocalSocket, code: int, reason: str, clean: bool) -> None:
        await self._note(["close", code, reason, clean, ws.ready_state])

    async def web_socket_error(self, ws: LocalSocket, error: Exception) -> None:
        await self._note(["error", str(error)])


async def connect(world: World, tag: str) -> LocalSocket:
    """Open a socket and read its greeting."""
    client: LocalSocket = await world.stub(Chat).fetch(tag)
    assert await client.receive() == "hello"
    return client


async def state(world: World) -> dict[str, Any]:
    """Ask the actor."""
    await world.settle()
    found: dict[str, Any] = await world.stub(Chat).call("state")
    return found


async def test_messages_go_both_ways_as_text_and_bytes(world: World) -> None:
    """Text arrives as str, binary as bytes, the auto-response in between, all in order."""
    a = await connect(world, "a")
    for message in ("hi", b"\0" * 5, "ping", "bin"):
        a.send(message)
    await world.settle()

    got = [await a.receive() for _ in range(4)]

    assert sorted(map(str, got)) == sorted(
        ["echo str:'hi'", f"echo bytes:{bytes(5)!r}", "pong", str(b"\1\2\3")]
    )
    assert [m for m in got if m != "pong"][-1] == b"\1\2\3"


async def test_sockets_are_listed_newest_first_with_tags_and_attachments(world: World) -> None:
    """As measured: three sockets, newest first, all open, no auto-response yet."""
    for tag in "abc":
        await connect(world, tag)

    found = await state(world)

    assert found["tags"] == [["c"], ["b"], ["a"]]
    assert [a["u"] for a in found["att"]] == ["c", "b", "a"]
    assert (found["ts"], found["rs"]) == ([None] * 3, [1] * 3)
    assert await world.stub(Chat).call("tagged", "b") == 1
    assert await world.stub(Chat).call("tagged", "zz") == 0


async def test_a_failing_handler_leaves_the_socket_open(world: World) -> None:
    """An exception is reported, and the next message is answered."""
    a = await connect(world, "a")
    a.send("throw")
    a.send("hi")

    assert await a.receive() == "echo str:'hi'"
    assert "web socket handler failed" in [event for event, _ in world.logged]


async def test_the_object_closes(world: World) -> None:
    """The client sees code and reason; the handler hears the answer; send is a TypeError."""
    b = await connect(world, "b")
    b.send("closeme")

    assert await b.receive() == Closed(4000, "bye")
    assert await b.receive() == Closed(4000, "bye")
    found = await state(world)
    assert found["log"][1:] == [
        ["sendafterclose", "Can't call WebSocket send() after close()."],
        ["close", 4000, "bye", True, 3],
    ]
    assert found["rs"] == []


async def test_codes_that_may_not_be_sent(world: World) -> None:
    """1004, 1005, 1006, 1015, 999 and 5000 are refused with the measured text; 1001 passes."""
    c = await connect(world, "c")
    c.send("badclose")

    assert await c.receive() == Closed(1001, "x")
    log = (await state(world))["log"]
    refused = [
        ["close err", code, f"Invalid WebSocket close code: {code}."]
        for code in (1005, 999, 5000, 1004, 1015)
    ]
    assert log[1:] == [*refused, ["close ok", 1001], ["close", 1001, "x", True, 3]]


@pytest.mark.parametrize(
    ("code", "reason", "heard"),
    [
        (4002, "client bye", ["close", 4002, "client bye", True, 2]),
        (None, "", ["close", 1005, "", True, 2]),
        (0, "", ["close", 1005, "", True, 2]),
        (1005, "", ["close", 1005, "", True, 2]),
        (1006, "", ["close", 1006, DROPPED.reason, False, 3]),
    ],
)
async def test_the_client_goes(
    world: World, code: int | None, reason: str, heard: list[Any]
) -> None:
    """The handler gets code, reason and cleanness; a clean close is answered; it is unlisted."""
    d = await connect(world, "d")
    d.hang_up(code, reason)
    d.hang_up(code, reason)
    await world.settle()
    told = await d.receive()
    d.drop()

    found = await state(world)
    assert (found["log"], found["rs"]) == ([heard], [])
    assert told == (DROPPED if code == 1006 else Closed(heard[1], reason))


async def test_hibernation_keeps_sockets_tags_and_attachments(world: World) -> None:
    """The auto-response answers without waking; the next message wakes a new instance."""
    f = await connect(world, "f")
    before = Chat.constructed
    await world.hibernate()
    assert [o.is_awake for o in world.actors.live("Chat")] == [False]

    f.send("ping")
    assert await f.receive() == "pong"
    assert Chat.constructed == before
    f.send("ping ")
    assert await f.receive() == "echo str:'ping '"

    found = await state(world)
    assert Chat.constructed == before + 1
    assert found["born"] == f"born{before + 1}"
    assert found["att"] == [{"u": "f", "born": f"born{before}"}]
    assert (found["tags"], found["ts"]) == ([["f"]], [world.clock.ms])


async def test_a_message_in_work_keeps_the_instance(world: World) -> None:
    """No hibernation in the middle of a handler, and messages of one socket take turns."""
    f = await connect(world, "f")
    f.send("slower")
    f.send("hi")
    await asyncio.sleep(0)
    await world.actors.tick()
    world.clock.advance(100)
    await world.actors.tick()
    assert [o.is_awake for o in world.actors.live("Chat")] == [True]

    assert [await f.receive(), await f.receive()] == ["done slow", "echo str:'hi'"]


async def test_messages_up_to_32_mib(world: World) -> None:
    """One MiB is handled; beyond 32 MiB the socket is cut with 1009 and the error handler runs."""
    f = await connect(world, "f")
    f.send("x" * (1 << 20))
    assert await f.receive() == "echo str:1048576"
    f.send("x" * (33 << 20))
    closed = await f.receive()
    assert isinstance(closed, Closed)
    assert closed.code == 1009

    found = await state(world)
    assert found["log"][-1] == ["error", TOO_LARGE]
    assert found["rs"] == []


async def test_the_object_kicks_everybody(world: World) -> None:
    """All clients see the code, and nobody is listed afterwards."""
    clients = [await connect(world, "f"), await connect(world, "g")]
    await world.stub(Chat).call("kick")

    assert [await c.receive() for c in clients] == [Closed(4001, "kicked")] * 2
    found = await state(world)
    assert (found["rs"], found["log"][-1]) == ([], ["close", 4001, "kicked", True, 3])


async def test_no_message_leaves_before_the_commit(world: World) -> None:
    """When the commit fails nothing was sent, and the sockets of the object are gone."""
    a = await connect(world, "a")
    world.failing_commits = 1

    with pytest.raises(ObjectResetError):
        await world.stub(Chat).call("send_and_fail")

    closed = await a.receive()
    assert isinstance(closed, Closed)
    assert (closed.code, closed.was_clean) == (1006, False)
    assert (await state(world))["rs"] == []


async def test_abort_cuts_the_sockets(world: World) -> None:
    """As at the edge, the sockets of a reset object are disconnected."""
    a = await connect(world, "a")
    with pytest.raises(ObjectResetError, match="enough"):
        await world.stub(Chat).call("abort")

    assert await a.receive() == Closed(1006, "enough", was_clean=False)
    a.send("into the void")


@pytest.mark.parametrize(("count", "size"), [(10_050, 1), (60, 100_000)])
async def test_a_reader_that_does_not_read_is_cut(world: World, count: int, size: int) -> None:
    """Beyond 10,000 messages or 4 MiB the socket is closed with 1013 and the rest thrown away."""
    a = await connect(world, "a")
    await world.stub(Chat).call("flood", count, size)

    closed = await a.receive()
    assert isinstance(closed, Closed)
    assert (closed.code, closed.was_clean) == (1013, False)
    found = await state(world)
    assert (found["rs"], found["log"][-1][:2]) == ([], ["close", 1013])


async def test_a_sender_waits_while_the_object_is_behind(world: World) -> None:
    """`writable` holds the host back until the actor has caught up."""
    a = await connect(world, "a")
    for _ in range(400):
        a.send("slow")
    waiting = asyncio.ensure_future(a.writable())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    a.drop()
    await asyncio.wait_for(waiting, PATIENCE)


async def test_shutting_down_closes_with_1001(world: World) -> None:
    """Clients hear that the server goes; what the object had written is there afterwards."""
    a = await connect(world, "a")
    a.send("hi")
    await world.settle()
    await world.restart()

    assert [await a.receive(), await a.receive()] == [
        "echo str:'hi'",
        Closed(1001, "The server is going away."),
    ]
    assert (await state(world))["log"] == [["msg", "str", "hi"]]


class Tags(DurableObject):
    """Runs the calls of the measured probe `do:tags`."""

    async def run(self) -> list[Any]:
        c, results = self.ctx, []

        def attempt(call: Any) -> None:
            try:
                results.append(call())
            except Exception as error:
                results.append(f"{type(error).__name__}: {error}"[:200])

        (p1, p2, p3, p4, p5) = (local_pair()[1] for _ in range(5))
        attempt(lambda: c.accept_web_socket(p1, [f"t{n}" for n in range(11)]))
        attempt(lambda: c.accept_web_socket(p2, ["x" * 257]))
        attempt(lambda: c.accept_web_socket(p3, ["a", "a", "b", ""]))
        attempt(lambda: c.get_tags(p3))
        for tag in (None, "a", "zz"):
            attempt(lambda tag=tag: len(c.get_web_sockets(tag)))
        attempt(lambda: c.accept_web_socket(p3))
        p4.accept()
        attempt(lambda: c.accept_web_socket(p4))
        attempt(lambda: p3.serialize_attachment({"a": {1: 2}}))
        attempt(lambda: p3.deserialize_attachment() == {"a": {1: 2}})
        attempt(lambda: p3.serialize_attachment("x" * (16_384 - 10)))
        attempt(lambda: p3.serialize_attachment("x" * 16_384))
        attempt(lambda: p3.serialize_attachment(lambda: 1))
        attempt(p5.deserialize_attachment)
        attempt(lambda: c.get_tags(p5))
        attempt(lambda: c.set_web_socket_auto_response("ping", "pong"))
        attempt(c.get_web_socket_auto_response)
        attempt(lambda: c.set_web_socket_auto_response("p" * 2049, "x"))
        attempt(lambda: c.set_web_socket_auto_response("x", "p" * 2049))
        attempt(c.set_web_socket_auto_response)
        attempt(c.get_web_socket_auto_response)
        attempt(lambda: c.get_web_socket_auto_response_timestamp(p3))
        return results


async def test_tags_attachments_and_auto_response_as_measured(world: World) -> None:
    """The calls of do:tags, with Python's class names; event time limits are not offered."""
    accepted = (
        "SocketStateError: Cannot call `acceptWebSocket()` if the WebSocket was already "
        "accepted via `accept()`"
    )
    found = list(await world.stub(Tags).call("run"))

    too_many, too_long, *rest = found
    assert too_many == "SocketStateError: a Hibernatable WebSocket cannot have more than 10 tags"
    assert too_long.startswith('SocketStateError: "xxx')
    assert rest[:7] == [None, ["a", "b", ""], 1, 1, 0, accepted, accepted]
    assert rest[7:11] == [None, True, None, TOO_LONG_ATTACHMENT]
    assert rest[11].startswith("DataCloneError: <function")
    assert rest[12:16] == [None, NOT_ACCEPTED, None, ["ping", "pong"]]
    assert rest[16:18] == [
        TOO_LONG_PAIR.format(side, side.lower()) for side in ("Request", "Response")
    ]
    assert rest[18:] == [None, None, None]


async def test_a_pair_without_an_object() -> None:
    """Both ends can be read directly; types, reasons and second closes are checked."""
    client, server = local_pair()
    client.send(bytearray(b"early"))
    server.accept()
    server.send("hi")
    assert (await client.receive(), await server.receive()) == ("hi", b"early")
    for wrong in ({"a": 1}, None, 5):
        with pytest.raises(TypeError, match="A message must be str or bytes"):
            server.send(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at most 123 bytes"):
        client.close(1000, "é" * 62)
    client.close()
    client.close(4000)
    assert (await server.receive(), await client.receive()) == (Closed(1000), Closed(1000))
    assert (client.ready_state, server.ready_state) == (3, 3)
