from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Payload(_message.Message):
    __slots__ = ("schema", "generation", "created_at_ms", "identity", "contacts", "profile")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    schema: int
    generation: int
    created_at_ms: int
    identity: Identity
    contacts: _containers.RepeatedCompositeFieldContainer[Contact]
    profile: Profile
    def __init__(self, schema: _Optional[int] = ..., generation: _Optional[int] = ..., created_at_ms: _Optional[int] = ..., identity: _Optional[_Union[Identity, _Mapping]] = ..., contacts: _Optional[_Iterable[_Union[Contact, _Mapping]]] = ..., profile: _Optional[_Union[Profile, _Mapping]] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("key_type", "public_key", "private_key")
    KEY_TYPE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    key_type: int
    public_key: bytes
    private_key: bytes
    def __init__(self, key_type: _Optional[int] = ..., public_key: _Optional[bytes] = ..., private_key: _Optional[bytes] = ...) -> None: ...

class Contact(_message.Message):
    __slots__ = ("id", "name", "note", "updated_at_ms", "deleted")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    note: str
    updated_at_ms: int
    deleted: bool
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., note: _Optional[str] = ..., updated_at_ms: _Optional[int] = ..., deleted: _Optional[bool] = ...) -> None: ...

class Profile(_message.Message):
    __slots__ = ("attachment_id", "key", "updated_at_ms")
    ATTACHMENT_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    attachment_id: str
    key: bytes
    updated_at_ms: int
    def __init__(self, attachment_id: _Optional[str] = ..., key: _Optional[bytes] = ..., updated_at_ms: _Optional[int] = ...) -> None: ...
