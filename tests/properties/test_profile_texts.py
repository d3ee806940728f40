"""What is stored is what was validated, and what strangers see is that without the birthday."""

import copy
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.profiles import profile, profile_v2
from tests.support.spellings import TRICKS, spellings
from worker.entry.host_tools import HostTools
from worker.profiles.import_run import Judge
from worker.profiles.model import keeps_its_text, public_view, upgrade
from worker.profiles.store.profiles import Row
from worker.schema_check import PortableCheck

_TOOLS = HostTools()
NATIVE = Judge(SimpleNamespace(tools=_TOOLS))  # type: ignore[arg-type]
PORTABLE = Judge(SimpleNamespace(tools=SimpleNamespace(schema_check=PortableCheck)))  # type: ignore[arg-type]


@st.composite
def valid_documents(draw: st.DrawFn) -> dict[str, Any]:
    """Return a valid document whose free texts look like JSON."""
    document = copy.deepcopy(draw(st.sampled_from([profile(), profile_v2()])))
    parts = document["profile"]
    if draw(st.booleans()):
        parts["identity"]["user_name"] = draw(TRICKS)
        parts["intent"]["biography"] = draw(TRICKS) + draw(TRICKS)
        parts["interests"]["interests"] = [draw(TRICKS), "chess"]
    if draw(st.booleans()):
        document["generator_version"] = draw(TRICKS)
    if draw(st.booleans()):
        identity = parts["identity"]
        names = draw(st.permutations(list(identity)))
        parts["identity"] = {name: identity[name] for name in names}
    return document


def no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object in which a name stands twice."""
    made = dict(pairs)
    assert len(made) == len(pairs), "a member name stands twice"
    return made


def has_twins(text: str) -> bool:
    """Whether a member name stands twice in an object of *text*."""
    try:
        json.loads(text, object_pairs_hook=no_twins)
    except AssertionError:
        return True
    return False


def without_birthday(document: dict[str, Any]) -> dict[str, Any]:
    """Return *document* as strangers may see it."""
    shown = copy.deepcopy(document)
    del shown["profile"]["identity"]["birthday"]
    return shown


@settings(max_examples=300)
@given(data=st.data())
def test_however_a_profile_is_spelt_only_what_was_validated_is_stored(data: st.DataObject) -> None:
    """Blanks, escapes and hidden twins never reach the store; nothing visible is lost."""
    document = data.draw(valid_documents())
    # LineReader hands lines on without the blanks around them.
    text = data.draw(spellings(document)).strip(" \t\r")
    for judge in (NATIVE, PORTABLE):
        row = judge.judge(text.encode())
        if not isinstance(row, Row):
            assert row[0].rule == ("nul_character" if "\\u0000" in text else "duplicate_member")
            assert "\\u0000" in text or has_twins(text)
            continue
        assert not has_twins(text)
        assert row.profile_id == document["profile_id"]
        assert json.loads(row.document, object_pairs_hook=no_twins) == document
        assert "\n" not in row.document
        assert json.loads(public_view(row.document)) == without_birthday(document)


@settings(max_examples=300)
@given(data=st.data())
def test_a_text_that_is_kept_holds_nothing_but_the_document(data: st.DataObject) -> None:
    """`keeps_its_text` says yes only for texts without twins whose birthday can be cut out."""
    document = data.draw(valid_documents())
    text = data.draw(spellings(document))
    if keeps_its_text(text, document):
        assert json.loads(text, object_pairs_hook=no_twins) == document
        assert json.loads(public_view(text)) == without_birthday(document)


def test_the_ordinary_compact_spelling_is_kept_as_it_is() -> None:
    """What every JSON writer emits is stored without writing it anew."""
    for document in (profile(), profile_v2()):
        compact = json.dumps(document, separators=(",", ":"))
        row = NATIVE.judge(compact.encode())
        assert isinstance(row, Row)
        assert row.document == compact
        assert keeps_its_text(compact, document)


def test_an_upgraded_profile_is_a_valid_one_of_the_new_version() -> None:
    """v1 read as v2 conforms to v2, keeps every member and invents nothing."""
    old = profile()
    new = upgrade(old, "user_profile.v2")
    assert isinstance(NATIVE.judge(json.dumps(new).encode()), Row)
    assert new["profile"] == old["profile"]
    assert new["persona_settings"] == {"languages": [], "traits": []}
    assert old["schema_version"] == "user_profile.v1"
    assert upgrade(profile_v2(), "user_profile.v1") == profile_v2()


@given(
    line=st.binary(max_size=60) | st.text(st.characters(codec="utf-8"), max_size=60).map(str.encode)
)
def test_any_bytes_get_a_verdict(line: bytes) -> None:
    """The judge never fails: it returns a row or at least one violation."""
    verdict = NATIVE.judge(line)
    assert isinstance(verdict, Row) or len(verdict) >= 1


@pytest.mark.parametrize("blank", [" ", "\t", "\r", " \t\r"])
@pytest.mark.parametrize("junk", ['"<script>"', "{}", "null"])
def test_a_twin_hidden_behind_a_blank_is_not_stored(blank: str, junk: str) -> None:
    """`"user_name" :` escapes a count of `":`, so a text with such blanks is read once more."""
    text = json.dumps(profile(), separators=(",", ":"))
    twin = text.replace('"user_name":', f'"user_name"{blank}:{junk},"user_name":')
    for judge in (NATIVE, PORTABLE):
        found = judge.judge(twin.encode())
        assert not isinstance(found, Row)
        assert [one.rule for one in found] == ["duplicate_member"]


@pytest.mark.parametrize(
    "name",
    ['"birth\\u0064ay"', '"\\u0062irthday"', '"birthday" ', '"birthday"\t', '"birthda\\u0079"'],
)
def test_a_birthday_spelt_oddly_is_hidden_from_strangers_all_the_same(name: str) -> None:
    """Escapes and blanks in the member's name do not carry it past the public view."""
    text = json.dumps(profile(), separators=(",", ":"))
    row = NATIVE.judge(text.replace('"birthday"', name).encode())
    assert isinstance(row, Row)
    assert json.loads(public_view(row.document)) == without_birthday(profile())


