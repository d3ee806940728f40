"""Storage beyond the measured lines: types, limits, the two forms, SQL's fences (facts D3, D4)."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from durable.contract import DataCloneError, DurableObject, SqlError
from tests.bindings.durable_world import World, made_world

world = made_world


class Shelf(DurableObject):
    """Gives tests its storage: the functions handed in run inside an event."""

    async def run(self, number: int) -> Any:
        return await self.env[number](self.ctx.storage)


async def inside(world: World, function: Any) -> Any:
    """Run *function(storage)* as an event of one object."""
    if "Shelf" not in world.spaces:
        world.bind(Shelf, [])
    functions = world.bound["Shelf"][1]
    functions.append(function)
    return await world.stub(Shelf).call("run", len(functions) - 1)


VALUES = [
    *(
        0,
        -1,
        2**63,
        -(2**80),
        1.5,
        -0.0,
        float("inf"),
        True,
        False,
        "",
        "é\0\ud800",
        b"",
        b"\0\xff",
    ),
    *([], {}, set(), [None, [1]], {"$b": "no tag"}, {"$t": 1, "b": 2}, {1: "a", None: {2}}),
    {"when": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=-3)))},
    {
        "naive": datetime(2026, 1, 2, tzinfo=UTC).replace(tzinfo=None),
        "utc": datetime(1, 1, 1, tzinfo=UTC),
    },
    {"bytes": b"\1", "set": {1, "a", b"b", None}, "deep": {"x": [{"y": {"z": [b""]}}]}},
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
async def test_plain_data_survives_storage_and_eviction(world: World, value: Any) -> None:
    """What was put is what is read, by get, list and kv, also after the object slept."""

    async def write(s: Any) -> None:
        await s.put("v", value)

    async def read(s: Any) -> None:
        found = [await s.get("v"), (await s.list())["v"], s.kv.get("v"), dict(s.kv.list())["v"]]
        assert [(type(f), f) for f in found] == [(type(value), value)] * 4

    await inside(world, write)
    await inside(world, read)
    await world.hibernate()
    await inside(world, read)


class Mine(dict[str, int]):
    """A subclass would come back as something else."""


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "value", [object(), Mine(), 1j, timedelta(1), [object()], {(1,): 2}, {"a": {1, (2,)}}, CIRCLE]
)
async def test_everything_else_is_refused(world: World, value: Any) -> None:
    """A value that would lose its class, or has no end, is a DataCloneError; nothing is stored."""

    async def write(s: Any) -> None:
        for attempt in (s.kv.put, lambda k, v: s.kv.put(k, [v])):
            with pytest.raises(DataCloneError):
                attempt("v", value)
        with pytest.raises(DataCloneError):
            await s.put({"good": 1, "v": value})
        assert await s.list() == {}

    await inside(world, write)


async def test_a_stored_value_is_a_copy(world: World) -> None:
    """Changing the object that was put changes nothing stored, and reads do not share."""

    async def body(s: Any) -> None:
        value = {"a": [1]}
        await s.put("v", value)
        value["a"].append(2)
        (await s.get("v"))["a"].append(3)
        assert await s.get("v") == {"a": [1]}

    await inside(world, body)


@pytest.mark.parametrize(("size", "fits"), [(2_097_152 - 5, True), (2_097_152 - 4, False)])
async def test_key_and_value_have_two_megabytes_together(
    world: World, size: int, fits: bool
) -> None:
    """Counted as they are stored: the key in UTF-8 and the value's JSON text."""

    async def body(s: Any) -> None:
        if fits:
            await s.put("é!", "x" * size)
            assert len(await s.get("é!")) == size
        else:
            with pytest.raises(ValueError, match="Values cannot be larger than"):
                await s.put("é!", "x" * size)

    await inside(world, body)


@pytest.mark.parametrize("key", [1, None, b"k", "\ud800"])
async def test_keys_are_text(world: World, key: Any) -> None:
    """A key that is no text, or has no UTF-8 form, is a TypeError everywhere."""

    async def body(s: Any) -> None:
        for call in (s.kv.get, s.kv.delete, lambda k: s.kv.put(k, 1)):
            with pytest.raises(TypeError):
                call(key)
        with pytest.raises(TypeError):
            await s.list(prefix=key if key is not None else 1)

    await inside(world, body)


async def test_several_keys_at_once(world: World) -> None:
    """get answers in key order for those that exist; delete counts them; odd ones are fine."""

    async def body(s: Any) -> None:
        await s.put({"b": 2, "a": 1, "é": 3})
        assert list((await s.get(["é", "zz", "b", "a", "a"])).items()) == [
            *(("a", 1), ("b", 2), ("é", 3))
        ]
        assert await s.get([]) == {}
        assert await s.delete(["a", "zz", "b"]) == 2
        assert await s.delete("zz") is False
        assert list(await s.list()) == ["é"]

    await inside(world, body)


