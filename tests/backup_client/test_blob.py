"""The sealed blob: what opens, what is refused, and before which step."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.python.backup import sealing
from clients.python.backup.errors import (
    BlobError,
    BodyDamaged,
    InvalidContact,
    PayloadInvalid,
    TooLarge,
    WeakPassword,
    WrongPassword,
)
from clients.python.backup.identity import new_identity
from clients.python.backup.keys import FLOOR, Cost, Keys, derive
from clients.python.backup.model import (
    HIGHEST_NUMBER,
    Contact,
    Payload,
    Profile,
    contact_id,
    in_order,
)
from clients.python.backup.payload import decode, encode
from clients.python.backup.sealing import HEAD_BYTES, HEADER_BYTES, Header, open_with, seal, unseal
from tests.backup_client.conftest import PASSWORD

SALT, NONCE = bytes(range(16)), bytes(range(12))
PAYLOAD = Payload(3, 1_764_000_000_000, new_identity(), (Contact("mira", "Mira", "x", 5),))
BLOB = seal(PAYLOAD, PASSWORD, FLOOR, SALT, NONCE)


KEYS: Keys = derive(PASSWORD.encode(), SALT, FLOOR)


def code_of(work: Callable[[], object]) -> str:
    """Return the code of the clean error that *work* ends with, "" for none."""
    try:
        work()
    except BlobError as error:
        return error.code
    return ""


def test_a_sealed_backup_opens_with_its_password_alone() -> None:
    """What went in comes out, and nothing of it is readable before."""
    assert unseal(BLOB, PASSWORD) == PAYLOAD
    assert PAYLOAD.identity.private_key not in BLOB
    assert b"mira" not in BLOB


def test_another_spelling_of_the_same_password_opens_it() -> None:
    """Full-width and composed characters are the same password (NFKC)."""
    wide = "".join(chr(ord(c) + 0xFEE0) if c != " " else c for c in PASSWORD)

    assert unseal(BLOB, wide) == PAYLOAD


def test_the_length_tells_contacts_only_in_blocks() -> None:
    """One contact more leaves the size as it was; sizes are multiples of 4,096 and the frame."""
    more = replace(PAYLOAD, contacts=in_order([*PAYLOAD.contacts, Contact("noor", "N", "", 6)]))

    assert len(encode(more)) == len(encode(PAYLOAD)) == 4096
    assert len(BLOB) == 4096 + HEAD_BYTES + 16


@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
def test_every_changed_byte_is_noticed(at: int, mask: int) -> None:
    """Whatever byte changes: a clean error of the kind that fits to the place."""
    blob = bytearray(BLOB)
    blob[at] ^= mask
    if at < HEADER_BYTES:
        assert code_of(lambda: Header.parse(bytes(blob))) in ("header_damaged", "unsupported")
        return
    expected = WrongPassword if at < HEAD_BYTES else BodyDamaged
    with pytest.raises(expected):
        open_with(bytes(blob), Header.parse(bytes(blob)), KEYS)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: BLOB[:64] + tail))
def test_no_bytes_crash_the_header(blob: bytes) -> None:
    """Any bytes are a header within bounds, or a clean error."""
    code_of(lambda: Header.parse(blob).cost.check())


@given(
    st.integers(0, 2**32 - 1) | st.integers(64 * 1024 - 2, 513 * 1024),
    st.integers(0, 2**32 - 1) | st.integers(0, 18),
    st.integers(0, 2**32 - 1) | st.integers(0, 18),
)
def test_costs_out_of_bounds_never_reach_argon2(memory: int, passes: int, lanes: int) -> None:
    """A header that asks for more than three seconds or less than the floor is refused unread."""
    header = Header(Cost(memory, passes, lanes), SALT, NONCE).to_bytes()
    code = code_of(lambda: Header.parse(header))
    if memory < 64 * 1024 or passes < 3 or lanes < 1:
        assert code == "too_weak"
    elif memory > 512 * 1024 or passes > 16 or lanes > 16 or memory * passes > 2**21:
        assert code == "too_costly"
    else:
        assert code == ""


def test_a_hostile_header_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """4 GiB are refused before a key is derived, and so are a short blob and an endless one."""
    monkeypatch.setattr(sealing, "derive", lambda *_: pytest.fail("Argon2id ran"))
    greedy = Header(Cost(4 * 1024 * 1024, 3, 1), SALT, NONCE).to_bytes() + BLOB[HEADER_BYTES:]

    for blob, code in ((greedy, "too_costly"), (BLOB[:-1], "body_damaged")):
        with pytest.raises(BlobError) as refused:
            unseal(blob, PASSWORD)
        assert refused.value.code == code
    with pytest.raises(TooLarge):
        unseal(bytes(sealing.LARGEST_BLOB + 1), PASSWORD)


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_payload(content: bytes) -> None:
    """What decrypts to any bytes is a payload, or a clean error."""
    padded = content + b"\x80" + bytes(-(len(content) + 1) % 4096)
    assert code_of(lambda: decode(padded).check()) in ("", "payload_invalid", "unsupported")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
CONTACTS = st.builds(
    lambda id_, name, note, when, gone: Contact(
        id_, "" if gone else name, "" if gone else note, when, gone
    ),
    TEXT.filter(bool),
    TEXT,
    TEXT,
    st.integers(0, HIGHEST_NUMBER),
    st.booleans(),
)


@given(
    st.lists(CONTACTS, max_size=20, unique_by=lambda one: one.id),
    st.integers(1, HIGHEST_NUMBER),
    st.binary(min_size=32, max_size=32),
)
def test_every_payload_survives_its_encoding(
    contacts: list[Contact], generation: int, key: bytes
) -> None:
    """decode is the inverse of encode, for every payload that keeps the rules."""
    payload = Payload(generation, 0, PAYLOAD.identity, in_order(contacts), Profile("an-id", key, 7))

    assert decode(encode(payload)) == payload


@pytest.mark.parametrize(
    "payload",
    [
        replace(PAYLOAD, generation=0),
        replace(PAYLOAD, created_at_ms=-1),
        replace(PAYLOAD, contacts=(Contact("b"), Contact("a"))),
        replace(PAYLOAD, contacts=(Contact("a"), Contact("a"))),
        replace(PAYLOAD, contacts=(Contact(""),)),
        replace(PAYLOAD, contacts=(Contact("a", "\ud800"),)),
        replace(PAYLOAD, contacts=(Contact("a", "é" * 513),)),
        replace(PAYLOAD, contacts=(Contact("a", "name", deleted=True),)),
        replace(PAYLOAD, profile=Profile("id", b"short", 1)),
        replace(PAYLOAD, profile=Profile("", b"k" * 32, 1)),
        replace(PAYLOAD, profile=Profile("../other", b"k" * 32, 1)),
        replace(PAYLOAD, identity=replace(PAYLOAD.identity, public_key=b"\x05")),
        replace(PAYLOAD, identity=replace(PAYLOAD.identity, public_key=b"\x04" + bytes(32))),
        replace(PAYLOAD, identity=replace(PAYLOAD.identity, key_type=0)),
    ],
)
def test_what_breaks_the_schema_is_not_written(payload: Payload) -> None:
    """A backup that no client would open is not made."""
    with pytest.raises(InvalidContact):
        encode(payload)


def test_padding_is_judged() -> None:
    """Content without its end mark, or with a block of zeros too many, is refused."""
    for padded in (b"", bytes(4096), encode(PAYLOAD) + bytes(4096)):
        with pytest.raises(PayloadInvalid):
            decode(padded)


def test_more_than_two_mebibytes_are_not_sealed() -> None:
    """The server would refuse it; the client says so first, and without Argon2id."""
    many = tuple(Contact(f"{number:06}", "", "n" * 16_000, 1) for number in range(140))

    with pytest.raises(TooLarge):
        seal(replace(PAYLOAD, contacts=many), PASSWORD, FLOOR, SALT, NONCE)


def test_a_short_password_and_a_low_cost_seal_nothing() -> None:
    """Neither reaches the cipher: 12 characters, or parameters below the floor."""
    with pytest.raises(WeakPassword):
        seal(PAYLOAD, "twelve chars", FLOOR, SALT, NONCE)
    with pytest.raises(BlobError):
        seal(PAYLOAD, PASSWORD, replace(FLOOR, passes=2), SALT, NONCE)


def test_a_typed_id_gets_one_form() -> None:
    """Case, width and surrounding blanks do not make another contact; odd ones are refused."""
    assert contact_id(" \uff2dira ") == contact_id("mira")
    for text in ("", " ", "two words", "a\x00b", "a\u202eb", "a\ud800", "é" * 300, "line\nend"):
        with pytest.raises(InvalidContact):
            contact_id(text)


def test_secrets_do_not_print() -> None:
    """Neither the identity's private key nor the avatar's key stands in a repr."""
    secret = os.urandom(32)
    printed = repr(replace(PAYLOAD, profile=Profile("id", secret, 1)))

    assert repr(secret)[2:-1] not in printed
    assert "private_key" not in printed
