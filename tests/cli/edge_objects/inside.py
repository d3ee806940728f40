"""
What runs inside Pyodide: every check of the object's and the Worker's side, by name.

Each coroutine here is one check; `run` returns JSON: name of the check -> "ok" or what went wrong.
"""

import asyncio
import inspect
import json
import traceback

import js
from pyodide.ffi import create_proxy

from durable.contract import AlarmInfo, DurableObject
from durable.edge import ActorEvents, Crossing, EdgeNamespace
from durable.edge_context import EdgeContext
from durable.edge_socket import socket_pair
from durable.errors import (
    DataCloneError,
    InvalidAccessError,
    ObjectAbortedError,
    ObjectResetError,
    OverloadedError,
    RemoteError,
    SocketStateError,
    SqlError,
    TransactionError,
)

CROSSING = Crossing(
    request_out=lambda request: js.Request.new("https://do.invalid/" + request),
    request_in=lambda raw: raw.url.rpartition("/")[2],
    response_out=lambda text: js.Response.new(text),
    response_in=lambda raw: raw.text(),  # a promise: the crossing may be async
)


class OddError(Exception):
    """An error whose signature nobody can guess."""

    def __init__(self, a, b):
        super().__init__(f"{a}/{b}")


class Room(DurableObject):
    """An actor that does a bit of everything."""

    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.events = []

    async def fetch(self, request):
        if request == "none":
            return None
        if request == "bad":
            raise ValueError("bad request")
        return f"{request} in {self.ctx.id.name}"

    async def add(self, count):
        total = (await self.ctx.storage.get("n") or 0) + count
        await self.ctx.storage.put("n", total)
        return total

    async def echo(self, *args):
        return list(args)

    async def fail(self, kind):
        raise {"value": ValueError("no"), "odd": OddError(1, 2), "sql": SqlError("s")}[kind]

    async def leak(self):
        return object()

    @property
    def size(self):
        return 7

    async def alarm(self, info):
        self.events.append(info)

    async def web_socket_message(self, ws, message):
        self.events.append(message)
        ws.send(message)

    async def web_socket_close(self, ws, code, reason, was_clean):
        self.events.append((code, reason, was_clean))


def make(name="main"):
    state = js.makeState(name)
    context = EdgeContext(state)
    return state, context


async def raises(kind, text, work):
    """Await or call *work*; it must raise *kind* with *text* in its message. Return the error."""
    try:
        result = work()
        if hasattr(result, "__await__"):
            await result
    except BaseException as error:
        caught = error
    else:
        raise AssertionError(f"nothing was raised, {kind.__name__} was expected")
    assert type(caught) is kind, f"{type(caught).__name__}: {caught}"
    assert text in str(caught), str(caught)
    return caught


async def values_keep_their_types():
    storage = make()[1].storage
    value = {"a": [1, 2.5, None, True, b"\x00\xff", {"x": {1, 2}}], "é": "ü", "$d": {}, 5: "int"}
    await storage.put("k", value)
    await storage.put({"raw": b"\x00\x01", "text": "t", "none": None})
    assert await storage.get("k") == value
    assert await storage.get(["text", "raw", "none"]) == {"raw": b"\x00\x01", "text": "t"}
    assert await storage.get("none") is None
    assert await storage.delete("k") is True
    assert await storage.delete(["k", "raw", "text"]) == 2
    await raises(DataCloneError, "could not be cloned", lambda: storage.put("o", object()))
    await raises(TypeError, "undefined value", lambda: storage.put("o", None))


async def lists_take_every_option():
    storage = make()[1].storage
    await storage.put({key: key for key in ("a", "b1", "b2", "c")})
    assert list(await storage.list()) == ["a", "b1", "b2", "c"]
    assert list(await storage.list(prefix="b", reverse=True)) == ["b2", "b1"]
    assert list(await storage.list(start="b1", end="c", limit=1)) == ["b1"]
    assert [key for key, _ in storage.kv.list(start_after="b1")] == ["b2", "c"]
    await raises(TypeError, "limit must be positive", lambda: storage.list(limit=0))


async def sync_kv_is_the_same_store():
    storage = make()[1].storage
    storage.kv.put("s", {"n": 1})
    assert await storage.get("s") == storage.kv.get("s") == {"n": 1}
    assert storage.kv.delete("s") is True
    assert storage.kv.get("s") is None


async def alarms_are_milliseconds():
    storage = make()[1].storage
    assert await storage.get_alarm() is None
    await storage.set_alarm(12345.9)
    assert await storage.get_alarm() == 12345
    await storage.delete_alarm()
    assert await storage.get_alarm() is None
    await raises(TypeError, "alarm time <= 0", lambda: storage.set_alarm(0))


