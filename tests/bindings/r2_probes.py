"""
The probes of golden/probe/r2.js in Python: the same calls in the same order.

They build on each other (one bucket for all), so they are replayed as a whole. Each
probe takes the replay's state and returns what the JavaScript one returned.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from r2.contract import FixedLengthStream, R2Bucket, R2ObjectBody
from tests.bindings.r2_adapters import START
from tests.bindings.r2_notation import write

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATER = datetime.fromtimestamp(START, UTC) + timedelta(seconds=1000)

State = dict[str, Any]
Probe = Callable[[R2Bucket, State], Awaitable[Any]]
PROBES: dict[str, Probe] = {}


def probe(name: str) -> Callable[[Probe], Probe]:
    """Register a probe under its golden *name*."""

    def register(function: Probe) -> Probe:
        assert name not in PROBES
        PROBES[name] = function
        return function

    return register


def add(name: str, function: Callable[[R2Bucket], Awaitable[Any]]) -> None:
    """Register a probe of a single call."""
    probe(name)(lambda r2, state: function(r2))


async def text(r2: R2Bucket, key: str, **options: Any) -> str:
    """Return the text of an object."""
    found: Any = await r2.get(key, **options)
    read: str = await found.text()
    return read


async def field(result: Awaitable[Any], name: str) -> Any:
    """Return a field of a result, None when there is no result."""
    found = await result
    return found and getattr(found, name)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield *chunks*; a stream that does not know its length."""
    for chunk in chunks:
        yield chunk


# -- basics --------------------------------------------------------------------------------

add("put returns", lambda r2: r2.put("a", "hello"))
add("head", lambda r2: r2.head("a"))


@probe("get props")
async def _(r2: R2Bucket, state: State) -> Any:
    found: Any = await r2.get("a")
    return [write(found), await found.text(), found.body_used]


@probe("get text twice")
async def _(r2: R2Bucket, state: State) -> Any:
    found: Any = await r2.get("a")
    await found.text()
    return await found.text()


add("get missing", lambda r2: r2.get("nope"))
add("head missing", lambda r2: r2.head("nope"))
add("delete returns", lambda r2: r2.delete("nope"))
add("delete array", lambda r2: r2.delete(["x1", "x2"]))
add("delete empty array", lambda r2: r2.delete([]))
add("delete 1000", lambda r2: r2.delete([f"k{i}" for i in range(1000)]))
add("delete 1001", lambda r2: r2.delete([f"k{i}" for i in range(1001)]))


@probe("put null")
async def _(r2: R2Bucket, state: State) -> Any:
    return [await field(r2.put("nul", None), "size"), await text(r2, "nul")]


add("put undefined", lambda r2: r2.put("und", None))
add("put number", lambda r2: r2.put("num", 5))  # type: ignore[arg-type]
add("put object", lambda r2: r2.put("obj", {"a": 1}))  # type: ignore[arg-type]
add("put ''", lambda r2: field(r2.put("emp", ""), "size"))


@probe("get empty body")
async def _(r2: R2Bucket, state: State) -> Any:
    found: Any = await r2.get("emp")
    return [await found.text(), found.range, found.etag]


add("put Uint8Array", lambda r2: field(r2.put("u8", memoryview(b"\1\2\3")), "etag"))
add("put ArrayBuffer", lambda r2: field(r2.put("ab", bytearray(b"\1\2\3")), "etag"))


@probe("put Blob")
async def _(r2: R2Bucket, state: State) -> Any:
    return [await field(r2.put("bl", b"abc"), "size"), await field(r2.head("bl"), "http_metadata")]


def known(data: bytes) -> FixedLengthStream:
    """Return a stream of *data* that knows its length."""
    return FixedLengthStream(stream(data), len(data))


add("put stream known len", lambda r2: field(r2.put("st", known(b"streamed")), "size"))
add("put stream unknown len", lambda r2: r2.put("st2", stream(b"zz")))  # type: ignore[arg-type]
add("put FixedLengthStream", lambda r2: field(r2.put("st3", known(b"zz")), "size"))


@probe("key 1024")
async def _(r2: R2Bucket, state: State) -> Any:
    return len(await field(r2.put("k" * 1024, "v"), "key"))


