"""Encodings: nothing is lost, nothing has two spellings, nothing forged opens."""

import json
from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.codec import (
    b64url,
    canonical_json,
    iso_time,
    open_cursor,
    seal_cursor,
    unb64,
    unb64_either,
    unb64url,
)

JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner)
    ),
    max_leaves=12,
)
KEY = b"k" * 32


@given(data=st.binary(max_size=200))
def test_base64url_loses_nothing(data: bytes) -> None:
    """Encoding and decoding give the bytes back; the text is safe in an address."""
    text = b64url(data)
    assert unb64url(text) == data
    assert not set(text) & set("+/=&?#% ")


@given(text=st.text(max_size=30) | st.from_regex(r"[A-Za-z0-9_+/=-]{0,12}", fullmatch=True))
def test_every_text_that_decodes_is_the_one_spelling_of_its_bytes(text: str) -> None:
    """Padding, the other alphabet, blanks and loose last bits are refused."""
    try:
        data = unb64url(text)
    except ValueError:
        return
    assert b64url(data) == text


@given(data=st.binary(max_size=60))
def test_base64_is_read_with_and_without_padding(data: bytes) -> None:
    """Plain base64 is read by both readers, base64url by the one that says so."""
    plain, other = b64encode(data).decode(), urlsafe_b64encode(data).decode()
    for text in (plain, plain.rstrip("=")):
        assert unb64(text) == unb64_either(text) == data
    for text in (other, other.rstrip("=")):
        assert unb64_either(text) == data
        if plain != other:
            with pytest.raises(ValueError):
                unb64(text)


@pytest.mark.parametrize("text", ["a", "ab cd", "ab\ncd", "äbcd", "a=bc", "ab*="])
def test_what_is_no_base64_is_no_base64_for_either_reader(text: str) -> None:
    """Blanks, padding in the middle and other letters are refused."""
    for read in (unb64, unb64_either):
        with pytest.raises(ValueError):
            read(text)


@given(value=JSONISH)
def test_canonical_json_is_json_and_ignores_the_order_of_members(value: object) -> None:
    """It reads back as the same value; a value built in another order gives the same bytes."""
    encoded = canonical_json(value)
    assert json.loads(encoded) == value
    assert canonical_json(_reordered(value)) == encoded


def _reordered(value: object) -> object:
    if isinstance(value, dict):
        return {name: _reordered(value[name]) for name in reversed(list(value))}
    return [_reordered(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_has_no_number_that_json_lacks(value: float) -> None:
    """NaN and Infinity are an error, not text that nobody can read."""
    with pytest.raises(ValueError):
        canonical_json(value)


@given(position=JSONISH)
def test_a_cursor_opens_for_its_list_and_key_only(position: object) -> None:
    """The position comes back; another list, another key and another text do not open it."""
    cursor = seal_cursor(KEY, "profiles:kv", position)
    assert open_cursor(KEY, "profiles:kv", cursor) == position
    for key, purpose in ((KEY, "profiles:d1"), (b"x" * 32, "profiles:kv")):
        with pytest.raises(ValueError):
            open_cursor(key, purpose, cursor)


@given(position=JSONISH, at=st.integers(0, 500), char=st.characters(max_codepoint=0x2000))
def test_a_cursor_changed_in_one_character_does_not_open(
    position: object, at: int, char: str
) -> None:
    """Whatever stands in the place of any character, the seal is broken."""
    cursor = seal_cursor(KEY, "list", position)
    at %= len(cursor)
    if cursor[at] == char:
        return
    with pytest.raises(ValueError):
        open_cursor(KEY, "list", cursor[:at] + char + cursor[at + 1 :])


@given(text=st.text(max_size=40))
def test_no_other_text_opens_as_a_cursor(text: str) -> None:
    """Guesses fail with ValueError and nothing else."""
    with pytest.raises(ValueError):
        open_cursor(KEY, "list", text)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_248_000.5, "2026-11-21T08:00:00.500Z"),
        (1_795_248_000.9999, "2026-11-21T08:00:00.999Z"),
    ],
)
def test_times_are_utc_with_milliseconds(moment: float, text: str) -> None:
    """ISO 8601 with Z, always three digits."""
    assert iso_time(moment) == text
