"""The probes of golden/probe/kv.js in Python, second half: cache, list, bulk, odd keys."""

import asyncio
from typing import Any

from kv.contract import KVNamespace
from tests.bindings.kv_probes import UNDEFINED, add, bulk, names, put, write

PAGE_FIELDS = ["keys", "list_complete", "cursor", "cacheStatus"]


async def _cache_ttl_29(kv: KVNamespace) -> Any:
    await kv.delete("big")
    return await kv.get("a", cache_ttl=29)


async def _list_three(kv: KVNamespace) -> Any:
    page = write(await kv.list(limit=3))
    return [list(page), page]


async def _list_complete(kv: KVNamespace) -> Any:
    page = write(await kv.list(prefix="m1"))
    return [list(page), page]


async def _count(kv: KVNamespace, **options: Any) -> int:
    return len(await names(kv, **options))


add("cacheTtl 29", _cache_ttl_29)
add("cacheTtl 30", lambda kv: kv.get("a", cache_ttl=30))
add("cacheTtl 60", lambda kv: kv.get("a", cache_ttl=60))
add("list default", _list_three)
add("list complete keys", _list_complete)
add("list limit 0", lambda kv: _count(kv, limit=0))
add("list limit -1", lambda kv: _count(kv, limit=-1))
add("list limit 1000", lambda kv: _count(kv, limit=1000))
add("list limit 1001", lambda kv: _count(kv, limit=1001))
add("list prefix null/cursor null", lambda kv: _count(kv, prefix=None, cursor=None))
add("list prefix ''", lambda kv: _count(kv, prefix="", cursor=""))
add("list bad cursor", lambda kv: names(kv, cursor="!!notbase64"))
add("list prefix 513", lambda kv: names(kv, prefix="x" * 513))


async def _order(kv: KVNamespace) -> Any:
    for key in ("z/b", "z/a", "z/A", "z/é", "z/zz", "z/𝒳", "z/\uffff", "z/10", "z/9"):
        await kv.put(key, "")
    return await names(kv, prefix="z/")


async def _pages(kv: KVNamespace) -> Any:
    pages = []
    cursor = None
    for _ in range(3):
        page = await kv.list(prefix="z/", limit=4, cursor=cursor)
        cursor = page.cursor
        pages.append([[k.name for k in page.keys], page.list_complete, cursor or UNDEFINED])
    return pages


async def _exact_page(kv: KVNamespace) -> Any:
    page = await kv.list(prefix="z/", limit=9)
    return [len(page.keys), page.list_complete, page.cursor or UNDEFINED]


async def _cursor_alone(kv: KVNamespace) -> Any:
    first = await kv.list(prefix="z/", limit=4)
    return await names(kv, limit=2, cursor=first.cursor)


async def _hundred(kv: KVNamespace) -> int:
    return len(await kv.get_many([f"q{i}" for i in range(100)]))


async def _bulk_with_metadata(kv: KVNamespace) -> Any:
    found = await kv.get_many_with_metadata(["m4", "nope", "a"])
    pairs: list[Any] = []
    for key, each in found.items():
        pair = None if each is None else {"value": each.value, "metadata": each.metadata}
        pairs.append([key, pair])
    return {"«Map»": pairs}


add("list order", _order)
add("list page1", _pages)
add("list exact page boundary", _exact_page)
add("cursor w/o prefix", _cursor_alone)
add("bulk get", lambda kv: bulk(kv, "a", "nope"))
add("bulk get int-like keys", lambda kv: bulk(kv, "42", "a"))
add("bulk get dup", lambda kv: bulk(kv, "a", "a"))
add("bulk get json", lambda kv: bulk(kv, "a", type="json"))
add("bulk get json bad", lambda kv: bulk(kv, "a", "bad", type="json"))
add("bulk get {type:json}", lambda kv: bulk(kv, "a", type="json"))
add("bulk arrayBuffer", lambda kv: bulk(kv, "a", type="arrayBuffer"))
add("bulk 0", lambda kv: bulk(kv))
add("bulk 100", _hundred)
add("bulk 101", lambda kv: bulk(kv, *(f"q{i}" for i in range(101))))
add("bulk getWithMetadata", _bulk_with_metadata)
add("bulk empty key", lambda kv: bulk(kv, ""))
add("bulk 513", lambda kv: bulk(kv, "x" * 513))


async def _no_arguments(kv: KVNamespace) -> Any:
    get: Any = kv.get
    return await get()


async def _one_argument(kv: KVNamespace) -> Any:
    store: Any = kv.put
    return await store("k")


async def _slash(kv: KVNamespace) -> Any:
    await kv.put("a/b c%20?#&+", "v")
    return [await kv.get("a/b c%20?#&+"), (await kv.list(prefix="a/b")).keys]


async def _nul(kv: KVNamespace) -> Any:
    await kv.put("n\n\0x", "v")
    return [await kv.get("n\n\0x"), (await kv.list(prefix="n\n")).keys]


async def _delete_bulk(kv: KVNamespace) -> str:
    return "function" if hasattr(kv, "delete_many") else "undefined"


async def _methods(kv: KVNamespace) -> list[str]:
    return [name for name in vars(KVNamespace) if not name.startswith("_")]


async def _race(kv: KVNamespace) -> Any:
    await asyncio.gather(*(kv.put("c", str(i)) for i in range(1, 6)))
    return await kv.get("c")


add("get no args", _no_arguments)
add("put 1 arg", _one_argument)
add("key with slash & space & % & ?#", _slash)
add("key with NUL/newline", _nul)
add("lone surrogate key", put("s\ud800"))
add("deleteBulk present", _delete_bulk)
add("kv methods", _methods)
add("concurrent put same key", _race)
