"""What goes into a KV namespace and what comes out of it."""

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class KVKey:
    """One entry of a list."""

    name: str
    expiration: int | None
    """Absolute, in seconds since the epoch; None when the entry never ends."""
    metadata: Any


@dataclass(frozen=True, slots=True)
class KVPage:
    """A page of keys in the order of their UTF-8 bytes."""

    keys: list[KVKey]
    list_complete: bool
    cursor: str | None
    """Where the next page begins; None exactly when `list_complete`."""


@dataclass(frozen=True, slots=True)
class KVValue:
    """A value with its metadata; both None when the key is missing."""

    value: Any
    metadata: Any


class KVPut(NamedTuple):
    """One entry for `put_many`; the fields mean what they mean in `put`."""

    key: str
    value: str | bytes
    expiration: int | None = None
    expiration_ttl: int | None = None
    metadata: Any = None


class KVStored(NamedTuple):
    """What an adapter returns for one key."""

    value: bytes
    metadata: str | None
    """JSON text."""


class KVRow(NamedTuple):
    """What an adapter stores for one key."""

    key: str
    value: bytes
    expires_at: int | None
    """Seconds since the epoch: the entry is gone as soon as now >= expires_at."""
    metadata: str | None
    """JSON text."""
