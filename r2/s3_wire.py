"""
Requests to an S3 server, signed by the `minio` client, in a bounded pool of threads.

The client's public calls have no conditions and read bodies whole, so requests go through
its `_execute`, which signs and sends one. Everything here that is not `async` blocks and
runs in a thread of the pool; the event loop waits for it no longer than `Timing.patience`.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, ParamSpec, Protocol, TypeVar
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from r2.errors import BAD_NAME, INTERNAL, TOO_LARGE, R2Error, R2Unavailable, refusal
from r2.limits import CHUNK_BYTES
from r2.s3_address import S3Address
from r2.s3_xml import NotS3

THREADS: Final = 16
# Seconds to wait before the second and the third try of a request that may be repeated.
_PAUSES: Final = (0.1, 0.4)
_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_STATUS = re.compile(r"Response code: (\d+)")
_DOTS = re.compile(r"(?<=/)(\.{1,2})(?=/|\?|\Z)")
_TRANSIENT: Final = {"SlowDown", "RequestTimeout", "OperationAborted", "ServiceUnavailable"}
_BAD_NAMES: Final = {"KeyTooLongError", "XMinioInvalidObjectName", "InvalidObjectName"}

_FAILURES: Final = (
    *(MinioException, urllib3.exceptions.HTTPError, OSError),
    # From an answer that is neither S3's nor even XML.
    *(ParseError, UnicodeDecodeError),
)

P = ParamSpec("P")
T = TypeVar("T")
Headers = Mapping[str, str]


class Response(Protocol):
    """What is used of a urllib3 response."""

    status: int
    headers: Any

    @property
    def data(self) -> bytes:
        """The whole body, where it was read already."""

    def read(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Return the next *amt* bytes of the body, all of it for None."""

    def close(self) -> None:
        """Close the connection."""

    def shutdown(self) -> None:
        """Make a read in another thread end now."""

    def release_conn(self) -> None:
        """Give the connection back to the pool, its body having been read."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to wait, in seconds: for a connection, for the next bytes, for a step in all."""

    connect: float = 5.0
    read: float = 20.0
    patience: float = 30.0
    # A step that moves bytes may take longer: this many bytes a second are enough.
    pace: int = 256 * 1024


class Unreachable(Exception):  # noqa: N818 - a state of the server
    """The server does not answer, or says it cannot now; `why` names the kind of failure."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Refused(Exception):  # noqa: N818 - an answer
    """The server answered and refused: an HTTP status and S3's code, "" when it named none."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code

    @property
    def transient(self) -> bool:
        """Whether the same request may be answered a moment later."""
        busy = self.status in (408, 429) or self.status >= 500
        return (busy and self.status not in (501, 507)) or self.code in _TRANSIENT

    def translated(self, verb: str) -> R2Error:
        """Return R2's error for an answer nobody expected."""
        if self.transient or self.status in (401, 403, 507):
            return R2Unavailable(verb)
        if self.code in _BAD_NAMES or self.status == 414:
            return refusal(verb, BAD_NAME)
        return refusal(verb, TOO_LARGE if self.code == "EntityTooLarge" else INTERNAL)


class _Pool(urllib3.PoolManager):
    """Connections. Does what the client leaves to it: dots in keys, bodies in slices."""

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> Any:  # type: ignore[override]
        """Send one request. Redirects are answers like others."""
        # urllib3 would resolve "a/../b" as a browser does; the key was signed as it is.
        path, mark, query = url.partition("?")
        path = _DOTS.sub(lambda found: found[0].replace(".", "%2E"), path)
        # In one piece the whole body would have to be sent within one timeout.
        if (body := kw.get("body")) and len(body) > CHUNK_BYTES:
            kw["body"] = _slices(memoryview(body))
        return super().urlopen(method, path + mark + query, redirect=False, **kw)


class _Client(Minio):
    """The client, with the one call that its public ones are made of."""

    def send(self, method: str, bucket: str, key: str | None, **kw: Any) -> Response:
        """Sign and send a request and return the answer, of a status below 300."""
        answer: Response = self._execute(method, bucket, key, no_body_trace=True, **kw)
        return answer


