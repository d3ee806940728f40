"""Where a Redis server is, as one URL says it; what is shown of it never holds the password."""

import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from redis.asyncio.connection import Connection, parse_url
from redis.exceptions import RedisError

from kv.redis_errors import RedisStartError
from kv.redis_pipe import AnyConnection

_FORMS: Final = (
    "redis://[[user]:password@]host[:port][/database], rediss://… for TLS, or unix:///path"
)
DEFAULT_PREFIX: Final = "edgekeep"
_PREFIX: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_TLS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A server, a database on it, and the prefix of our key names there."""

    label: str
    """Host and port, or the path of the socket: what may be shown."""
    prefix: str
    _options: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """Read *url*; raises `RedisStartError`."""
        try:
            parts = urlsplit(url)
            port = parts.port
            query = parse_qs(parts.query, strict_parsing=bool(parts.query))
        except ValueError:
            # Python's own text would quote a piece of the password when it holds / or #.
            raise RedisStartError(
                f"the URL cannot be read; write {_FORMS}, with %-escapes for special characters."
            ) from None
        database = parts.path.strip("/")
        is_socket = parts.scheme == "unix"
        if parts.scheme not in ("redis", "rediss", "unix") or parts.fragment:
            raise RedisStartError(f"the URL must be {_FORMS}.")
        if not is_socket and database and not (database.isascii() and database.isdecimal()):
            raise RedisStartError("the database behind the / must be a number.")
        if is_socket and not database:
            raise RedisStartError("unix:// needs the path of a socket: unix:///run/redis.sock.")
        tls = _TLS_OPTIONS if parts.scheme == "rediss" else frozenset()
        if set(query) - tls - {"prefix"}:
            known = ", ".join(["prefix", *sorted(tls)])
            raise RedisStartError(f"behind the ? only these options are known: {known}.")
        prefix = query.get("prefix", [DEFAULT_PREFIX])[0]
        if not _PREFIX.fullmatch(prefix):
            raise RedisStartError("prefix= takes 1 to 64 letters, digits, dots, colons or dashes.")
        label = parts.path if is_socket else f"{parts.hostname or 'localhost'}:{port or 6379}"
        try:
            options: dict[str, Any] = dict(parse_url(url))
            options.pop("prefix", None)
            address = cls(label, prefix, options)
            address.connection()
        except (ValueError, TypeError, RedisError):
            raise RedisStartError(f"the URL cannot be read; write {_FORMS}.") from None
        return address

    def connection(self) -> AnyConnection:
        """Return a connection of the redis client that is not open yet."""
        options = dict(self._options)
        kind = options.pop("connection_class", Connection)
        # Our own clocks judge (see `redis_lane`), so the client's stay out of the way; CLIENT
        # SETINFO is a question that older servers and narrow ACLs refuse.
        made: AnyConnection = kind(
            **options,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=None,
            socket_read_size=256 * 1024,
            driver_info=None,
        )
        return made
