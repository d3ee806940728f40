"""What is an upload of keys and what is not: each wrong field named, nothing else raised."""

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.prekeys import Device
from worker.errors import BadRequest
from worker.limits import ERRORS_IN_ANSWER
from worker.relay.keys.model import Upload, parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PREKEY = st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "key", "signature"), JSON))
NAMES = ("signed_pre_key", "last_resort_kyber_pre_key", "one_time_pre_keys", "kyber_pre_keys")
FIELD = rf"(identity_key|registration_id|({'|'.join(NAMES)})(\[\d\])?(\.(id|key|signature))?)"
BODY = st.fixed_dictionaries(
    {},
    optional={
        "identity_key": JSON,
        "registration_id": JSON,
        **{name: JSON | PREKEY | st.lists(PREKEY | JSON, max_size=3) for name in NAMES},
    },
)


@given(BODY | JSON)
def test_any_json_is_an_upload_or_refused_by_field(body: Any) -> None:
    """Nothing else is raised, and nothing of the body is quoted."""
    refused = None
    try:
        assert isinstance(parse(body), Upload)
    except BadRequest as problem:
        refused = problem
    if refused is not None:
        assert refused.errors or not isinstance(body, dict)
        for error in refused.errors:
            assert set(error) == {"field", "error_code", "message"}
            assert re.fullmatch(FIELD, error["field"])


@pytest.mark.parametrize("spell", ["padded", "bare", "urlsafe"])
def test_keys_may_be_written_in_either_base64(spell: str) -> None:
    """Padding and alphabet are read leniently, stored in one way."""
    key = Device().identity_key
    while not {"+", "/"} <= set(key):
        key = Device().identity_key
    raw = base64.b64decode(key)
    written = {
        "padded": key,
        "bare": base64.b64encode(raw).decode().rstrip("="),
        "urlsafe": base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }[spell]
    assert parse({"identity_key": written}).identity_key == key


DEVICE = Device()
KEY = DEVICE.identity_key
SMALL = base64.b64encode(b"\x05" + bytes(32)).decode()
CUT = base64.b64encode(base64.b64decode(KEY)[:32]).decode()
BARE = base64.b64encode(base64.b64decode(KEY)[1:]).decode()
SIGNED = DEVICE.signed()
KYBER = DEVICE.last_resort()
_WRONG: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "a number for a key": ({"identity_key": 5}, [("identity_key", "key")]),
    "a key of small order": ({"identity_key": SMALL}, [("identity_key", "key")]),
    "a key of another type": ({"identity_key": "CA" + KEY[2:]}, [("identity_key", "key")]),
    "a key that lost its end": ({"identity_key": CUT}, [("identity_key", "key")]),
    "a key without its type": ({"identity_key": BARE}, [("identity_key", "key")]),
    "a key and a half": ({"identity_key": KEY + KEY}, [("identity_key", "key")]),
    "a truth for a number": ({"registration_id": True}, [("registration_id", "range")]),
    "a fraction": ({"registration_id": 1.0}, [("registration_id", "range")]),
    "below zero": ({"registration_id": -1}, [("registration_id", "range")]),
    "33 bits": ({"registration_id": 2**32}, [("registration_id", "range")]),
    "a prekey without a signature": (
        {"signed_pre_key": {"id": 1, "key": KEY}},
        [("signed_pre_key.signature", "signature")],
    ),
    "a signature that is short": (
        {"signed_pre_key": SIGNED | {"signature": SIGNED["signature"][:-8]}},
        [("signed_pre_key.signature", "signature")],
    ),
    "a Kyber key of Curve25519": (
        {"kyber_pre_keys": [KYBER, SIGNED]},
        [("kyber_pre_keys[1].key", "key")],
    ),
    "a prekey that is none": ({"one_time_pre_keys": [None]}, [("one_time_pre_keys[0]", "type")]),
    "an empty prekey": (
        {"one_time_pre_keys": [{}]},
        [("one_time_pre_keys[0].id", "range"), ("one_time_pre_keys[0].key", "key")],
    ),
    "an id twice": (
        {"one_time_pre_keys": DEVICE.one_time(2, start=1) + DEVICE.one_time(1, start=2)},
        [("one_time_pre_keys", "unique")],
    ),
    "a key twice": (
        {"one_time_pre_keys": [{"id": 1, "key": KEY}, {"id": 2, "key": KEY}]},
        [("one_time_pre_keys", "unique")],
    ),
    "a Kyber key twice, under both types": (
        {"kyber_pre_keys": [KYBER, KYBER | {"id": 2, "key": "C" + "g" + KYBER["key"][2:]}]},
        [("kyber_pre_keys", "unique")],
    ),
    "a signed prekey among those that are given once": (
        {"one_time_pre_keys": [{"id": 5, "key": SIGNED["key"]}]},
        [("signed_pre_key.key", "unique")],
    ),
    "the last resort among those that are given once": (
        {"last_resort_kyber_pre_key": KYBER, "kyber_pre_keys": [KYBER]},
        [("last_resort_kyber_pre_key.key", "unique")],
    ),
    "no list": ({"one_time_pre_keys": {}}, [("one_time_pre_keys", "length")]),
    "too many": ({"one_time_pre_keys": DEVICE.one_time(101)}, [("one_time_pre_keys", "length")]),
}


@pytest.mark.parametrize("name", _WRONG)
def test_each_wrong_field_is_named(name: str) -> None:
    """By its path and the rule that it breaks; the good ones beside it are not."""
    body, faults = _WRONG[name]
    with pytest.raises(BadRequest) as refused:
        parse({"signed_pre_key": SIGNED, **body})
    found = [(error["field"], error["error_code"]) for error in refused.value.errors]
    assert found == faults


def test_no_more_faults_are_told_than_a_person_reads() -> None:
    """Two hundred prekeys may each be wrong in three ways."""
    with pytest.raises(BadRequest) as refused:
        parse({"one_time_pre_keys": [{}] * 100, "kyber_pre_keys": [{}] * 100})
    assert len(refused.value.errors) == ERRORS_IN_ANSWER