async def sql_rows_are_plain():
    sql = make()[1].storage.sql
    cursor = sql.exec("SELECT")
    assert cursor.column_names == ["a", "b", "c", "d", "e"]
    assert cursor.one() == {"a": 1, "b": 2.5, "c": None, "d": b"\x00\xff", "e": "é"}
    assert list(sql.exec("SELECT").raw()) == [[1, 2.5, None, b"\x00\xff", "é"]]
    assert sql.database_size == 8192
    await raises(SqlError, "syntax error: SQLITE_ERROR", lambda: sql.exec("BROKEN"))


async def sql_bindings_cross_as_cloudflare_reads_them():
    sql = make()[1].storage.sql
    kinds = sql.exec("KINDS", 1, 2.5, "x", b"b", bytearray(b"b"), None, True).to_array()[0]
    # A bool binds as its text there, so it crosses as that.
    expected = ["Number", "Number", "String", "Uint8Array", "Uint8Array", "undefined", "String"]
    assert list(kinds.values()) == expected, kinds
    await raises(TypeError, "BigInt", lambda: sql.exec("KINDS", 2**60))


async def transactions_keep_all_or_nothing():
    storage = make()[1].storage

    async def good(txn):
        await txn.put("a", 1)
        await asyncio.sleep(0)
        return await txn.get("a")

    async def bad(txn):
        await txn.put("a", 2)
        raise OddError(1, 2)

    async def rolled_back(txn):
        await txn.put("a", 3)
        txn.rollback()
        await raises(TransactionError, "rolled back transaction", lambda: txn.put("b", 1))
        return "r"

    assert await storage.transaction(good) == 1
    await raises(OddError, "1/2", lambda: storage.transaction(bad))
    assert await storage.transaction(rolled_back) == "r"
    assert await storage.get("a") == 1
    kept = []
    await storage.transaction(lambda txn: kept.append(txn))
    await raises(TransactionError, "already committed", lambda: kept[0].get("a"))
    await raises(TransactionError, "deleteAll", lambda: kept[0].delete_all())


async def sync_transactions_nest():
    storage = make()[1].storage

    def inner():
        storage.kv.put("x", 2)
        raise KeyError("inner")

    def outer():
        storage.kv.put("y", 1)
        try:
            storage.transaction_sync(inner)
        except KeyError:
            return "caught"

    assert storage.transaction_sync(outer) == "caught"
    assert await storage.list() == {"y": 1}


async def delete_all_empties():
    storage = make()[1].storage
    await storage.put("a", 1)
    await storage.set_alarm(5)
    await storage.delete_all()
    await storage.sync()
    assert await storage.list() == {}
    assert await storage.get_alarm() is None


async def sockets_have_tags_and_attachments():
    _, context = make()
    client, server = socket_pair()
    context.accept_web_socket(server, ["a", "b", "a"])
    bare = js.WebSocketPair.new()
    context.accept_web_socket(getattr(bare, "1"))
    assert context.get_web_sockets("a") == [server]
    assert len(context.get_web_sockets()) == 2
    assert context.get_web_sockets()[1] in {server}
    assert context.get_tags(server) == ["a", "b"]
    assert server.deserialize_attachment() is None
    server.serialize_attachment({"n": b"\x01", "t": (1, 2)})
    assert server.deserialize_attachment() == {"n": b"\x01", "t": [1, 2]}
    await raises(SocketStateError, "16384", lambda: server.serialize_attachment("x" * 20000))
    await raises(SocketStateError, "accepted before", lambda: context.accept_web_socket(server))
    await raises(
        SocketStateError,
        "more than 10",
        lambda: context.accept_web_socket(client, list("abcdefghijk")),
    )
    assert client.ready_state == 1


async def sockets_send_and_close():
    _, server = socket_pair()
    server.send("text")
    server.send(b"\x00bin")
    kinds = [x if isinstance(x, str) else x.to_bytes() for x in server.js.sent]
    assert kinds == ["text", b"\x00bin"]
    await raises(TypeError, "must be str or bytes", lambda: server.send(5))
    await raises(InvalidAccessError, "1005", lambda: server.close(1005))
    server.close(4000, "bye")
    assert server.ready_state == 3
    await raises(TypeError, "after close", lambda: server.send("late"))


async def auto_response_is_data():
    _, context = make()
    assert context.get_web_socket_auto_response() is None
    context.set_web_socket_auto_response("ping", "pong")
    assert context.get_web_socket_auto_response() == ("ping", "pong")
    assert context.get_web_socket_auto_response_timestamp(socket_pair()[1]) == 5000
    context.set_web_socket_auto_response()
    assert context.get_web_socket_auto_response() is None
    await raises(ValueError, "2048", lambda: context.set_web_socket_auto_response("x" * 2049, ""))