@pytest.mark.parametrize(
    "half", ["\\ud800", "\\uDFFF", "\\ud83dx", "\\ude00\\ud83d", "\\uD83D\\ud83d"]
)
def test_half_a_surrogate_pair_is_not_a_text(half: str) -> None:
    """It has no UTF-8: refused by line, in both spellings of the hexadecimal digits."""
    text = json.dumps(profile(user_name="@"), separators=(",", ":")).replace("@", half)
    for judge in (NATIVE, PORTABLE):
        verdict = judge.judge(text.encode())
        assert not isinstance(verdict, Row)
        assert [(one.path, one.rule) for one in verdict] == [("$", "json_parse_error")]


def test_a_whole_surrogate_pair_is_one_character() -> None:
    """\\ud83d\\ude00 is stored as the character it stands for."""
    text = json.dumps(profile(user_name="@"), separators=(",", ":"))
    row = NATIVE.judge(text.replace("@", "\\ud83d\\uDE00").encode())
    assert isinstance(row, Row)
    assert json.loads(row.document) == profile(user_name="😀")
    row.document.encode()


@pytest.mark.parametrize(
    "number",
    [
        *["1e400", "-1e999", "NaN", "Infinity", "-Infinity", "1" * 5000],
        *["013", "13.", ".5", "+13", "0x1f", "12.9999"],
    ],
)
def test_a_number_that_is_none_or_no_age_is_refused(number: str) -> None:
    """Not JSON, not finite, not whole, too long to hold: never a stored row, never an exception."""
    text = json.dumps(profile(age=77), separators=(",", ":")).replace("77", number)
    for judge in (NATIVE, PORTABLE):
        assert not isinstance(judge.judge(text.encode()), Row)


@pytest.mark.parametrize("deep", [b"[" * 60_000, b'{"a":' * 20_000, b"[" * 500 + b"]" * 500])
def test_deep_nesting_is_a_verdict_and_not_a_crash(deep: bytes) -> None:
    """Nesting beyond the reader's depth, and nesting that only the checker must survive."""
    text = json.dumps(profile(user_name="@"), separators=(",", ":")).encode()
    for line in (deep, text.replace(b'"@"', deep)):
        assert not isinstance(NATIVE.judge(line), Row)
        assert not isinstance(PORTABLE.judge(line), Row)
