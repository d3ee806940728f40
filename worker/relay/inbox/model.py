"""
What is said over the relay's WebSocket, as values: actions of clients, events of the server.

relay.proto describes each; here they have no encoding. Ids are 16 bytes, times milliseconds since
the epoch. The inbox knows these and no encoding, the encodings know these and no inbox.
"""

from typing import Final, NamedTuple

from worker.limits import KIB, MIB

# An inbox holds so many messages (FR-009).
RELAY_INBOX_MESSAGES = 1000
# How long it knows the ids of sends that may be repeated.
RELAY_REMEMBER_MS = 3600 * 1000
# One read of the backlog, and one fetch or listing at most.
RELAY_CHUNK_MESSAGES = 1000
RELAY_CHUNK_BYTES = 512 * KIB
RELAY_FETCH_BYTES = 8 * MIB
# How long a sender's inbox goes by a name that it looked up.
RELAY_NAME_MS = 30 * 1000

ID_BYTES = 16


class FrameError(Exception):
    """A frame that cannot be read: *code* for machines, *detail* a sentence that quotes nothing."""

    def __init__(self, code: str, detail: str, seq: int = 0) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.seq = seq


# -- actions ---------------------------------------------------------------------------------------


class Send(NamedTuple):
    """Put *ciphertext* into the inbox of *to*: a username in any spelling, or an account id."""

    to: str
    ciphertext: bytes
    client_id: str = ""


class ListInbox(NamedTuple):
    """Tell what waits behind the id *after*, at most *limit* (0: as many as one answer holds)."""

    limit: int = 0
    after: bytes = b""


class Fetch(NamedTuple):
    """Deliver what waits, at most *limit* (0: as many as one answer covers)."""

    limit: int = 0


class Subscribe(NamedTuple):
    """Deliver what waits and then whatever comes."""


class Unsubscribe(NamedTuple):
    """No more pushes on this socket."""


class Ack(NamedTuple):
    """These messages are safe with the client."""

    ids: tuple[bytes, ...] = ()


class Ping(NamedTuple):
    """Is anybody there?"""


Action = Send | ListInbox | Fetch | Subscribe | Unsubscribe | Ack | Ping
# By the names that relay.proto and JSON give them, as `EVENTS`.
ACTIONS: Final[dict[str, type[Action]]] = {
    "send": Send,
    "list": ListInbox,
    "fetch": Fetch,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "ack": Ack,
    "ping": Ping,
}


# -- events ----------------------------------------------------------------------------------------


class Sent(NamedTuple):
    """A message was accepted: it is stored and survives a crash."""

    id: bytes
    at_ms: int
    duplicate: bool = False


class Message(NamedTuple):
    """A message for this inbox."""

    id: bytes
    sender: str
    sender_name: str
    at_ms: int
    ciphertext: bytes


class IdentityChanged(NamedTuple):
    """Somebody has a new identity key; what was written to them and not read is gone."""

    id: bytes
    user: str
    username: str
    at_ms: int


class Listed(NamedTuple):
    """One line of a listing; *size* in bytes of ciphertext."""

    id: bytes
    sender: str
    sender_name: str
    at_ms: int
    size: int


class Listing(NamedTuple):
    """What waits, oldest first; *total* in the whole inbox."""

    messages: tuple[Listed, ...]
    total: int


class Fetched(NamedTuple):
    """A fetch has ended."""

    delivered: int
    remaining: int


class Subscribed(NamedTuple):
    """Pushes are on or off; *waiting* messages will follow."""

    active: bool
    waiting: int = 0


class Refused(NamedTuple):
    """A frame was refused; the connection goes on."""

    code: str
    detail: str
    retry_after_ms: int = 0


class KeysLow(NamedTuple):
    """Few one-time prekeys are left."""

    left: int


class Pong(NamedTuple):
    """Somebody is."""


class Acked(NamedTuple):
    """So many messages were removed."""

    removed: int


Delivery = Message | IdentityChanged
Event = (
    Sent
    | Message
    | Listing
    | Fetched
    | Subscribed
    | Refused
    | KeysLow
    | IdentityChanged
    | Pong
    | Acked
)
EVENTS: Final[dict[type[Event], str]] = {
    Sent: "sent",
    Message: "message",
    Listing: "listing",
    Fetched: "fetched",
    Subscribed: "subscribed",
    Refused: "error",
    KeysLow: "keys_low",
    IdentityChanged: "identity_changed",
    Pong: "pong",
    Acked: "acked",
}
