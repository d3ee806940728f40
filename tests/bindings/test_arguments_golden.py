"""
Odd arguments: a number as text, NaN, a time too far ahead, against what Cloudflare answers.

The lines of golden/arguments.jsonl are named by the call and its argument as JSON.
"""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from d1_schema.contract import D1Error
from d1_schema.embedded import open_database
from durable.contract import DurableError, DurableObject
from durable.socket_frames import check_close
from kv.checks import KVError
from kv.contract import KVNamespace
from tests.bindings.adapters import KV_ADAPTERS, START, Clock
from tests.bindings.durable_world import World, made_world
from tests.bindings.golden_lines import judge, read_golden

GOLDEN = read_golden("arguments.jsonl")
world = made_world
OF_KV = [line for line in GOLDEN if line.startswith("kv ")]
OF_OBJECTS = [line for line in GOLDEN if line.startswith("do ")]
KEYS = ("l0", "l1", "l2")


def argument(line: str, call: str) -> Any:
    """The argument that *line* names behind *call*."""
    return json.loads(line.removeprefix(f"{call} "))


async def call_kv(kv: KVNamespace, line: str) -> Any:
    """What a call of KV is answered."""
    if line.startswith("kv list limit"):
        page = await kv.list(limit=argument(line, "kv list limit"))
        return [key.name for key in page.keys]
    if line.startswith("kv get cache_ttl"):
        return await kv.get("l0", cache_ttl=argument(line, "kv get cache_ttl"))
    if line.startswith("kv put expiration_ttl"):
        await kv.put("e", "v", expiration_ttl=argument(line, "kv put expiration_ttl"))
        [entry] = (await kv.list(prefix="e")).keys
        assert entry.expiration is not None
        return entry.expiration - START
    await kv.put("e", "v", expiration=argument(line, "kv put expiration"))
    return None


@pytest.mark.parametrize("adapter", KV_ADAPTERS)
@pytest.mark.parametrize("line", OF_KV)
async def test_kv_reads_numbers_as_cloudflare_does(tmp_path: Path, adapter: str, line: str) -> None:
    """Truncated, from text too; what is no number is 0, and so refused or the default."""
    kv = await KV_ADAPTERS[adapter](tmp_path, Clock())
    for key in KEYS:
        await kv.put(key, "v")

    try:
        answer = await call_kv(kv, line)
    except KVError as error:
        answer = ["ERR", "Error", str(error)]
    except TypeError as error:
        answer = ["ERR", "TypeError", str(error)]
    await kv.close()

    judge("arguments", f"kv {adapter}", GOLDEN[line], answer, None)


class Probe(DurableObject):
    """Does one call that a line names."""

    async def alarm(self, info: object) -> None:
        """Alarms may be set."""

    async def do(self, line: str) -> Any:
        """Answer in golden notation."""
        storage = self.ctx.storage
        if line.startswith("do set_alarm"):
            await storage.set_alarm(argument(line, "do set_alarm"))
            return await storage.get_alarm()
        if line.startswith("do list limit"):
            for key in KEYS:
                await storage.put(key, 1)
            return list(await storage.list(limit=argument(line, "do list limit")))
        if line.startswith("do sql"):
            rows = storage.sql.exec(argument(line, "do sql"))
        else:
            rows = storage.sql.exec("SELECT ? a, typeof(?1) t", argument(line, "do bind"))
        return [{name: _notation(value) for name, value in row.items()} for row in rows]

    async def answer(self, line: str) -> Any:
        """As `do`, with errors in golden notation."""
        try:
            return await self.do(line)
        except DurableError as error:
            return ["ERR", "Error", str(error)]
        except TypeError as error:
            return ["ERR", "TypeError", str(error)]


def _notation(value: Any) -> Any:
    # JSON has no infinity; the probe wrote its name.
    is_infinite = isinstance(value, float) and math.isinf(value)
    return ("Infinity" if value > 0 else "-Infinity") if is_infinite else value


@pytest.mark.parametrize("line", OF_OBJECTS)
async def test_objects_take_and_refuse_alike(world: World, line: str) -> None:
    """Times that Cloudflare cannot keep are refused, and infinity comes back."""
    answer = await world.stub(Probe).call("answer", line)

    judge("arguments", "durable embedded", GOLDEN[line], answer, None)


