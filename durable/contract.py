"""
What a Durable Object promises, on a laptop and at the edge.

An object is one actor with a name: one instance at a time, one thread, events that take
turns only where they await something other than storage. Nothing leaves an object (a reply,
a WebSocket message, a call to another object) before the writes made until then are durable
against the death of the process. Source: facts/bindings.md section D, measured against
Cloudflare's own runtime. The storage half of the contract is in `durable/storage.py`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from durable.errors import ActorsClosedError as ActorsClosedError
from durable.errors import DataCloneError as DataCloneError
from durable.errors import DurableError as DurableError
from durable.errors import InvalidAccessError as InvalidAccessError
from durable.errors import ObjectAbortedError as ObjectAbortedError
from durable.errors import ObjectResetError as ObjectResetError
from durable.errors import OverloadedError as OverloadedError
from durable.errors import RemoteError as RemoteError
from durable.errors import SocketStateError as SocketStateError
from durable.errors import SqlError as SqlError
from durable.errors import TransactionError as TransactionError
from durable.storage import ObjectStorage as ObjectStorage
from durable.storage import SqlCursor as SqlCursor
from durable.storage import SqlStorage as SqlStorage
from durable.storage import SyncKv as SyncKv
from durable.storage import Transaction as Transaction

RESERVED_METHODS: Final = frozenset(
    {"fetch", "connect", "alarm", "dup", "constructor"}
    | {"web_socket_message", "web_socket_close", "web_socket_error"}
)
"""Handlers of the runtime: never callable by `ObjectStub.call`."""

MAX_TAGS: Final = 10
MAX_TAG_CHARACTERS: Final = 256
MAX_SOCKETS: Final = 32_768
MAX_AUTO_RESPONSE_BYTES: Final = 2048


@dataclass(frozen=True, slots=True)
class ObjectId:
    """Which object: 64 hex digits that belong to one class. Equal when the digits are equal."""

    hex: str
    name: str | None = field(default=None, compare=False)
    """The name it was made from, where that is known."""

    def __str__(self) -> str:
        return self.hex


@dataclass(frozen=True, slots=True)
class AlarmInfo:
    """What `alarm` is told about this call."""

    scheduled_time_ms: int
    """When the alarm was to ring: epoch milliseconds."""
    retry_count: int
    """How many calls of this alarm failed before this one (0 to 6)."""

    @property
    def is_retry(self) -> bool:
        """Whether this call follows a failed one."""
        return self.retry_count > 0


class WebSocket(Protocol):
    """The server end of a WebSocket, as an actor holds it."""

    @property
    def ready_state(self) -> int:
        """1 open, 2 closing, 3 closed."""
        ...

    def send(self, message: str | bytes) -> None:
        """Send *message* once earlier writes are durable. TypeError after `close`."""
        ...

    def send_many(self, messages: Sequence[str | bytes]) -> None:
        """`send` each of *messages*, in order; cheaper where many go out together."""
        ...

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close. InvalidAccessError for 1004, 1005, 1006, 1015 and outside 1000 to 4999."""
        ...

    @property
    def buffered_amount(self) -> int:
        """Bytes sent that the network has not taken yet; 0 at the edge, which cannot tell."""
        ...

    def close_after(self, seconds: float, code: int, reason: str = "") -> bool:
        """
        Close by itself after *seconds*, also while the object sleeps; the last call counts.

        False where the platform cannot (Cloudflare): set an alarm there.
        """
        ...

    def serialize_attachment(self, value: Any) -> None:
        """Keep *value* (plain data, at most 16,384 bytes) with the socket across hibernation."""
        ...

    def deserialize_attachment(self) -> Any:
        """Return a fresh copy of what was kept, or None."""
        ...


