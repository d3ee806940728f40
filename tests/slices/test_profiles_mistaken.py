"""Bodies that are no NDJSON, lines that readers would read differently: what is said of them."""

import json

import pytest

from tests.slices.test_profiles_bad_lines import counts, refused
from tests.support.profiles import encode, line, ndjson, profile
from tests.support.running_host import RunningHost

_TWO = [profile("usr_first1"), profile("usr_second")]
_ROWS = b"usr_first1,Ada,35\nusr_second,Bo,36\n"
_STORAGE = {"theme": "dark", "profiles": json.dumps(_TWO)}
_BODIES = {
    "an array on a line": (encode(_TWO), "JSON array", "jq -c '.[]' FILE | edgekeep import -"),
    "a pretty array": (json.dumps(_TWO, indent=2).encode(), "JSON array", "jq -c '.[]'"),
    "an array of lines": (b"[\n" + b",\n".join(map(encode, _TWO)) + b"\n]", "JSON array", "'.[]'"),
    "an array with a mark": (b"\xef\xbb\xbf" + encode(_TWO), "JSON array", "jq -c '.[]'"),
    "a pretty profile": (json.dumps(_TWO[0], indent=4).encode(), "several lines", "jq -c . FILE"),
    "localStorage": (encode(_STORAGE), "localStorage", "fromjson"),
    "pretty localStorage": (
        json.dumps({"profiles": json.dumps(_TWO)}, indent=1).encode(),
        "localStorage",
        "fromjson",
    ),
    "CSV": (b"profile_id,user_name,age\n" + _ROWS, "CSV", "edgekeep import FILE"),
    "CSV with semicolons": (b"profile_id;user_name;age\r\n1;2;3", "CSV", "edgekeep import"),
    "CSV with tabs and quotes": (b'"profile id"\t"age"\n1\t2', "CSV", "edgekeep import"),
}


@pytest.mark.parametrize("query", ["", "?mode=atomic"])
async def test_what_is_no_ndjson_is_named_with_the_verb_that_takes_it(
    host: RunningHost, query: str, subtests: pytest.Subtests
) -> None:
    """One sentence in the answer and in the report; nothing is stored."""
    for name, (body, what, verb) in _BODIES.items():
        with subtests.test(name):
            document = refused(await host.send_profiles(body, query))
            assert what in document["detail"]
            assert verb in document["detail"]
            report = await host.report(document["import_id"])
            assert report["seems"] == document["detail"]
            assert await host.total() == 0


async def test_what_is_not_known_is_not_guessed(host: RunningHost) -> None:
    """Broken lines alone, a sentence with a comma, one odd object: told as lines."""
    for body in (b"x\ny", b"hello, there!\nyou", b'{"a":1}', b'{"broken', b"12,13"):
        document = refused(await host.send_profiles(body))
        assert document["detail"] == "No line is a valid profile; the errors say why."


async def test_a_line_that_looks_like_something_else_does_not_refuse_the_good_ones(
    host: RunningHost,
) -> None:
    """An array or a header among lines is that line's error."""
    for odd in (encode(_TWO), b"profile_id,age", encode(_STORAGE)):
        answer = await host.send_profiles(ndjson([odd, line()]))
        assert (answer.status, counts(answer.json())) == (207, (2, 1, 1, 1))


_FIRST = line().replace(b'"age":35', b'"age":35,"age":36')
_UNREADABLE = {
    "a name twice": (_FIRST, "duplicate_member"),
    "an id twice": (line()[:-1] + b',"profile_id":"usr_other1"}', "duplicate_member"),
    "a name twice, once escaped": (
        line()[:-1] + b',"profile\\u005fid":"usr_o12345"}',
        "duplicate_member",
    ),
    "the same value twice": (line()[:-1] + b',"profile_id":"usr_aaaaaa"}', "duplicate_member"),
    "NUL in a text": (line(user_name="A\0"), "nul_character"),
    "NUL in a list": (line(interests=["a", "\0"]), "nul_character"),
}


async def test_a_line_that_readers_read_differently_is_refused(
    either: RunningHost, subtests: pytest.Subtests
) -> None:
    """Repeated members and U+0000: 422 for the line, the others are stored as they are."""
    for name, (bad, rule) in _UNREADABLE.items():
        with subtests.test(name):
            body = ndjson([line("usr_before"), bad, line("usr_behind")])
            answer = await either.send_profiles(body)
            assert (answer.status, counts(answer.json())) == (207, (3, 2, 1, 2))
            [error] = answer.json()["errors_sample"]
            assert (error["line_no"], error["error_code"]) == (2, rule)
            assert await either.stored() == [profile("usr_before"), profile("usr_behind")]


async def test_a_text_that_only_spells_nul_is_stored(either: RunningHost) -> None:
    """A backslash and u0000 are six characters; a name twice inside a text is a text."""
    odd = profile(user_name="\\u0000", biography='{"a":1,"a":2}')
    answer = await either.send_profiles(encode(odd))
    assert answer.status == 200, answer.body
    assert await either.stored() == [odd]