@pytest.mark.parametrize("wrong", [{}, [], b"1", object()])
async def test_what_is_no_number_at_all_is_a_type_error(tmp_path: Path, wrong: Any) -> None:
    """JavaScript makes 0 of it; in Python that hides a mistake."""
    kv = await KV_ADAPTERS["embedded"](tmp_path, Clock())

    with pytest.raises(TypeError, match="limit must be a number, not"):
        await kv.list(limit=wrong)
    with pytest.raises(TypeError, match="expiration_ttl must be a number, not"):
        await kv.put("k", "v", expiration_ttl=wrong)
    with pytest.raises(TypeError, match="cursor must be a str, not"):
        await kv.list(cursor=wrong)
    with pytest.raises(TypeError, match="must be a str, not"):
        await kv.list(prefix=wrong)
    await kv.close()


async def test_a_lone_surrogate_in_sql_is_read_as_a_replacement(tmp_path: Path) -> None:
    """No error of Python's: it is one character, U+FFFD, whichever way SQL comes."""
    db = await open_database(tmp_path / "d1.sqlite")

    assert await db.prepare("SELECT '\ud800' || ? a").bind("\ud800").first("a") == "\ufffd\ufffd"
    assert (await db.exec("SELECT '\ud800'")).count == 1
    with pytest.raises(D1Error, match="no such column: \ufffd at offset 7: SQLITE_ERROR"):
        await db.prepare("SELECT \ud800").first()
    await db.close()


@pytest.mark.parametrize("wrong", [5, None, b"x", ["x"]])
async def test_what_is_no_text_is_a_type_error_of_d1(tmp_path: Path, wrong: Any) -> None:
    """With words about the call, before anything runs."""
    db = await open_database(tmp_path / "d1.sqlite")

    with pytest.raises(TypeError, match="prepare\\(\\) takes SQL as str, not"):
        db.prepare(wrong)
    with pytest.raises(TypeError, match="exec\\(\\) takes SQL as str, not"):
        await db.exec(wrong)
    with pytest.raises(TypeError, match="batch\\(\\) takes statements"):
        await db.batch(wrong)
    if wrong is not None:
        with pytest.raises(TypeError, match="first\\(\\) takes the name of a column, not"):
            await db.prepare("SELECT 1 x").first(wrong)
        with pytest.raises(TypeError, match="with_session\\(\\) takes a str, not"):
            db.with_session(wrong)
    await db.close()


class Careless(DurableObject):
    """Calls its storage and a socket with what they do not take."""

    async def errors(self) -> list[str]:
        """The class and the words of each failure."""
        storage: Any = self.ctx.storage
        calls = [
            lambda: storage.get(5),
            lambda: storage.get(b"k"),
            lambda: storage.get([1]),
            lambda: storage.delete(None),
            lambda: storage.set_alarm("5"),
            lambda: storage.set_alarm(datetime(9999, 1, 1, tzinfo=UTC)),
        ]
        found = [await _said(call) for call in calls]
        for sql in (5, None, b"SELECT 1"):
            with pytest.raises(TypeError, match="SQL must be a str, not"):
                storage.sql.exec(sql)
        return found


async def _said(call: Any) -> str:
    with pytest.raises(TypeError) as caught:
        await call()
    return str(caught.value)


async def test_an_object_refuses_with_words(world: World) -> None:
    """No text of Python's own machinery comes out of a wrong call."""
    assert await world.stub(Careless).call("errors") == [
        "A key must be str, or several in a list, not int.",
        "A key must be str, or several in a list, not bytes.",
        "A key must be str, not int.",
        "A key must be str, or several in a list, not NoneType.",
        "An alarm time must be a number or datetime, not str.",
        "This API doesn't support dates after 2189.",
    ]


@pytest.mark.parametrize("code", [1000.0, "1000", True])
def test_a_close_code_is_an_int(code: Any) -> None:
    """And the reason is text."""
    with pytest.raises(TypeError, match="close code must be an int, not"):
        check_close(code, "")
    with pytest.raises(TypeError, match="close reason must be a str, not bytes"):
        check_close(1000, b"bye")  # type: ignore[arg-type]


@pytest.mark.parametrize("keys", ["abc", b"abc", 5, None])
async def test_several_keys_are_not_one(tmp_path: Path, keys: Any) -> None:
    """A text is no list of its letters."""
    kv = await KV_ADAPTERS["embedded"](tmp_path, Clock())

    with pytest.raises(TypeError, match="get_many\\(\\) takes several keys"):
        await kv.get_many(keys)
    with pytest.raises(TypeError, match="Key name must be a str, not list"):
        await kv.get_many([["a"]])  # type: ignore[list-item]
    await kv.close()
