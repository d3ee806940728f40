"""
The test vectors of the backup format: with these a client in another language checks itself.

    python -m tests.backup_client.vectors          writes docs/vectors/backup-v1.json

Every byte that is random in real use comes from a hash of its name here. Never use these values.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from clients.python.backup import password as passwords
from clients.python.backup import payload_pb2 as pb
from clients.python.backup.keys import FLOOR, SALT_BYTES, Cost, derive
from clients.python.backup.merging import merge_contacts
from clients.python.backup.model import (
    CURVE25519,
    Contact,
    IdentityPair,
    Payload,
    Profile,
    in_order,
)
from clients.python.backup.payload import BLOCK_BYTES, encode
from clients.python.backup.sealing import HEAD_BYTES, HEADER_BYTES, NONCE_BYTES, Header, seal
from tests.house.sources import ROOT

PATH = ROOT / "docs" / "vectors" / "backup-v1.json"
_PASSWORD = "correct horse battery staple"
_WHEN = 1_764_000_000_000


def document() -> dict[str, Any]:
    """Return all vectors."""
    sealed = list(_sealed())
    return {
        "format": "edgekeep backup v1",
        "about": "docs/backup-format.md. Bytes are hexadecimal. Made by tests/backup_client.",
        "passwords": list(_passwords()),
        "sealed": sealed,
        "refused": list(_refused(bytes.fromhex(sealed[0]["blob"]))),
        "merges": list(_merges()),
    }


def contact_json(contact: Contact) -> dict[str, Any]:
    """Return *contact* as it stands in the vectors."""
    return asdict(contact)


def payload_json(payload: Payload) -> dict[str, Any]:
    """Return *payload* as it stands in the vectors."""
    told = asdict(payload)
    for part, names in (("identity", ("public_key", "private_key")), ("profile", ("key",))):
        for name in names:
            told[part][name] = told[part][name].hex()
    return {**told, "contacts": [contact_json(contact) for contact in payload.contacts]}


def changed(blob: bytes, change: dict[str, Any]) -> bytes:
    """Return *blob* as a row of `refused` wants it: *length* first, then bytes put *at*."""
    new = bytearray(blob[: change.get("length", len(blob))])
    put = bytes.fromhex(change.get("bytes", ""))
    at = change.get("at", len(new))
    new[at : at + len(put)] = put
    return bytes(new)


def _fixed(name: str, length: int) -> bytes:
    return hashlib.shake_256(name.encode()).digest(length)


def _identity(name: str) -> IdentityPair:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    scalar = bytearray(_fixed(f"identity {name}", 32))
    scalar[0] &= 0xF8
    scalar[31] = scalar[31] & 0x7F | 0x40
    public = X25519PrivateKey.from_private_bytes(bytes(scalar)).public_key().public_bytes_raw()
    return IdentityPair(CURVE25519, b"\x05" + public, bytes(scalar))


def _payloads() -> Iterator[tuple[str, str, Cost, Payload]]:
    yield "no contacts", _PASSWORD, FLOOR, Payload(1, _WHEN, _identity("a"))
    contacts = in_order(
        [
            Contact("mira", "Mira K.", "from Lyon", _WHEN - 5),
            Contact("0198c9d2-5a44-7cc1-9f0a-0d3d8f6d2a11", "", "", _WHEN - 4),
            Contact("ærøskøbing", "Søren \U0001f30a", "«ü»\nline two", _WHEN - 3),
            Contact("gone", updated_at_ms=_WHEN - 2, deleted=True),
            Contact("\U0001f98a", "sorts after every letter above", "", 0),
            Contact("ﬃ-kept-as-it-is", "", "", 2**53 - 1),
        ]
    )
    profile = Profile("AAECAwQFBgcICQoLDA0ODw", _fixed("profile key", 32), _WHEN)
    full = Payload(7, _WHEN, _identity("b"), contacts, profile)
    # NFKC makes this "fine Z1: long enough".
    yield "contacts and an avatar", "\ufb01ne \uff3a\u2460: long enough", FLOOR, full
    many = tuple(
        Contact(f"friend-{number:03}", f"Friend {number}", "", _WHEN + number)
        for number in range(120)
    )
    yield (
        "two blocks, four lanes, more passes",
        "thirteen char",
        Cost(64 * 1024, 4, 4),
        Payload(2**53 - 1, _WHEN, IdentityPair(99, b"\x01", b"\x02\x03"), many),
    )


def _sealed() -> Iterator[dict[str, Any]]:
    for name, password, cost, payload in _payloads():
        salt, nonce = _fixed(f"salt {name}", SALT_BYTES), _fixed(f"nonce {name}", NONCE_BYTES)
        blob = seal(payload, password, cost, salt, nonce)
        with derive(passwords.as_bytes(password), salt, cost) as keys:
            encryption_key = keys.encrypt.hex()
        yield {
            "name": name,
            "password": password,
            "cost": asdict(cost),
            "salt": salt.hex(),
            "nonce": nonce.hex(),
            "encryption_key": encryption_key,
            "key_check": blob[HEADER_BYTES:HEAD_BYTES].hex(),
            "payload": payload_json(payload),
            "blob": blob.hex(),
        }


def _refused(first: bytes) -> Iterator[dict[str, Any]]:
    """Rows that change the first sealed blob; with *whole* the blob stands there itself."""
    header = Header.parse(first)

    def row(name: str, error: str, **change: Any) -> dict[str, Any]:
        return {"name": name, "error": error, "password": _PASSWORD, **change}

    def flip(name: str, error: str, at: int) -> dict[str, Any]:
        return row(name, error, at=at, bytes=bytes([first[at] ^ 1]).hex())

    def costing(name: str, error: str, *cost: int) -> dict[str, Any]:
        other = Header(Cost(*cost), header.salt, header.nonce).to_bytes()
        return row(name, error, at=0, bytes=other.hex())

    yield row("empty", "header_damaged", length=0)
    yield row("cut within the header", "header_damaged", length=63)
    yield flip("another magic", "header_damaged", 0)
    yield flip("another format version", "unsupported", 8)
    yield flip("a bit of the memory cost", "header_damaged", 15)
    yield flip("a bit of the salt", "header_damaged", 24)
    yield flip("a bit of the nonce", "header_damaged", 45)
    yield flip("a bit of the checksum", "header_damaged", 60)
    yield costing("memory below the floor", "too_weak", 64 * 1024 - 1, 3, 1)
    yield costing("passes below the floor", "too_weak", 64 * 1024, 2, 1)
    yield costing("no lanes", "too_weak", 64 * 1024, 3, 0)
    yield costing("4 GiB", "too_costly", 4 * 1024 * 1024, 3, 1)
    yield costing("1,000 passes", "too_costly", 64 * 1024, 1000, 1)
    yield costing("each in bounds, too much together", "too_costly", 512 * 1024, 5, 1)
    yield costing("65 lanes", "too_costly", 64 * 1024, 3, 65)
    yield {**row("another password", "wrong_password"), "password": "incorrect horse battery"}
    yield flip("a bit of the key check", "wrong_password", HEADER_BYTES)
    other = Header(header.cost, _fixed("other salt", SALT_BYTES), header.nonce).to_bytes()
    yield row("another salt with its checksum", "wrong_password", at=0, bytes=other.hex())
    yield row("cut after the key check", "body_damaged", length=HEAD_BYTES)
    yield row("one byte short", "body_damaged", length=len(first) - 1)
    yield row("one byte more", "body_damaged", bytes="00")
    yield flip("a bit of the ciphertext", "body_damaged", HEAD_BYTES + 40)
    yield flip("a bit of the tag", "body_damaged", len(first) - 1)
    for name, error, plain in _plain_refused():
        yield {**row(name, error), "whole": _sealed_plain(plain, header).hex()}


def _plain_refused() -> Iterator[tuple[str, str, bytes]]:
    good = encode(Payload(1, _WHEN, _identity("a")))
    yield "authentic, and no padding", "payload_invalid", bytes(BLOCK_BYTES)
    yield "authentic, and no Protobuf", "payload_invalid", _padded(b"\x0f\xff")
    yield "authentic, without identity", "payload_invalid", _padded(b"\x08\x01\x10\x01")
    message = pb.Payload()
    message.ParseFromString(good.rstrip(b"\0")[:-1])
    message.schema = 2
    yield "authentic, of a newer schema", "unsupported", _padded(message.SerializeToString())
    message.schema = 1
    for _ in range(2):
        message.contacts.add(id="twice")
    yield "authentic, a contact twice", "payload_invalid", _padded(message.SerializeToString())


def _padded(plain: bytes) -> bytes:
    return plain + b"\x80" + bytes(-(len(plain) + 1) % BLOCK_BYTES)


def _sealed_plain(plain: bytes, header: Header) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    first = header.to_bytes()
    with derive(passwords.as_bytes(_PASSWORD), header.salt, header.cost) as keys:
        head = first + keys.check_value(first)
        return head + AESGCM(keys.encrypt).encrypt(header.nonce, plain, head)


def _passwords() -> Iterator[dict[str, Any]]:
    for text in (
        "twelve chars",
        "thirteen char",
        "\ufb01ne \uff3a\u2460: long enough",
        "e\u0301" * 12,
        "\u00e9" * 13,
        "\U0001f98a" * 12,
        "\ufb03" * 5,
    ):
        normal = passwords.as_bytes(text)
        yield {
            "password": text,
            "bytes": normal.hex(),
            "accepted": len(normal.decode()) >= passwords.FEWEST_CHARACTERS,
        }


def _merges() -> Iterator[dict[str, Any]]:
    one, two = Contact("a", "one", "", 5), Contact("a", "two", "", 5)
    newer, gone = Contact("a", "new", "", 6), Contact("a", updated_at_ms=5, deleted=True)
    long, fox = Contact("a", "one", "n", 5), Contact("\U0001f98a", "", "", 1)
    rows = {
        "union": ([one], [Contact("b", "b", "", 1), fox]),
        "the newest wins": ([one], [newer]),
        "same moment, other name": ([one], [two]),
        "same moment, with a note": ([long], [two]),
        "same moment, removed here and kept there": ([gone], [one]),
        "removed later": ([one], [Contact("a", updated_at_ms=6, deleted=True)]),
        "order is that of UTF-8": ([fox], [Contact("\uffee", "", "", 1), one]),
    }
    for name, (ours, theirs) in rows.items():
        merged = merge_contacts(ours, theirs)
        yield {
            "name": name,
            "ours": [contact_json(contact) for contact in ours],
            "theirs": [contact_json(contact) for contact in theirs],
            "merged": [contact_json(contact) for contact in merged.contacts],
            "clashes": [clash.kept.id for clash in merged.clashes],
        }


def text() -> str:
    """Return the file."""
    return json.dumps(document(), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(text(), encoding="utf-8")
    print(f"wrote {PATH}", file=sys.stderr)
