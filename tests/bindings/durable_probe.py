"""The actor of golden/probe/do.js in Python: one function per measured call of storage."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from durable.contract import DurableObject

UNDEFINED = "«undefined»"
Case = Callable[[Any, Any], Awaitable[Any]]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    """Register *function* under the measured name: `put_get` answers for do:putGet."""
    first, *rest = function.__name__.split("_")
    CASES[first + "".join(part.title() for part in rest)] = function
    return function


def ser(value: Any) -> Any:
    """Write *value* as the transcripts do."""
    if isinstance(value, datetime):
        return f"Date({value.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%S.')}000Z)"
    if isinstance(value, bytes):
        return f"Uint8Array({len(value)})[{','.join(map(str, value))}]"
    if isinstance(value, set):
        return {"«Set»": [ser(v) for v in value]}
    if isinstance(value, (list, tuple)):
        return [ser(v) for v in value]
    if isinstance(value, dict) and not all(isinstance(k, str) for k in value):
        return as_map(value)
    if isinstance(value, dict):
        return {k: ser(v) for k, v in value.items()}
    return value


def as_map(value: dict[Any, Any]) -> Any:
    """Write a dict that is a Map at the edge."""
    return {"«Map»": [[ser(k), ser(v)] for k, v in value.items()]}


def undefined(value: Any) -> Any:
    """Write None where the edge has undefined."""
    return UNDEFINED if value is None else ser(value)


def buffer(row: dict[str, Any]) -> dict[str, Any]:
    """Write blobs of SQL as the ArrayBuffers that they are at the edge."""
    return {
        k: ser(v).replace("Uint8Array", "ArrayBuffer") if isinstance(v, bytes) else ser(v)
        for k, v in row.items()
    }


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Obj(DurableObject):
    """The probed class: `t` runs a case; the rest is what do.js calls directly."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.n = 0

    async def t(self, name: str) -> Any:
        return ser(await CASES[name](self.ctx, self.ctx.storage))

    async def throw_err(self) -> None:
        error = TypeError("boom")
        error.extra = 1  # type: ignore[attr-defined]
        raise error

    async def ret_class(self) -> Any:
        return Foo()

    async def ret_map(self) -> Any:
        return {"a": EPOCH}

    async def args(self, *args: Any) -> Any:
        return [undefined(a) if i == 3 else ser(a) for i, a in enumerate(args)]

    @property
    def prop(self) -> str:
        return "getter"

    async def fetch(self, request: Any) -> Any:
        if request == "/throw":
            raise ValueError("fetchboom")
        if request == "/noresp":
            return None
        return f"{request} id={len(str(self.ctx.id))} name={self.ctx.id.name}"


class Foo:
    """Not plain data."""


class A:
    """Not plain data either."""


@case
async def get_missing(c: Any, s: Any) -> Any:
    return undefined(await s.get("zz"))


@case
async def put_get(c: Any, s: Any) -> Any:
    await s.put("a", {"x": [1, EPOCH, {1: 2}, b"\x01"]})
    return await s.get("a")


@case
async def put_undef(c: Any, s: Any) -> Any:
    await s.put("u", None)


@case
async def put_fn(c: Any, s: Any) -> Any:
    await s.put("f", get_missing)


@case
async def put_multi(c: Any, s: Any) -> Any:
    await s.put({"m1": 1, "m2": 2, "m3": None})
    return as_map(await s.get(["m2", "m1", "m3", "zz"]))


@case
async def put_multi_bad_opts(c: Any, s: Any) -> Any:
    await s.put({"a": 1}, 5)


def _keys(count: int) -> list[str]:
    return [f"k{i}" for i in range(count)]


@case
async def multi129get(c: Any, s: Any) -> Any:
    return len(await s.get(_keys(129)))


@case
async def multi129put(c: Any, s: Any) -> Any:
    await s.put({k: i for i, k in enumerate(_keys(129))})
    return "ok"


@case
async def multi128put(c: Any, s: Any) -> Any:
    await s.put({k: i for i, k in enumerate(_keys(128))})
    return "ok"


@case
async def multi129del(c: Any, s: Any) -> Any:
    await multi129put(c, s)
    return await s.delete(_keys(129))


@case
async def del_one(c: Any, s: Any) -> Any:
    await s.put({"d": 1, "a": 1})
    return [await s.delete("d"), await s.delete("d"), await s.delete(["a", "nope"])]


@case
async def list_(c: Any, s: Any) -> Any:
    await s.delete_all()
    await s.put({"a": 1, "b/1": 2, "b/2": 3, "c": 4, "é": 5, "B": 6})
    wanted: Any = (
        {},
        {"prefix": "b/"},
        {"start": "b", "end": "c"},
        {"start_after": "a", "limit": 2},
        {"reverse": True, "limit": 2},
        {"prefix": "b/", "reverse": True},
        {"start": "c", "end": "a"},
    )
    return [[*await s.list(**options)] for options in wanted]


@case
async def list_both(c: Any, s: Any) -> Any:
    await s.list(start="a", start_after="b")


@case
async def list_limit0(c: Any, s: Any) -> Any:
    await s.list(limit=0)


@case
async def key_empty(c: Any, s: Any) -> Any:
    await s.put("", 1)
    return [await s.get(""), "" in await s.list()]


@case
async def key2048(c: Any, s: Any) -> Any:
    await s.put("k" * 2048, 1)
    return "ok"


@case
async def key2049(c: Any, s: Any) -> Any:
    await s.put("k" * 2049, 1)
    return "ok"


