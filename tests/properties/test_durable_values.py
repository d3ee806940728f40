"""Properties of plain data: storing and sending change nothing, and refuse the same things."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from durable.errors import DataCloneError
from durable.values import copy_sent, decode, encode, for_sqlite, stored_size

ZONES = st.one_of(
    st.none(),
    st.just(UTC),
    st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**300), 2**300),
    st.floats(allow_nan=False),
    st.text(st.characters()),
    st.sampled_from(["$b", "$t", "$s", "$m", "$n", "$"]),
    st.binary(),
    st.datetimes(timezones=ZONES).map(lambda t: t.replace(fold=0)),
)
# NaN differs from itself; it has its own test.
VALUES = st.recursive(
    SCALARS | st.sets(SCALARS),
    lambda inner: st.lists(inner) | st.dictionaries(SCALARS, inner),
    max_leaves=20,
)
BAD = st.sampled_from([object(), 1j, timedelta(1), Exception(), range(3), Ellipsis, datetime])


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal with equal types all the way down (1 is not True)."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    if isinstance(one, set):
        return one == other and {type(v) for v in one} == {type(v) for v in other}
    if isinstance(one, datetime):
        return bool(one.utcoffset() == other.utcoffset() and one == other)
    return bool(one == other) and str(one) == str(other)


@given(VALUES)
def test_what_is_stored_is_what_is_read(value: Any) -> None:
    """Encoding and decoding give the same value with the same types, in order."""
    stored = for_sqlite(encode(value))

    assert same(decode(stored), value)
    raw = stored if isinstance(stored, bytes) else stored.encode()
    assert stored_size(stored) == len(raw)
    if isinstance(stored, str):
        # Other tools read the files too: NaN and Infinity are not JSON.
        json.loads(stored, parse_constant=lambda name: 1 / 0)


@given(VALUES)
def test_what_is_sent_is_an_equal_copy(value: Any) -> None:
    """A copy is equal and shares no list, dict or set with the original."""
    copy = copy_sent(value)

    assert same(copy, value)
    mine, theirs = containers(value), containers(copy)
    assert not {id(c) for c in mine} & {id(c) for c in theirs}


def containers(value: Any) -> list[Any]:
    """Every list, dict and set in *value*, itself included."""
    if isinstance(value, (list, dict)):
        inner = value if isinstance(value, list) else list(value.values())
        return [value, *(c for v in inner for c in containers(v))]
    return [value] if isinstance(value, set) else []


@given(VALUES, BAD)
def test_both_ways_refuse_the_same_things(value: Any, bad: Any) -> None:
    """What is not plain data is refused wherever it hides, by storage and by calls."""
    for hidden in (bad, [value, bad], {"k": [bad]}, {1: bad}, [[{"a": {"b": bad}}]]):
        for operation in (encode, copy_sent):
            try:
                operation(hidden)
            except DataCloneError:
                continue
            raise AssertionError(f"{operation.__name__} took {hidden!r}")


def test_nan_is_kept() -> None:
    """NaN is stored and read as NaN, alone and inside."""
    assert str(decode(encode(float("nan")))) == "nan"
    assert str(decode(encode([float("nan")]))[0]) == "nan"
    assert [encode(float(n)) for n in ("nan", "-inf")] == ['{"$n":"nan"}', '{"$n":"-inf"}']


def test_deep_nesting_is_refused_and_never_unreadable() -> None:
    """Up to the limit a value is read again; beyond it, storing is refused."""
    for depth in (1, 100, 200):
        value: Any = 1
        for _ in range(depth):
            value = [value]
        assert decode(encode(value)) == value
        assert copy_sent(value) == value
    for _ in range(100_000):
        value = [value]
    for operation in (encode, copy_sent):
        try:
            operation(value)
        except DataCloneError:
            continue
        raise AssertionError("endless nesting was taken")
