"""
Env: the bag of bindings and ambient things that every handler and actor receives.

Nothing in the core reaches for a clock, dice, disk or network of its own; it asks here.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Protocol, get_type_hints

from d1_schema.contract import D1Database
from durable.contract import ObjectNamespace
from kv.contract import KVNamespace
from r2.contract import R2Bucket
from worker.crypto import Crypto
from worker.data_holders import DataHolder
from worker.fetch import Fetch
from worker.identity.access import Access
from worker.limiter.counting import Limiter
from worker.log import Log
from worker.mail.port import MailPort
from worker.schema_check import SchemaCheck
from worker.settings import Settings


class Tools(Protocol):
    """The ambient ports of a platform."""

    @property
    def crypto(self) -> Crypto:
        """The crypto port."""

    @property
    def fetch(self) -> Fetch:
        """The fetch port: HTTP to other people's servers."""

    @property
    def mail(self) -> MailPort:
        """The mail port."""

    def now(self) -> float:
        """Return the time as epoch seconds (UTC)."""

    def random_bytes(self, count: int) -> bytes:
        """Return *count* bytes from the platform's secure source."""

    def socket_pair(self) -> tuple[Any, Any]:
        """Return the (client end, server end) of a new WebSocket pair."""

    def schema_check(self, schema: dict[str, Any]) -> SchemaCheck:
        """Return a checker for *schema* (JSON Schema 2020-12)."""

    def shipped(self, name: str) -> bytes | None:
        """Return the file *name* of the API's page, or None where it is not shipped."""

    def free_bytes(self) -> int | None:
        """Return how many bytes the disk below the stores has left; None: it has no end."""

    async def pause(self, seconds: float) -> None:
        """Let *seconds* pass; 0 gives other work a turn."""

    def wait_until(self, work: Awaitable[Any]) -> None:
        """Let *work* go on after the answer has left."""


@dataclass(slots=True)
class Env:
    """The tools, and the bindings of wrangler_compat.toml under their own names in lower case."""

    settings: Settings
    log: Log
    tools: Tools
    request_id: Callable[[], str]
    access: Access
    limiter: Limiter
    holders: Mapping[str, DataHolder]
    reserved: frozenset[str]
    """Words of our own paths, without `-` and `_`: no usernames."""
    # A binding is a field here and an entry there; entries put it in once the bag exists, because
    # each actor receives the bag. The type says which kind it is.
    profiles_kv: KVNamespace = field(init=False)
    import_report_kv: KVNamespace = field(init=False)
    idempotency_kv: KVNamespace = field(init=False)
    db: D1Database = field(init=False)
    blobs: R2Bucket = field(init=False)
    import_room: ObjectNamespace = field(init=False)
    profile_count: ObjectNamespace = field(init=False)
    idempotency_box: ObjectNamespace = field(init=False)
    rate_limiter: ObjectNamespace = field(init=False)
    inbox: ObjectNamespace = field(init=False)

    def now_ms(self) -> int:
        """Return the time as whole milliseconds since the epoch."""
        return int(self.tools.now() * 1000)


def declared_bindings() -> dict[str, type]:
    """Return the bindings that `Env` declares: name in the configuration -> contract."""
    kinds = get_type_hints(Env)
    return {slot.name.upper(): kinds[slot.name] for slot in fields(Env) if not slot.init}


BINDINGS: Final = declared_bindings()