@case
async def key2049get(c: Any, s: Any) -> Any:
    await s.put("k" * 2049, 1)
    return await s.get("k" * 2049)


async def _value(s: Any, size: int) -> str:
    await s.put("v", "x" * size)
    return "ok"


@case
async def val128k(c: Any, s: Any) -> Any:
    return await _value(s, 131_072 - 10)


@case
async def val130k(c: Any, s: Any) -> Any:
    return await _value(s, 131_072 + 100)


@case
async def val2m(c: Any, s: Any) -> Any:
    return await _value(s, 2_000_000)


@case
async def val2_2m(c: Any, s: Any) -> Any:
    return await _value(s, 2_200_000)


CASES["val2_2m"] = CASES.pop("val22M")


@case
async def val5m(c: Any, s: Any) -> Any:
    return await _value(s, 5_000_000)


@case
async def txn(c: Any, s: Any) -> Any:
    async def body(t: Any) -> str:
        await t.put("t1", 1)
        await t.put("t2", 2)
        return "ret"

    return [await s.transaction(body), await s.get("t1")]


@case
async def txn_throw(c: Any, s: Any) -> Any:
    async def body(t: Any) -> None:
        await t.put("tt", 1)
        raise RuntimeError("no")

    try:
        await s.transaction(body)
    except RuntimeError as error:
        return [str(error), undefined(await s.get("tt"))]


@case
async def txn_rollback(c: Any, s: Any) -> Any:
    async def body(t: Any) -> int:
        await t.put("tr", 1)
        t.rollback()
        return 5

    return [await s.transaction(body), undefined(await s.get("tr"))]


@case
async def txn_op_after_rollback(c: Any, s: Any) -> Any:
    async def body(t: Any) -> None:
        t.rollback()
        await t.put("x", 1)

    await s.transaction(body)


@case
async def txn_delete_all(c: Any, s: Any) -> Any:
    await s.transaction(lambda t: t.delete_all())


@case
async def txn_escape(c: Any, s: Any) -> Any:
    handles: Any = []
    await s.transaction(lambda t: handles.append(t))
    return await handles[0].get("a")


def _ts(s: Any, value: int) -> None:
    s.sql.exec("CREATE TABLE IF NOT EXISTS ts(a)")
    s.sql.exec("INSERT INTO ts VALUES (?)", value)


def _failing(s: Any, value: int) -> Any:
    def body() -> None:
        _ts(s, value)
        raise RuntimeError("x")

    return body


@case
async def txn_sync(c: Any, s: Any) -> Any:
    def body() -> Any:
        _ts(s, 1)
        return s.sql.exec("SELECT count(*) c FROM ts").one()["c"]

    return s.transaction_sync(body)


@case
async def txn_sync_throw(c: Any, s: Any) -> Any:
    await txn_sync(c, s)
    try:
        s.transaction_sync(_failing(s, 2))
    except RuntimeError as error:
        return [str(error), s.sql.exec("SELECT count(*) c FROM ts").one()["c"]]


@case
async def txn_sync_nested(c: Any, s: Any) -> Any:
    def outer() -> None:
        _ts(s, 3)
        try:
            s.transaction_sync(_failing(s, 4))
        except RuntimeError:
            return

    await txn_sync(c, s)
    s.transaction_sync(outer)
    rows = s.sql.exec("SELECT group_concat(CAST(a AS INTEGER)) c FROM ts")
    return rows.one()["c"]


@case
async def sync_kv(c: Any, s: Any) -> Any:
    s.kv.put("sk", {"a": 1})
    found = [s.kv.get("sk"), undefined(s.kv.get("nope")), [*s.kv.list(prefix="sk")]]
    return [*found, s.kv.delete("sk"), s.kv.delete("sk"), undefined(await s.get("sk"))]


@case
async def atomic_writes(c: Any, s: Any) -> Any:
    await s.put("aw1", 1)
    await s.put("aw2", 2)
    return [await s.get("aw1"), await s.get("aw2")]


@case
async def alarm_zero(c: Any, s: Any) -> Any:
    await s.set_alarm(0)


@case
async def alarm_neg(c: Any, s: Any) -> Any:
    await s.set_alarm(-5)


FAR = datetime(2099, 1, 1, tzinfo=UTC)


@case
async def alarm_date(c: Any, s: Any) -> Any:
    await s.set_alarm(FAR)
    found = await s.get_alarm()
    assert found == FAR.timestamp() * 1000
    await s.delete_alarm()
    return ["number" if type(found) is int else type(found), await s.get_alarm()]


@case
async def alarm_overwrite(c: Any, s: Any) -> Any:
    await s.set_alarm(FAR)
    await s.set_alarm(FAR + timedelta(seconds=1000))
    found = await s.get_alarm()
    await s.delete_alarm()
    return round((found - FAR.timestamp() * 1000) / 1e6) + 1


@case
async def delete_all_alarm(c: Any, s: Any) -> Any:
    await s.set_alarm(FAR)
    await s.delete_all()
    return await s.get_alarm()


@case
async def delete_all_sql(c: Any, s: Any) -> Any:
    s.sql.exec("CREATE TABLE IF NOT EXISTS da(a)")
    await s.delete_all()
    return s.sql.exec("SELECT count(*) c FROM sqlite_master WHERE name='da'").one()["c"]


@case
async def sync(c: Any, s: Any) -> Any:
    await s.put("sy", 1)
    return undefined(await s.sync())