class ObjectContext(ABC):
    """What the runtime hands to one instance (Cloudflare's DurableObjectState)."""

    id: ObjectId
    storage: ObjectStorage

    @abstractmethod
    def block_concurrency_while(self, fn: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
        """
        Run *fn* while no other event of this object moves; await the result or ignore it.

        If *fn* raises, or takes longer than 30 s, the object is reset and every caller in it
        gets that error. In a constructor, call it without await.
        """

    @abstractmethod
    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        """Keep the object alive until *awaitable* is done; its failure is logged."""

    @abstractmethod
    def abort(self, reason: str | Exception = "") -> None:
        """
        Reset the object now: unwritten changes are lost, every caller in it gets *reason*.

        Raises:
            ObjectAbortedError: always, to end the event that called it.
        """

    @abstractmethod
    def accept_web_socket(self, ws: Any, tags: Iterable[str] = ()) -> None:
        """
        Take over the server end *ws*; its messages become `web_socket_message` events.

        Raises:
            SocketStateError: accepted before, too many tags or sockets, or a tag too long.
        """

    @abstractmethod
    def get_web_sockets(self, tag: str | None = None) -> list[Any]:
        """Return the accepted sockets, newest first; with *tag*, those that carry it."""

    @abstractmethod
    def get_tags(self, ws: Any) -> list[str]:
        """Return the tags of *ws*. SocketStateError unless it was accepted here."""

    @abstractmethod
    def set_web_socket_auto_response(
        self, request: str | None = None, response: str | None = None
    ) -> None:
        """
        Answer each message equal to *request* with *response* without waking the object.

        None switches it off. ValueError: a text is longer than 2048 bytes.
        """

    @abstractmethod
    def get_web_socket_auto_response(self) -> tuple[str, str] | None:
        """Return request and response, or None when switched off."""

    @abstractmethod
    def get_web_socket_auto_response_timestamp(self, ws: Any) -> int | None:
        """When the last auto-response went to *ws*, in epoch milliseconds, or None."""


class DurableObject:
    """
    Base class of actors.

    Optional handlers: `async fetch(request)`, `async alarm(info: AlarmInfo)`,
    `async web_socket_message(ws, message)`, `async web_socket_close(ws, code, reason,
    was_clean)`, `async web_socket_error(ws, error)`. Every other public method, and every
    property, answers `ObjectStub.call`.
    """

    def __init__(self, ctx: ObjectContext, env: Any) -> None:
        self.ctx = ctx
        self.env = env


class ObjectStub(ABC):
    """
    A caller's handle on one object; calls made through one stub arrive in order.

    A stub whose object was reset stays broken with that error: ask for a new one. The object itself
    is created by the first call.
    """

    id: ObjectId

    @property
    def name(self) -> str | None:
        """The name in the id, where known."""
        return self.id.name

    @abstractmethod
    async def fetch(self, request: Any) -> Any:
        """
        Hand *request* untouched to the object's `fetch` and return its response untouched.

        Raises:
            TypeError: the object has no `fetch`, or it returned None.
            Exception: what `fetch` raised, as a copy marked `.remote`.
        """

    @abstractmethod
    async def call(self, method: str, *args: Any) -> Any:
        """
        Call the public method (or read the property) *method* of the object.

        Arguments and result are copied; they must be plain data (`durable/values.py`).

        Raises:
            TypeError: there is no such method, or it is a handler of the runtime.
            DataCloneError: an argument or the result is not plain data.
            ValueError: arguments or result exceed 32 MiB.
            ObjectResetError: the object was reset meanwhile; the write may or may not be kept.
            Exception: what the method raised, as a copy marked `.remote`.
        """


class ObjectNamespace(ABC):
    """All objects of one class."""

    @abstractmethod
    def id_from_name(self, name: str) -> ObjectId:
        """Return the id of *name*: always the same within a class. "" is a name."""

    @abstractmethod
    def new_unique_id(self) -> ObjectId:
        """Return an id that nobody had before; it has no name."""

    @abstractmethod
    def id_from_string(self, hex: str) -> ObjectId:
        """
        Return the id with these digits.

        Raises:
            TypeError: not 64 hex digits, or an id of another class.
        """

    @abstractmethod
    def get(self, id: ObjectId) -> ObjectStub:
        """Return a new stub. TypeError for an id of another class."""

    def get_by_name(self, name: str) -> ObjectStub:
        """The same as `get(id_from_name(name))`."""
        return self.get(self.id_from_name(name))


_HEX = re.compile(r"[0-9a-fA-F]{64}\Z")


def check_hex(text: str) -> str:
    """Return *text* in lower case. TypeError unless it is 64 hex digits."""
    if not isinstance(text, str) or _HEX.match(text) is None:
        raise TypeError("Invalid Durable Object ID: must be 64 hex digits")
    return text.lower()


def check_tags(tags: Iterable[str]) -> list[str]:
    """Return *tags* without duplicates. SocketStateError for too many or too long ones."""
    if isinstance(tags, str):
        raise TypeError("tags must be a list of str, not one str")
    listed = list(tags)
    for tag in listed:
        if not isinstance(tag, str):
            raise TypeError(f"A tag must be a str, not {type(tag).__name__}.")
    distinct = list(dict.fromkeys(listed))
    if len(distinct) > MAX_TAGS:
        raise SocketStateError(f"a Hibernatable WebSocket cannot have more than {MAX_TAGS} tags")
    for tag in distinct:
        if len(tag) > MAX_TAG_CHARACTERS:
            raise SocketStateError(
                f'"{tag}" is longer than the max tag length ({MAX_TAG_CHARACTERS} characters).'
            )
    return distinct


def check_auto_response(request: str, response: str) -> tuple[str, str]:
    """Return both texts. ValueError when one is longer than 2048 bytes."""
    for side, text in (("Request", request), ("Response", response)):
        if not isinstance(text, str):
            raise TypeError(f"{side} must be a str, not {type(text).__name__}.")
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MAX_AUTO_RESPONSE_BYTES:
            raise ValueError(
                f"{side} cannot be larger than {MAX_AUTO_RESPONSE_BYTES} bytes. "
                f"A {side.lower()} of size {size} was provided."
            )
    return request, response
