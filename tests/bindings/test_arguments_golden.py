"""
Odd arguments: a number as text, NaN, a time too far ahead, against what Cloudflare answers.

The lines of golden/arguments.jsonl are named by the call and its argument as JSON.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from durable.contract import DurableError, DurableObject
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
