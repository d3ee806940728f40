"""Three implementations of JSON Schema, one verdict; and what a violation may say."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators

from d1_schema.schemas import load_schema
from tests.support.documents import ODD_TEXTS, VALUES, documents
from tests.support.profiles import profile, profile_v2
from worker.entry.native_schema import NativeCheck
from worker.profiles.model import VERSIONS
from worker.schema_check import FORMATS, PortableCheck, is_date, is_date_time, is_uri


def _ecma_pattern(
    _validator: object, pattern: str, instance: object, _schema: object
) -> Iterator[ValidationError]:
    """`$` ends the text (ECMA-262), not its last line; \\d and friends do not occur."""
    if isinstance(instance, str):
        python = pattern.removesuffix("$") + (r"\Z" if pattern.endswith("$") else "")
        if not re.search(python, instance):
            yield ValidationError("pattern")


def _reference(schema: dict[str, Any]) -> Draft202012Validator:
    checker = FormatChecker(formats=[])
    for name, check in FORMATS.items():
        checker.checks(name)(lambda value, check=check: not isinstance(value, str) or check(value))
    ours = validators.extend(Draft202012Validator, {"pattern": _ecma_pattern})
    made: Draft202012Validator = ours(schema, format_checker=checker)
    return made


SCHEMAS = {name: load_schema(name) for name in VERSIONS}
REFERENCE = {name: _reference(SCHEMAS[name]) for name in VERSIONS}
PORTABLE = {name: PortableCheck(SCHEMAS[name]) for name in VERSIONS}
NATIVE = {name: NativeCheck(SCHEMAS[name]) for name in VERSIONS}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_are_valid_schemas(version: str) -> None:
    """They conform to the meta-schema of draft 2020-12."""
    Draft202012Validator.check_schema(SCHEMAS[version])


@settings(max_examples=400)
@given(document=documents() | VALUES)
def test_all_three_accept_and_refuse_the_same_documents(document: Any) -> None:
    """Portable, native and reference library agree; `explain` is empty exactly when they accept."""
    before = copy.deepcopy(document)
    for version in VERSIONS:
        verdict = REFERENCE[version].is_valid(document)
        assert PORTABLE[version].accepts(document) == verdict
        assert NATIVE[version].accepts(document) == verdict
        assert (PORTABLE[version].explain(document) == []) == verdict
        assert NATIVE[version].explain(document) == PORTABLE[version].explain(document)
    assert document == before


@pytest.mark.parametrize("document", [profile(), profile_v2()])
def test_the_valid_documents_are_valid(document: dict[str, Any]) -> None:
    """The starting point of the mutations conforms to its own version and to no other."""
    for version in VERSIONS:
        right = version == document["schema_version"]
        assert NATIVE[version].accepts(document) is right
        assert PORTABLE[version].accepts(document) is right


@pytest.mark.parametrize(
    "text",
    ["\ud800", "x\udfff", "x\ud83d\ud83d"],
    ids=["high", "low", "two"],
)
def test_half_surrogates_get_one_verdict_from_both_checks(text: str) -> None:
    """Native code cannot hold them; the verdict is the portable one's, without an exception."""
    for document in (profile(user_name=text), profile(text), {text: 1}, text):
        verdict = PORTABLE["user_profile.v1"].accepts(document)
        assert NATIVE["user_profile.v1"].accepts(document) == verdict
        NATIVE["user_profile.v1"].explain(document)


@pytest.mark.parametrize(
    "number",
    [float("inf"), float("nan"), -float("inf"), 10**4000],
    ids=["inf", "nan", "-inf", "big"],
)
def test_numbers_that_native_code_cannot_hold_get_one_verdict(number: Any) -> None:
    """Infinity is not an integer; a number of four thousand digits is one."""
    for document in (profile(age=number), profile(biography=number), profile(empathy_depth=number)):
        verdict = PORTABLE["user_profile.v1"].accepts(document)
        assert verdict is (
            isinstance(number, int) and document["profile"]["identity"]["age"] == number
        )
        assert NATIVE["user_profile.v1"].accepts(document) is verdict


CANARY = "hunter2 Søren <b>"