class Wire:
    """The connection of one bucket to its server."""

    def __init__(self, address: S3Address, bucket: str, timing: Timing) -> None:
        """Nothing is sent yet."""
        self.bucket = bucket
        self.timing = timing
        self._closing = threading.Event()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="r2-s3")
        self._http = _Pool(
            maxsize=THREADS,
            timeout=urllib3.Timeout(connect=timing.connect, read=timing.read),
            retries=urllib3.Retry(0, redirect=0, raise_on_redirect=False),
            cert_reqs="CERT_REQUIRED",
        )
        self._client = _Client(
            *(address.endpoint, address.access_key, address.secret_key),
            secure=address.tls,
            region=address.region,
            http_client=self._http,
        )

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing.is_set()

    async def close(self) -> None:
        """Wait until running steps end; those not begun are dropped."""
        self._closing.set()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._http.clear()

    # -- on the event loop -----------------------------------------------------------------

    def submit(self, step: Callable[P, T], /, *args: P.args, **kw: P.kwargs) -> Future[T]:
        """Begin *step* in a thread; RuntimeError when the bucket is closed."""
        if self.closing:
            raise RuntimeError("The bucket is closed.")
        return self._threads.submit(step, *args, **kw)

    async def wait(self, verb: str, future: Future[T], moved: int = 0) -> T:
        """
        Return what a step returns that moves *moved* bytes, in R2's own errors.

        Raises R2Unavailable of *verb* when the server does not answer, or not in time,
        and R2Error for a refusal.
        """
        try:
            return await self.wait_plainly(future, moved)
        except (TimeoutError, Unreachable, NotS3):
            raise R2Unavailable(verb) from None
        except OSError as error:
            # The disk of the temporary files.
            raise refusal(verb, INTERNAL) from error
        except Refused as refused:
            raise refused.translated(verb) from None

    async def wait_plainly(self, future: Future[T], moved: int = 0) -> T:
        """Return what a step returns; TimeoutError, and what the step raises."""
        async with asyncio.timeout(self.timing.patience + moved / self.timing.pace):
            return await asyncio.wrap_future(future)

    async def run(self, verb: str, step: Callable[P, T], /, *args: P.args, **kw: P.kwargs) -> T:
        """Begin *step* and `wait` for it."""
        return await self.wait(verb, self.submit(step, *args, **kw))

    # -- in threads ------------------------------------------------------------------------

    def request(
        self,
        method: str,
        key: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        body: bytes | memoryview | None = None,
        once: bool = False,
        stream: bool = False,
    ) -> Response:
        """
        Send a request about *key*, or about the bucket, and return the answer.

        It is sent up to three times, unless *once*. *stream* leaves the body unread: the
        caller reads all of it or closes the response. Raises Refused and Unreachable.
        """
        send = partial(
            self._client.send,
            method,
            self.bucket,
            key,
            query_params=dict(query or {}),
            preload_content=not stream,
        )
        pauses = iter(() if once else _PAUSES)
        while True:
            try:
                # Headers anew: the client writes its own into them.
                return send(body=body, headers=dict(headers or {}))
            except _FAILURES as error:
                failure = _failure(error)
            pause = next(pauses, None)
            if pause is None or (isinstance(failure, Refused) and not failure.transient):
                raise failure
            if self._closing.wait(pause):
                raise failure

    def make_bucket(self) -> None:
        """Make the bucket. Raises Refused and Unreachable."""
        try:
            self._client.make_bucket(self.bucket)
        except _FAILURES as error:
            raise _failure(error) from None


def _failure(error: Exception) -> Refused | Unreachable:
    """Return *error* without the names, keys and addresses in its message."""
    if isinstance(error, S3Error):
        return Refused(error.response.status, error.code or "")
    if isinstance(error, ServerError):
        return Refused(error.status_code, "")
    if isinstance(error, InvalidResponseError):
        # Some servers send S3's XML as text/xml, which the client does not read.
        status, code = _STATUS.search(str(error)), _CODE.search(str(error))
        return Refused(int(status[1]) if status else 500, code[1] if code else "")
    reason: object = error
    while isinstance(reason, urllib3.exceptions.MaxRetryError) and reason.reason is not None:
        reason = reason.reason
    return Unreachable(f"{type(reason).__name__}: {reason}" if _is_tls(reason) else _kind(reason))


def _kind(reason: object) -> str:
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return "the host's name is not known"
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return "nothing answers at this address"
    if isinstance(reason, urllib3.exceptions.TimeoutError):
        return "it does not answer in time"
    return f"the connection broke off ({type(reason).__name__})"


def _is_tls(reason: object) -> bool:
    return isinstance(reason, urllib3.exceptions.SSLError)


def _slices(body: memoryview) -> Iterator[memoryview]:
    for begin in range(0, len(body), CHUNK_BYTES):
        yield body[begin : begin + CHUNK_BYTES]
