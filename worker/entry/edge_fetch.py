"""
The edge's side of the fetch port: one hop by the platform's fetch.

Names are looked up by Cloudflare's network, which reaches no private one; `check_url` has judged
addresses that stand in the URL itself.
"""

from typing import Any

from worker import interop
from worker.fetch import Fetched, FetchFailed, Outgoing
from worker.interop import JsError, StreamReader
from worker.web import Headers


async def exchange(request: Outgoing, seconds: float) -> Fetched:
    """Implement `worker.fetch.Exchange`."""
    options = interop.plain_object(
        method=request.method,
        headers=interop.plain_object(**request.headers),
        body=None if request.body is None else interop.buffer(request.body),
        redirect="manual",
        # It ends the reading of the body, too.
        signal=interop.js_global("AbortSignal").timeout(max(1, round(seconds * 1000))),
    )
    try:
        answer = await interop.call(interop.js_global("globalThis"), "fetch", request.url, options)
        body = await _body(answer.body, request.max_bytes)
    except JsError as error:
        late = error.name in ("TimeoutError", "AbortError")
        raise FetchFailed("timeout" if late else "network", passing=True) from None
    return Fetched(int(answer.status), headers_from_js(answer.headers), body)


async def _body(stream: Any, max_bytes: int | None) -> bytes:
    reader = StreamReader(stream)
    body = bytearray()
    try:
        while max_bytes is not None and (chunk := await reader.read()):
            body += chunk
            if len(body) > max_bytes:
                raise FetchFailed("too large")
    finally:
        reader.cancel()
    return bytes(body)


def headers_from_js(raw: Any) -> Headers:
    """Return the fields of a JavaScript Headers object."""
    headers = Headers()
    for field in raw:
        headers.add(str(field[0]), str(field[1]))
    return headers
