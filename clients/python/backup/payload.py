"""The payload as Protobuf, padded: what lies under the encryption (payload.proto)."""

from google.protobuf.message import DecodeError

from clients.python.backup import payload_pb2 as pb
from clients.python.backup.errors import InvalidContact, PayloadInvalid, Unsupported
from clients.python.backup.model import Contact, IdentityPair, Payload, Profile

SCHEMA = 1
# The length of a backup tells the server how many contacts there are, to within about fifty.
BLOCK_BYTES = 4096
# ISO/IEC 7816-4 padding: this byte, then zeros.
_END_MARK = b"\x80"


def encode(payload: Payload) -> bytes:
    """Return *payload* as padded Protobuf; raises `InvalidContact` when it breaks a limit."""
    payload.check()
    message = pb.Payload(
        schema=SCHEMA,
        generation=payload.generation,
        created_at_ms=payload.created_at_ms,
        identity=pb.Identity(
            key_type=payload.identity.key_type,
            public_key=payload.identity.public_key,
            private_key=payload.identity.private_key,
        ),
        contacts=[_contact(contact) for contact in payload.contacts],
        profile=_profile(payload.profile),
    )
    plain: bytes = message.SerializeToString(deterministic=True)
    return plain + _END_MARK + bytes(-(len(plain) + 1) % BLOCK_BYTES)


def decode(padded: bytes) -> Payload:
    """Return the payload; raises `PayloadInvalid` and `Unsupported` (a newer schema)."""
    plain = padded.rstrip(b"\0")
    if not plain.endswith(_END_MARK) or len(padded) - len(plain) >= BLOCK_BYTES:
        raise PayloadInvalid("The backup's content is not padded as it should be.")
    message = pb.Payload()
    try:
        message.ParseFromString(plain[:-1])
    except DecodeError:
        raise PayloadInvalid("The backup's content is no Protobuf of its schema.") from None
    if message.schema > SCHEMA:
        raise Unsupported("A newer Edgekeep made this backup; update this one to open it.")
    if message.schema != SCHEMA or not message.HasField("identity"):
        raise PayloadInvalid("The backup's content lacks its schema or its identity.")
    payload = _payload(message)
    try:
        payload.check()
    except InvalidContact as error:
        raise PayloadInvalid(f"The backup's content breaks a rule: {error}") from None
    return payload


def contact_bytes(contact: Contact) -> bytes:
    """Return *contact* as Protobuf: what decides between two of the same moment."""
    encoded: bytes = _contact(contact).SerializeToString(deterministic=True)
    return encoded


def profile_bytes(profile: Profile) -> bytes:
    """Return *profile* as Protobuf: what decides between two of the same moment."""
    encoded: bytes = _profile(profile).SerializeToString(deterministic=True)
    return encoded


def _payload(message: pb.Payload) -> Payload:
    key = message.identity
    return Payload(
        message.generation,
        message.created_at_ms,
        IdentityPair(key.key_type, key.public_key, key.private_key),
        tuple(Contact(c.id, c.name, c.note, c.updated_at_ms, c.deleted) for c in message.contacts),
        Profile(message.profile.attachment_id, message.profile.key, message.profile.updated_at_ms),
    )


def _contact(contact: Contact) -> pb.Contact:
    return pb.Contact(
        id=contact.id,
        name=contact.name,
        note=contact.note,
        updated_at_ms=contact.updated_at_ms,
        deleted=contact.deleted,
    )


def _profile(profile: Profile) -> pb.Profile:
    return pb.Profile(
        attachment_id=profile.attachment_id, key=profile.key, updated_at_ms=profile.updated_at_ms
    )