add("key 1025", lambda r2: r2.put("k" * 1025, "v"))
add("get key 1025", lambda r2: r2.get("k" * 1025))
add("key empty", lambda r2: field(r2.put("", "v"), "key"))
add("get key empty", lambda r2: field(r2.get(""), "key"))


@probe("key weird")
async def _(r2: R2Bucket, state: State) -> Any:
    key = "a/../b//c é😀\n"
    await r2.put(key, "v")
    listed = await r2.list(prefix="a/..")
    return [await field(r2.get(key), "key"), [item.key for item in listed.objects]]


# -- metadata ------------------------------------------------------------------------------


@probe("httpMetadata")
async def _(r2: R2Bucket, state: State) -> Any:
    metadata = {
        "content_type": "text/plain",
        "content_language": "en",
        "content_disposition": "inline",
        "content_encoding": "gzip",
        "cache_control": "no-store",
        "cache_expiry": EPOCH + timedelta(seconds=1),
    }
    await r2.put("hm", "v", http_metadata=metadata)
    return await field(r2.head("hm"), "http_metadata")


@probe("httpMetadata from Headers")
async def _(r2: R2Bucket, state: State) -> Any:
    headers = {
        "content-type": "a/b",
        "Cache-Control": "x",
        "expires": "Thu, 01 Jan 1970 00:00:05 GMT",
        "x-other": "1",
    }
    await r2.put("hm2", "v", http_metadata=headers)
    return await field(r2.head("hm2"), "http_metadata")


@probe("writeHttpMetadata")
async def _(r2: R2Bucket, state: State) -> Any:
    headers: dict[str, str] = {}
    found: Any = await r2.head("hm")
    found.write_http_metadata(headers)
    return sorted(headers.items())


add(
    "contentType invalid",
    lambda r2: field(
        r2.put("hmx", "v", http_metadata={"content_type": "bad\nvalue"}), "http_metadata"
    ),
)


@probe("customMetadata")
async def _(r2: R2Bucket, state: State) -> Any:
    await r2.put("cm", "v", custom_metadata={"A": "1", "b": "é"})
    return await field(r2.head("cm"), "custom_metadata")


@probe("customMetadata non-string")
async def _(r2: R2Bucket, state: State) -> Any:
    await r2.put("cm2", "v", custom_metadata={"a": 1, "b": None})
    return await field(r2.head("cm2"), "custom_metadata")


def custom(name: str, value: str) -> None:
    """Register a put with one custom value."""

    @probe(name)
    async def _(r2: R2Bucket, state: State) -> Any:
        await r2.put("cm3", "v", custom_metadata={"a": value})
        return "ok"


custom("customMetadata 2048", "x" * 2047)
custom("customMetadata 2049", "x" * 2048)
custom("customMetadata unicode 2x", "😀" * 600)


@probe("overwrite clears metadata")
async def _(r2: R2Bucket, state: State) -> Any:
    await r2.put("cm", "v2")
    found: Any = await r2.head("cm")
    return [found.custom_metadata, found.http_metadata]


# -- conditions ----------------------------------------------------------------------------


@probe("etag forms")
async def _(r2: R2Bucket, state: State) -> Any:
    state["e"] = await field(r2.put("c", "v1"), "etag")
    return [state["e"], await field(r2.head("c"), "http_etag")]


def put_if(name: str, key: str, body: str, condition: Callable[[str], Any], want: str = "") -> None:
    """Register a conditional put; *want* names the field returned, "" the object."""

    @probe(name)
    async def _(r2: R2Bucket, state: State) -> Any:
        found = await r2.put(key, body, only_if=condition(state["e"]))
        return found and (getattr(found, want) if want else found)


put_if("put onlyIf etagMatches ok", "c", "v2", lambda e: {"etag_matches": e}, "etag")
put_if("put onlyIf etagMatches stale", "c", "v3", lambda e: {"etag_matches": e})
add("value after failed cond", lambda r2: text(r2, "c"))
put_if("put onlyIf etagMatches missing key", "cmiss", "v", lambda e: {"etag_matches": e})
put_if(
    "put onlyIf etagDoesNotMatch * create-only on missing",
    "cnew",
    "v",
    lambda e: {"etag_does_not_match": "*"},
    "key",
)
put_if(
    "put onlyIf etagDoesNotMatch * on existing",
    "cnew",
    "v2",
    lambda e: {"etag_does_not_match": "*"},
)
put_if("put onlyIf etagMatches * on existing", "cnew", "v3", lambda e: {"etag_matches": "*"}, "key")
put_if("put onlyIf etagMatches * on missing", "cnew2", "v3", lambda e: {"etag_matches": "*"})
put_if("put onlyIf quoted etag", "c", "v", lambda e: {"etag_matches": f'"{e}"'})
put_if("put onlyIf Headers if-none-match *", "cnew", "v", lambda e: {"if-none-match": "*"})