@given(data=st.data())
def test_a_violation_names_path_and_rule_and_never_quotes_the_document(data: st.DataObject) -> None:
    """A value of the document, wherever it stands, does not come back in what is said of it."""
    document = data.draw(documents())
    if not isinstance(document, dict):
        return
    spoiled = _spoil(document)
    for found in PORTABLE["user_profile.v1"].explain(spoiled):
        assert re.fullmatch(
            r"\$([.\[](\(unprintable name\)|[A-Za-z0-9_$-]{1,40}|\d+\]))*", found.path
        )
        assert re.fullmatch(r"[a-z_]+", found.rule)
        assert found.message.isprintable()
        assert CANARY not in found.message + found.path
        assert "hunter2" not in found.message + found.path


def _spoil(value: Any) -> Any:
    """Put the canary in the place of every text."""
    if isinstance(value, dict):
        return {name: _spoil(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_spoil(inner) for inner in value]
    return CANARY if isinstance(value, str) else value


_FAULTS = [
    (profile(age=12), ".profile.identity.age", "minimum", "it must be at least 13"),
    (profile(age="35"), ".profile.identity.age", "type", "it must be of type integer"),
    (profile("usr_ab"), ".profile_id", "pattern", "it must match ^usr_[a-z0-9]{6,}$"),
    (profile("usr_" + "a" * 501), ".profile_id", "max_length", "at most 504 characters"),
    (profile(birthday="1990-13-01"), ".profile.identity.birthday", "format", "not a valid date"),
    (profile(expectations=[]), ".profile.intent.expectations", "min_items", "at least 1 entries"),
    (profile(biography="x" * 801), ".profile.intent.biography", "max_length", "at most 800 char"),
    (profile(user_name=""), ".profile.identity.user_name", "min_length", "at least 1 characters"),
    (profile(__proto__=1), ".__proto__", "additional_properties", "__proto__ is not a known"),
    (
        profile(**{"a b": 1}),
        ".(unprintable name)",
        "additional_properties",
        "is not a known member",
    ),
    (profile(schema_version="v9"), ".schema_version", "const", "it must be user_profile.v1"),
    (profile(interests=["a", ""]), ".profile.interests.interests[1]", "min_length", "at least 1"),
    (profile(avatar_picture="javascript:x"), ".profile.identity.avatar_picture", "format", "uri"),
    ([], "", "type", "it must be of type object"),
    (None, "", "type", "it must be of type object"),
]


@pytest.mark.parametrize(("document", "path", "rule", "message"), _FAULTS)
def test_a_broken_rule_is_told_in_words(document: Any, path: str, rule: str, message: str) -> None:
    """Path, rule and text, one violation for one fault."""
    [found] = NATIVE["user_profile.v1"].explain(document)
    assert (found.path, found.rule) == ("$" + path, rule)
    assert message in found.message


def test_every_fault_of_a_document_is_told() -> None:
    """Not the first only: missing, unknown and wrong members in any group."""
    document = profile(age=1, gender="x", biography=5)
    del document["profile"]["behavior"]["decision_style"]
    document["profile"]["emotional"]["extra"] = 1
    found = {(one.path, one.rule) for one in PORTABLE["user_profile.v1"].explain(document)}
    assert found == {
        ("$.profile.identity.age", "minimum"),
        ("$.profile.identity.gender", "enum"),
        ("$.profile.intent.biography", "type"),
        ("$.profile.behavior.decision_style", "required"),
        ("$.profile.emotional.extra", "additional_properties"),
    }


@given(text=ODD_TEXTS | st.text(max_size=30))
def test_formats_never_fail_on_any_text(text: str) -> None:
    """They say yes or no."""
    for check in (is_date, is_date_time, is_uri):
        assert check(text) in (True, False)
    assert not (is_date(text) and len(text) != 10)


@pytest.mark.parametrize(
    "text",
    [
        *["javascript:alert(1)", "JAVASCRIPT:x", "vbscript:x", "data:text/html,x"],
        *["//host/a", "http://a b", "a.png", "java\nscript:x", "http://a\n"],
    ],
)
def test_addresses_that_run_script_or_are_none_are_refused(text: str) -> None:
    """An avatar's address may stand in a page."""
    assert not is_uri(text)
