from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClientFrame(_message.Message):
    __slots__ = ("seq", "send", "list", "fetch", "subscribe", "unsubscribe", "ack", "ping")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SEND_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    seq: int
    send: Send
    list: List
    fetch: Fetch
    subscribe: Subscribe
    unsubscribe: Unsubscribe
    ack: Ack
    ping: Ping
    def __init__(self, seq: _Optional[int] = ..., send: _Optional[_Union[Send, _Mapping]] = ..., list: _Optional[_Union[List, _Mapping]] = ..., fetch: _Optional[_Union[Fetch, _Mapping]] = ..., subscribe: _Optional[_Union[Subscribe, _Mapping]] = ..., unsubscribe: _Optional[_Union[Unsubscribe, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ...) -> None: ...

class Send(_message.Message):
    __slots__ = ("to", "ciphertext", "client_id")
    TO_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    to: str
    ciphertext: bytes
    client_id: str
    def __init__(self, to: _Optional[str] = ..., ciphertext: _Optional[bytes] = ..., client_id: _Optional[str] = ...) -> None: ...

class List(_message.Message):
    __slots__ = ("limit", "after")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    limit: int
    after: bytes
    def __init__(self, limit: _Optional[int] = ..., after: _Optional[bytes] = ...) -> None: ...

class Fetch(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Unsubscribe(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Ack(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServerFrame(_message.Message):
    __slots__ = ("seq", "sent", "message", "listing", "fetched", "subscribed", "error", "keys_low", "identity_changed", "pong", "acked")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LISTING_FIELD_NUMBER: _ClassVar[int]
    FETCHED_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    KEYS_LOW_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_CHANGED_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    ACKED_FIELD_NUMBER: _ClassVar[int]
    seq: int
    sent: Sent
    message: Message
    listing: Listing
    fetched: Fetched
    subscribed: Subscribed
    error: Error
    keys_low: KeysLow
    identity_changed: IdentityChanged
    pong: Pong
    acked: Acked
    def __init__(self, seq: _Optional[int] = ..., sent: _Optional[_Union[Sent, _Mapping]] = ..., message: _Optional[_Union[Message, _Mapping]] = ..., listing: _Optional[_Union[Listing, _Mapping]] = ..., fetched: _Optional[_Union[Fetched, _Mapping]] = ..., subscribed: _Optional[_Union[Subscribed, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., keys_low: _Optional[_Union[KeysLow, _Mapping]] = ..., identity_changed: _Optional[_Union[IdentityChanged, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., acked: _Optional[_Union[Acked, _Mapping]] = ...) -> None: ...

class Sent(_message.Message):
    __slots__ = ("id", "at_ms", "duplicate")
    ID_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    at_ms: int
    duplicate: bool
    def __init__(self, id: _Optional[bytes] = ..., at_ms: _Optional[int] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("id", "sender", "sender_name", "at_ms", "ciphertext")
    ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    SENDER_NAME_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    sender: str
    sender_name: str
    at_ms: int
    ciphertext: bytes
    def __init__(self, id: _Optional[bytes] = ..., sender: _Optional[str] = ..., sender_name: _Optional[str] = ..., at_ms: _Optional[int] = ..., ciphertext: _Optional[bytes] = ...) -> None: ...

class Listing(_message.Message):
    __slots__ = ("messages", "total")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Listed]
    total: int
    def __init__(self, messages: _Optional[_Iterable[_Union[Listed, _Mapping]]] = ..., total: _Optional[int] = ...) -> None: ...

class Listed(_message.Message):
    __slots__ = ("id", "sender", "sender_name", "at_ms", "size")
    ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    SENDER_NAME_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    sender: str
    sender_name: str
    at_ms: int
    size: int
    def __init__(self, id: _Optional[bytes] = ..., sender: _Optional[str] = ..., sender_name: _Optional[str] = ..., at_ms: _Optional[int] = ..., size: _Optional[int] = ...) -> None: ...

class Fetched(_message.Message):
    __slots__ = ("delivered", "remaining")
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    delivered: int
    remaining: int
    def __init__(self, delivered: _Optional[int] = ..., remaining: _Optional[int] = ...) -> None: ...

class Subscribed(_message.Message):
    __slots__ = ("active", "waiting")
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    active: bool
    waiting: int
    def __init__(self, active: _Optional[bool] = ..., waiting: _Optional[int] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "detail", "retry_after_ms")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    code: str
    detail: str
    retry_after_ms: int
    def __init__(self, code: _Optional[str] = ..., detail: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class KeysLow(_message.Message):
    __slots__ = ("left",)
    LEFT_FIELD_NUMBER: _ClassVar[int]
    left: int
    def __init__(self, left: _Optional[int] = ...) -> None: ...

class IdentityChanged(_message.Message):
    __slots__ = ("id", "user", "username", "at_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    user: str
    username: str
    at_ms: int
    def __init__(self, id: _Optional[bytes] = ..., user: _Optional[str] = ..., username: _Optional[str] = ..., at_ms: _Optional[int] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Acked(_message.Message):
    __slots__ = ("removed",)
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    removed: int
    def __init__(self, removed: _Optional[int] = ...) -> None: ...