@probe("put onlyIf Headers if-match quoted")
async def _(r2: R2Bucket, state: State) -> Any:
    quoted = await field(r2.head("c"), "http_etag")
    return await field(r2.put("c", "vv", only_if={"If-Match": quoted}), "key")


@probe("put onlyIf Headers if-match unquoted")
async def _(r2: R2Bucket, state: State) -> Any:
    state["e2"] = await field(r2.head("c"), "etag")
    return await r2.put("c", "vv", only_if={"if-match": state["e2"]})


@probe("get onlyIf match")
async def _(r2: R2Bucket, state: State) -> Any:
    found: Any = await r2.get("c", only_if={"etag_matches": state["e2"]})
    return ["GetResult", isinstance(found, R2ObjectBody), await found.text()]


@probe("get onlyIf etagDoesNotMatch same")
async def _(r2: R2Bucket, state: State) -> Any:
    found: Any = await r2.get("c", only_if={"etag_does_not_match": state["e2"]})
    no_text = "undefined" if not hasattr(found, "text") else "function"
    bare = not hasattr(found, "body")
    return ["HeadResult", not bare, bare, found.etag == state["e2"], no_text]


@probe("get onlyIf missing key")
async def _(r2: R2Bucket, state: State) -> Any:
    return await r2.get("nope", only_if={"etag_matches": state["e2"]})


def get_if(name: str, **condition: Any) -> None:
    """Register a conditional get that tells whether there was a body."""

    @probe(name)
    async def _(r2: R2Bucket, state: State) -> Any:
        return isinstance(await r2.get("c", only_if=condition), R2ObjectBody)


get_if("get onlyIf uploadedBefore past", uploaded_before=EPOCH)
get_if("get onlyIf uploadedBefore future", uploaded_before=LATER)
get_if("get onlyIf uploadedAfter past", uploaded_after=EPOCH)
get_if("get onlyIf uploadedAfter future", uploaded_after=LATER)
add("head w/ options ignored", lambda r2: r2.head("c", only_if={}))  # type: ignore[call-arg]

# -- ranges --------------------------------------------------------------------------------


def get_range(name: str, wanted: dict[str, Any]) -> None:
    """Register a get of part of the ten digits."""

    @probe(f"range {name}")
    async def _(r2: R2Bucket, state: State) -> Any:
        if "rg" not in state:
            state["rg"] = await r2.put("rg", "0123456789")
        found: Any = await r2.get("rg", range=wanted)
        return [await found.text(), found.range, found.size]


get_range("off 2 len 3", {"offset": 2, "length": 3})
get_range("off 2", {"offset": 2})
get_range("len 3", {"length": 3})
get_range("suffix 4", {"suffix": 4})
get_range("suffix 100", {"suffix": 100})
get_range("suffix 0", {"suffix": 0})
get_range("off 8 len 100", {"offset": 8, "length": 100})
get_range("off 10", {"offset": 10})
get_range("off 11", {"offset": 11})
get_range("len 0", {"length": 0})
get_range("off -1", {"offset": -1})
get_range("off 1.5", {"offset": 1.5})
get_range("suffix+offset", {"suffix": 1, "offset": 1})
get_range("empty {}", {})
for spec in ("2-4", "2-", "-3", "0-0", "5-100", "20-30", "0-1,3-4", "abc"):
    get_range(f"header bytes={spec}", {"range": f"bytes={spec}"})
get_range("header items=0-1", {"range": "items=0-1"})


@probe("get w/o range: range prop")
async def _(r2: R2Bucket, state: State) -> Any:
    found: Any = await r2.get("rg")
    await found.text()
    return found.range


add("head range prop", lambda r2: field(r2.head("rg"), "range"))