async def test_a_transaction_handle_reads_its_own_writes(world: World) -> None:
    """Reads inside see the writes inside; a nested transaction fails alone."""

    async def body(s: Any) -> None:
        async def failing(t: Any) -> None:
            await t.put("inner", 1)
            raise LookupError

        async def outer(t: Any) -> Any:
            await t.put("outer", 1)
            with pytest.raises(LookupError):
                await s.transaction(failing)
            assert await t.delete("nothing") is False
            return await t.list()

        assert await s.transaction(outer) == {"outer": 1}
        assert await s.list() == {"outer": 1}

    await inside(world, body)


async def test_sql_and_values_are_one_transaction(world: World) -> None:
    """A failed transaction_sync takes back rows, tables and values together."""

    async def body(s: Any) -> None:
        def failing() -> None:
            s.sql.exec("CREATE TABLE t(a)")
            s.kv.put("k", 1)
            raise LookupError

        with pytest.raises(LookupError):
            s.transaction_sync(failing)
        assert await s.get("k") is None
        with pytest.raises(SqlError, match="no such table: t"):
            s.sql.exec("SELECT * FROM t")

    await inside(world, body)


@pytest.mark.parametrize(
    ("sql", "bindings", "text"),
    [
        ("SELECT * FROM t WHERE a = ?", (1,), "no such table: t: SQLITE_ERROR"),
        ("", (), "SQL code did not contain a statement."),
        (" ;", (), "SQL code did not contain a statement."),
        ("SELECT 1", (1,), "Wrong number of parameter bindings for SQL query."),
        ("SELECT ?; SELECT ?", (1,), "When executing multiple SQL statements"),
        ("COMMIT", (), "To execute a transaction, please use the state.storage.transaction()"),
        ("SAVEPOINT x", (), "To execute a transaction"),
        ("BEGIN IMMEDIATE /*edgekeep's own*/", (), "not authorized: SQLITE_AUTH"),
        ("DELETE FROM _cf_KV", (), "not authorized: SQLITE_AUTH"),
        ("SELECT * FROM _cf_ALARM", (), "prohibited: SQLITE_AUTH"),
        ("CREATE TABLE _cf_x(a)", (), "not authorized: SQLITE_AUTH"),
        ("ATTACH 'x' AS y", (), "not authorized: SQLITE_AUTH"),
        ("PRAGMA journal_mode = DELETE", (), "not authorized: SQLITE_AUTH"),
        ("SELECT sqlite_version()", (), "not authorized"),
        (f"SELECT {','.join('?' * 101)}", (1,) * 101, "too many SQL variables"),
    ],
)
async def test_sql_has_fences(world: World, sql: str, bindings: Any, text: str) -> None:
    """What D1 refuses is refused here, and the object works on."""

    async def body(s: Any) -> None:
        await s.put("k", 1)
        with pytest.raises(SqlError) as caught:
            s.sql.exec(sql, *bindings)
        assert text in str(caught.value)
        assert not str(caught.value).startswith("D1_ERROR")
        assert await s.get("k") == 1

    await inside(world, body)
    await inside(world, lambda s: s.get("k"))


async def test_our_statements_stay_out_of_reach_after_use(world: World) -> None:
    """A statement of the runtime that was prepared before cannot be borrowed by its text."""

    async def body(s: Any) -> None:
        await s.put("k", 1)
        for text in ("SELECT value FROM _cf_KV WHERE key = ? /*edgekeep's own*/",):
            with pytest.raises(SqlError, match="SQLITE_AUTH"):
                s.sql.exec(text, "k")

    await inside(world, body)


async def test_named_and_numbered_parameters_bind_by_position(world: World) -> None:
    """`:a`, `?2` and repeated names take the values in order; blobs come back as bytes."""

    async def body(s: Any) -> None:
        row = s.sql.exec("SELECT :a x, :b y, :a z", 1, b"\2").one()
        assert row == {"x": 1, "y": b"\2", "z": 1}
        assert s.sql.exec("SELECT ?2 x, ?1 y", "a", "b").one() == {"x": "b", "y": "a"}
        written = s.sql.exec("CREATE TABLE t(a); INSERT INTO t VALUES (?), (2)", 1)
        assert (written.rows_written, written.to_array(), written.column_names) == (2, [], [])
        assert s.sql.exec("UPDATE t SET a = 5 RETURNING a").to_array() == [{"a": 5}, {"a": 5}]

    await inside(world, body)
