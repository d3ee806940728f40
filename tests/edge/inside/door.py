"""
The test door: runs one primitive of an edge adapter and tells how it ended.

A call and its answer are pickles: both ends are ours, and the contract's own objects pass as they
are. Where the contract streams, the door streams with JavaScript and sends bytes.
"""

import pickle
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from typing import Any

from d1_schema.contract import D1Database
from d1_schema.edge import EdgeDatabase
from kv.contract import KVError, KVNamespace
from kv.edge import EdgeNamespace
from r2.contract import R2Bucket, R2Object, R2ObjectBody
from r2.edge import EdgeBucket
from r2.streams import IncomingBody
from tests.edge.inside import ports
from worker.env import BINDINGS

# In place of a binding: the call is one of ports.py.
PORTS = "@ports"

# Bodies from here on (bytes) are read and written in pieces, shorter ones at once.
STREAMED = 100
_PIECE = 50_000
# Spare stores are named KV_0, D1_5 …
_SPARE = {"KV": KVNamespace, "D1": D1Database, "R2": R2Bucket}


@dataclass(frozen=True)
class SentBody:
    """A body of a put on its way in; *length* is what the caller declared."""

    data: bytes
    length: int


@dataclass(frozen=True)
class SentObject:
    """An object with its body on its way out."""

    members: dict[str, Any]
    data: bytes


async def answer(call: bytes, js_env: Any) -> bytes:
    """Run the pickled (binding, primitive, arguments) and return a pickle of the outcome."""
    binding, primitive, arguments = pickle.loads(call)
    adapter = ports if binding == PORTS else _open(binding, getattr(js_env, binding))
    try:
        result = await getattr(adapter, primitive)(*map(_received, arguments))
        return pickle.dumps(("ok", await _sent(result)))
    except KVError as error:
        return pickle.dumps(("kv", (error.operation, error.status, error.text)))
    except Exception as error:
        return pickle.dumps(("raised", error))


def _open(binding: str, raw: Any) -> Any:
    kind = BINDINGS.get(binding) or _SPARE[binding.partition("_")[0]]
    if kind is KVNamespace:
        return EdgeNamespace(raw, time.time)
    return EdgeDatabase(raw) if kind is D1Database else EdgeBucket(raw)


def _received(argument: Any) -> Any:
    if not isinstance(argument, SentBody):
        return argument
    if argument.length == len(argument.data) < STREAMED:
        return IncomingBody(argument.data, None, argument.length)
    return IncomingBody(None, _pieces(argument.data), argument.length)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]


async def _sent(result: Any) -> Any:
    if not isinstance(result, R2ObjectBody):
        return result
    members = {field.name: getattr(result, field.name) for field in fields(R2Object)}
    if result.body.length < STREAMED:
        return SentObject(members, await result.body.read_all())
    return SentObject(members, b"".join([chunk async for chunk in result.body]))
