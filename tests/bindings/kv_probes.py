"""
The probes of golden/probe/kv.js in Python: the same calls, in the same order.

They build on each other (one namespace for all), so they are replayed as a whole.
A probe returns what the JavaScript one returned, in golden notation.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from kv.contract import KVKey, KVNamespace, KVPage, KVValue
from tests.bindings.adapters import START

Probe = Callable[[KVNamespace], Awaitable[Any]]
PROBES: dict[str, Probe] = {}
UNDEFINED = "«undefined»"
BIG = 25 * 1024 * 1024


def add(name: str, probe: Probe) -> None:
    """Register *probe* under its golden name."""
    assert name not in PROBES, name
    PROBES[name] = probe


def write(answer: Any) -> Any:
    """
    Put an answer of the contract into golden notation.

    Settled here once: None stands for undefined properties, bytes for ArrayBuffer,
    and there is no cacheStatus, which is always null.
    """
    if isinstance(answer, KVValue):
        return {"value": answer.value, "metadata": answer.metadata, "cacheStatus": None}
    if isinstance(answer, KVKey):
        each = {"name": answer.name, "expiration": answer.expiration, "metadata": answer.metadata}
        return {name: value for name, value in each.items() if value is not None}
    if isinstance(answer, KVPage):
        page = {"keys": write(answer.keys), "list_complete": answer.list_complete}
        cursor = {} if answer.cursor is None else {"cursor": answer.cursor}
        return {**page, **cursor, "cacheStatus": None}
    if isinstance(answer, bytes):
        return f"ArrayBuffer({len(answer)})[{','.join(map(str, answer))}]"
    return [write(each) for each in answer] if isinstance(answer, list) else answer


async def replay(kv: KVNamespace) -> dict[str, Any]:
    """Run every probe; return the answers by name."""
    answers: dict[str, Any] = {}
    for name, probe in PROBES.items():
        try:
            answers[name] = write(await probe(kv))
        except (Exception, UnicodeError) as error:
            answers[name] = ["ERR", _class_of(error), str(error)]
    return answers


def _class_of(error: Exception) -> str:
    """The JavaScript class that stands for a Python one."""
    if isinstance(error, ValueError):
        return "SyntaxError"
    return "TypeError" if isinstance(error, TypeError) else "Error"


def put(key: Any, value: Any = "v", **options: Any) -> Probe:
    """A probe that stores, and answers as JavaScript: nothing."""

    async def probe(kv: KVNamespace) -> Any:
        await kv.put(key, value, **options)
        return UNDEFINED

    return probe


async def text_of(stream: AsyncIterator[bytes]) -> str:
    """Read a stream to its end."""
    return b"".join([chunk async for chunk in stream]).decode()


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    """A stream."""
    for part in parts:
        yield part


async def names(kv: KVNamespace, **options: Any) -> list[str]:
    """Names on one page."""
    return [key.name for key in (await kv.list(**options)).keys]


async def bulk(kv: KVNamespace, *keys: str, type: str = "text") -> Any:
    """Several values, written as a Map."""
    return {"«Map»": [[key, value] for key, value in (await kv.get_many(keys, type)).items()]}


add("put returns", put("a", "1"))
add("get a", lambda kv: kv.get("a"))
add("get missing", lambda kv: kv.get("nope"))
add("getWithMetadata missing", lambda kv: kv.get_with_metadata("nope"))
add("getWithMetadata a", lambda kv: kv.get_with_metadata("a"))
add("get type json on '1'", lambda kv: kv.get("a", "json"))
add("get type json {type}", lambda kv: kv.get("a", type="json"))


async def _json_invalid(kv: KVNamespace) -> Any:
    await kv.put("bad", "{nope")
    return await kv.get("bad", "json")


async def _stream(kv: KVNamespace) -> Any:
    stream = await kv.get("a", "stream")
    assert stream is not None
    return ["«ReadableStream»", await text_of(stream)]


add("get json invalid", _json_invalid)
add("get arrayBuffer", lambda kv: kv.get("a", "bytes"))
add("get stream", _stream)
add("get type invalid", lambda kv: kv.get("a", "blob"))
add("get type invalid missing key", lambda kv: kv.get("nope", "blob"))
add("get empty key", lambda kv: kv.get(""))
add("get .", lambda kv: kv.get("."))
add("get ..", lambda kv: kv.get(".."))
add("put ..", put("..", "x"))
add("get 513", lambda kv: kv.get("x" * 513))
add("put 512", put("x" * 512))
add("put 513", put("x" * 513))
add("delete 513", lambda kv: kv.delete("x" * 513))
add("put é*257 (514 bytes)", put("é" * 257))


async def _delete_missing(kv: KVNamespace) -> Any:
    await kv.delete("nope")
    return UNDEFINED


def _as_text(key: str, text: str) -> Probe:
    """JavaScript stored this text for a value that Python refuses; so do we, as text."""

    async def probe(kv: KVNamespace) -> Any:
        await kv.put(key, text)
        return await kv.get(key)

    return probe


add("delete missing", _delete_missing)
add("put number value", put("num", 5))
add("get num", _as_text("num", "5"))
add("put null value", put("nul", None))
add("get nul", _as_text("nul", "null"))
add("put undefined value", put("und", None))
add("get und", _as_text("und", "undefined"))
add("put bool value", put("bo", True))
add("get bo", _as_text("bo", "true"))
add("put object", put("o", {"a": 1}))
add("put array", put("o", [1]))
add("put Uint8Array", put("u8", bytes([1, 2, 255])))
add("get u8", lambda kv: kv.get("u8", "bytes"))


async def _invalid_utf8(kv: KVNamespace) -> Any:
    return [ord(character) for character in await kv.get("u8") or ""]


async def _put_stream(kv: KVNamespace) -> Any:
    await kv.put("st", chunks(b"a", b"bc"))
    return UNDEFINED


async def _put_endless(kv: KVNamespace) -> Any:
    await kv.put("st2", chunks(b"zz"))
    return UNDEFINED


add("get u8 as text (invalid utf8)", _invalid_utf8)
add("put stream", _put_stream)
add("get st", lambda kv: kv.get("st"))
add("put stream unknown length", _put_endless)
add("get st2", lambda kv: kv.get("st2"))
add("put numeric key", put(42, "n"))
add("get '42'", _as_text("42", "n"))
add("put ttl 59", put("t", expiration_ttl=59))
add("put ttl 60", put("t", expiration_ttl=60))
add("put ttl 0", put("t", expiration_ttl=0))
add("put ttl -1", put("t", expiration_ttl=-1))
add("put ttl 60.9", put("t", expiration_ttl=60.9))
add("put ttl '120'", put("t", expiration_ttl="120"))


async def _ttl_none(kv: KVNamespace) -> Any:
    await kv.put("tn", "v", expiration_ttl=None)
    await kv.delete("tn")  # JavaScript refused it: the later lines count the keys
    return UNDEFINED


add("put ttl null", _ttl_none)
add("put ttl undefined", put("t"))
add("put ttl 1e12", put("t", expiration_ttl=1e12))
add("put expiration past", put("t", expiration=START - 1))
add("put expiration +30", put("t", expiration=START + 30))
add("put expiration +61", put("t2", expiration=START + 61))


async def _both(kv: KVNamespace) -> Any:
    await kv.put("t3", "v", expiration=START + 1000, expiration_ttl=100)
    (key,) = (await kv.list(prefix="t3")).keys
    assert key.expiration is not None
    return key.expiration - START


async def _replaced(kv: KVNamespace) -> Any:
    await kv.put("t4", "v", expiration_ttl=100, metadata={"a": 1})
    await kv.put("t4", "v2")
    return [await kv.get_with_metadata("t4"), (await kv.list(prefix="t4")).keys]


async def _metadata_none(kv: KVNamespace) -> Any:
    await kv.put("m1", "v", metadata=None)
    return [await kv.get_with_metadata("m1"), (await kv.list(prefix="m1")).keys]


async def _metadata_left_out(kv: KVNamespace) -> Any:
    await kv.put("m2", "v")
    return await kv.get_with_metadata("m2")


async def _metadata_kinds(kv: KVNamespace) -> Any:
    found: list[Any] = []
    for metadata in ("s", 1, [1, 2], False, 0, ""):
        await kv.put("m3", "v", metadata=metadata)
        found.append((await kv.get_with_metadata("m3")).metadata)
        found.append((await kv.list(prefix="m3")).keys[0])
    return found


async def _metadata_unicode(kv: KVNamespace) -> Any:
    await kv.put("m4", "v", metadata={"x": "🤓é"})
    return [(await kv.get_with_metadata("m4")).metadata, (await kv.list(prefix="m4")).keys]


add("put both: ttl wins?", _both)
add("put again clears expiration+metadata", _replaced)
add("metadata null", _metadata_none)
add("metadata undefined", _metadata_left_out)
add("metadata str/num/arr", _metadata_kinds)
add("metadata unicode", _metadata_unicode)
add("metadata 1024 bytes", put("m5", metadata="x" * 1022))
add("metadata 1025 bytes", put("m5", metadata="x" * 1023))
add("value 25MiB", put("big", bytes(BIG)))
add("value 25MiB+1", put("big", bytes(BIG + 1)))