async def wait_until_and_blocks_are_promises():
    state, context = make()
    done = []

    async def work():
        await asyncio.sleep(0)
        done.append(1)
        return "result"

    async def broken():
        raise ValueError("why")

    context.wait_until(work())
    await state.waited[0]
    assert done == [1]
    assert await context.block_concurrency_while(work) == "result"
    await raises(ValueError, "why", lambda: context.block_concurrency_while(broken))


async def abort_ends_the_event_then_the_object():
    state, context = make()
    await raises(ObjectAbortedError, "enough", lambda: context.abort("enough"))
    await asyncio.sleep(0.01)
    assert state.aborted == "enough"


async def events_reach_the_portable_actor():
    _, context = make()
    room = Room(context, None)
    events = ActorEvents(room, CROSSING)
    socket = socket_pair()[1]
    await events.message(socket.js, "hello")
    await events.message(socket.js, js.Uint8Array.new([1, 2]).buffer)
    await events.close(socket.js, 1005, "", True)
    await events.alarm(js.JSON.parse('{"scheduledTime": 77, "retryCount": 2, "isRetry": true}'))
    await events.alarm(None)
    assert room.events == [
        "hello",
        b"\x01\x02",
        (1005, "", True),
        AlarmInfo(77, 2),
        AlarmInfo(0, 0),
    ]
    assert socket.js.closed.to_py() == [1000, ""]
    quiet = ActorEvents(DurableObject(context, None), CROSSING)
    await quiet.message(socket.js, "nobody listens")
    await quiet.alarm(None)


def namespace():
    """Return a namespace of Rooms and the objects in it by name."""
    objects = {}

    class Object:
        def __init__(self, name):
            self.events = ActorEvents(Room(make(name)[1], None), CROSSING)
            self.overloaded = self.reset = False

        async def fetch(self, request):
            return await self.events.fetch(request)

        async def edgekeepCall(self, text):  # noqa: N802
            return await self.events.call(text)

    def build(name):
        objects[name] = Object(name)
        return create_proxy(objects[name])

    return EdgeNamespace(js.makeNamespace(create_proxy(build)), CROSSING), objects


async def calls_copy_plain_data_both_ways():
    rooms, _ = namespace()
    stub = rooms.get_by_name("r")
    data = [1, 2.5, None, b"\xff", {"k": {1, 2}}, "é", {5: "int"}]
    assert await stub.call("echo", *data) == data
    assert [await stub.call("add", 2), await stub.call("add", 3)] == [2, 5]
    assert await stub.call("size") == 7
    await raises(
        DataCloneError, "does not support serialization", lambda: stub.call("echo", object())
    )
    await raises(DataCloneError, "does not support serialization", lambda: stub.call("leak"))


async def errors_of_calls_keep_class_and_text():
    rooms, objects = namespace()
    stub = rooms.get_by_name("r")
    error = await raises(ValueError, "no", lambda: stub.call("fail", "value"))
    assert error.remote is True
    await raises(SqlError, "s", lambda: stub.call("fail", "sql"))
    odd = await raises(RemoteError, "1/2", lambda: stub.call("fail", "odd"))
    assert odd.name == "OddError"
    missing = 'The RPC receiver does not implement the method "nope".'
    await raises(TypeError, missing, lambda: stub.call("nope"))
    await raises(TypeError, "__init__", lambda: stub.call("__init__"))
    await raises(TypeError, '"events"', lambda: stub.call("events"))
    await raises(TypeError, "reserved method", lambda: stub.call("alarm"))
    objects["r"].reset = True
    reset = await raises(ObjectResetError, "why", lambda: stub.call("size"))
    assert reset.retryable is True


async def fetch_crosses_and_raises_like_at_home():
    rooms, objects = namespace()
    stub = rooms.get_by_name("lobby")
    assert await stub.fetch("hi") == "hi in lobby"
    error = await raises(ValueError, "bad request", lambda: stub.fetch("bad"))
    assert error.remote is True
    await raises(TypeError, "did not resolve to 'Response'", lambda: stub.fetch("none"))
    objects["lobby"].overloaded = True
    over = await raises(OverloadedError, "Too many requests", lambda: stub.fetch("hi"))
    assert over.overloaded is True


async def ids_are_checked():
    rooms, _ = namespace()
    named = rooms.id_from_name("x")
    assert named.name == "x"
    assert rooms.id_from_string(named.hex) == named
    assert rooms.new_unique_id().name is None
    await raises(TypeError, "64 hex digits", lambda: rooms.id_from_string("abc"))
    await raises(TypeError, "not valid for this", lambda: rooms.id_from_string("dead" * 16))


async def run():
    """Run every check."""
    told = {}
    for name, check in list(globals().items()):
        if inspect.iscoroutinefunction(check) and name not in ("run", "raises"):
            try:
                await asyncio.wait_for(check(), 10)
                told[name] = "ok"
            except BaseException:
                told[name] = traceback.format_exc()[-700:]
    return json.dumps(told)
