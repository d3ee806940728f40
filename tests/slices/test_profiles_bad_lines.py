"""Imports with lines that are no profiles: what is said of them, and that all else is stored."""

import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.problems import assert_problem
from tests.support.profiles import encode, line, ndjson, profile
from tests.support.running_host import Answer, RunningHost

_BOM = b"\xef\xbb\xbf"
_REFUSED = (
    *("errors", "import_id", "received_content_type", "idempotency_key", "checksum_sha256"),
    *("shard_id", "notes", "lines_total", "lines_valid", "lines_invalid", "profiles_stored"),
    *("errors_sample", "errors_truncated"),
)


def refused(answer: Answer) -> dict[str, Any]:
    """Assert that nothing was imported, and return the answer's document."""
    document = assert_problem(answer, 422, "import_refused", members=_REFUSED)
    assert document["profiles_stored"] == 0
    assert document.get("errors", []) == document["errors_sample"]
    return document


def counts(document: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return total, valid, invalid and stored."""
    names = ("lines_total", "lines_valid", "lines_invalid", "profiles_stored")
    total, valid, invalid, stored = (document[name] for name in names)
    return total, valid, invalid, stored


_BAD_LINES = {
    "not JSON": (b"hello", "json_parse_error", "$"),
    "cut off": (line()[:-1], "json_parse_error", "$"),
    "cut off in a text": (b'{"broken', "json_parse_error", "$"),
    "two values": (line() + line(), "json_parse_error", "$"),
    "single quotes": (b"{'a':1}", "json_parse_error", "$"),
    "a comment": (b"// x", "json_parse_error", "$"),
    "array": (b"[]", "type", "$"),
    "a profile in an array": (b"[" + line() + b"]", "type", "$"),
    "null": (b"null", "type", "$"),
    "true": (b"true", "type", "$"),
    "a number": (b"5", "type", "$"),
    "a text": (b'"x"', "type", "$"),
    "invalid UTF-8": (line().replace(b"Ada", b"A\xff"), "json_parse_error", "$"),
    "half a character": (line().replace(b"Ada", b"\xe2\x82"), "json_parse_error", "$"),
    "a surrogate in UTF-8": (line().replace(b"Ada", b"\xed\xa0\x80"), "json_parse_error", "$"),
    "an overlong slash": (line().replace(b"Ada", b"\xc0\xaf"), "json_parse_error", "$"),
    "UTF-16": (line().decode().encode("utf-16-le"), "json_parse_error", "$"),
    "NUL bytes": (b"\0\0\0", "json_parse_error", "$"),
    "a raw NUL in a text": (line().replace(b"Ada", b"A\0"), "json_parse_error", "$"),
    "half a surrogate": (line().replace(b"Ada", b"\\ud800"), "json_parse_error", "$"),
    "NaN": (line().replace(b"35", b"NaN"), "json_parse_error", "$"),
    "Infinity": (line().replace(b"35", b"-Infinity"), "json_parse_error", "$"),
    "a number too large": (line().replace(b"35", b"1e400"), "type", "$.profile.identity.age"),
    "a number too long": (line().replace(b"35", b"9" * 5000), "json_parse_error", "$"),
    "__proto__": (line(__proto__={"a": 1}), "additional_properties", "$.__proto__"),
    "deep nesting": (b"[" * 50_000, "json_parse_error", "$"),
    "deep and closed": (b"[" * 50_000 + b"]" * 50_000, "json_parse_error", "$"),
    "200 KB": (line(biography="x" * 200_000), "line_too_large", "$"),
    "one byte too long": (b'"' + b"x" * 131_071 + b'"', "line_too_large", "$"),
}


async def test_a_bad_line_is_named_and_the_good_ones_around_it_are_stored(
    either: RunningHost, subtests: pytest.Subtests
) -> None:
    """207; the error names line, path, rule and a text; only the bad line is missing."""
    for name, (bad, rule, path) in _BAD_LINES.items():
        with subtests.test(name):
            body = ndjson([line("usr_before"), bad, line("usr_behind")])
            answer = await either.send_profiles(body)
            assert answer.status == 207
            document = answer.json()
            assert counts(document) == (3, 2, 1, 2)
            [error] = document["errors_sample"]
            assert (error["line_no"], error["status"]) == (2, 422)
            assert (error["error_code"], error["path"]) == (rule, path)
            assert error["message"]
            assert "at at" not in error["message"]
            assert document["errors_truncated"] is False
            assert await either.stored() == [profile("usr_before"), profile("usr_behind")]


async def test_a_bad_line_alone_is_refused_and_in_atomic_mode_refuses_all(
    either: RunningHost, subtests: pytest.Subtests
) -> None:
    """422 with nothing stored, for the line alone and for all lines under ?mode=atomic."""
    for name, (bad, rule, _) in _BAD_LINES.items():
        with subtests.test(name):
            document = refused(await either.send_profiles(bad))
            assert counts(document) == (1, 0, 1, 0)
            assert [error["error_code"] for error in document["errors"]] == [rule]
            mixed = ndjson([line("usr_before"), bad, line("usr_behind")])
            document = refused(await either.send_profiles(mixed, "?mode=atomic"))
            assert counts(document) == (3, 2, 1, 0)
            assert await either.total() == 0


async def test_the_longest_line_allowed_is_stored(either: RunningHost) -> None:
    """131,072 bytes without the line end pass, with a mark in front and CRLF behind as well."""
    padding = 131_072 - len(line(interests=[""]))
    longest = line(interests=["x" * padding])
    assert len(longest) == 131_072
    answer = await either.send_profiles(_BOM + longest + b"\r\n")
    assert answer.status == 200, answer.body
    one_more = line(interests=["x" * (padding + 1)])
    assert refused(await either.send_profiles(one_more))["errors"][0]["error_code"] == (
        "line_too_large"
    )


@pytest.mark.parametrize(
    "body",
    [
        ndjson([line("usr_first1"), line("usr_second")]),
        ndjson([line("usr_first1"), line("usr_second")]).rstrip(),
        _BOM + ndjson([line("usr_first1"), _BOM + line("usr_second")]),
        b"\r\n".join([line("usr_first1"), line("usr_second"), b""]),
        b"\n\n  \t\n" + line("usr_first1") + b"\n\r\n" + line("usr_second") + b"\n\n",
        b" " + line("usr_first1") + b" \t\n\t" + line("usr_second") + b" ",
    ],
    ids=["LF", "no final newline", "marks", "CRLF", "blank lines", "blanks"],
)
async def test_every_usual_way_to_end_and_mark_lines_is_read(
    either: RunningHost, body: bytes
) -> None:
    """Both profiles are stored, and lines that hold nothing are not counted."""
    answer = await either.send_profiles(body)
    assert answer.status == 200
    assert counts(answer.json()) == (2, 2, 0, 2)
    assert "errors_sample" not in answer.json()
    assert await either.stored() == [profile("usr_first1"), profile("usr_second")]


@pytest.mark.parametrize("body", [b"", b"\n\n\r\n", b"  \t ", _BOM, _BOM + b"\n" + _BOM])
async def test_a_body_without_a_line_is_refused(either: RunningHost, body: bytes) -> None:
    """Nothing at all, and nothing but blanks and marks: 422 with counts of zero."""
    document = refused(await either.send_profiles(body))
    assert counts(document) == (0, 0, 0, 0)
    assert document["errors_sample"] == []


async def test_line_numbers_count_every_line_of_the_file(host: RunningHost) -> None:
    """Blank and good lines count, so that an editor jumps to the bad one."""
    body = b"\n" + _BOM + line() + b"\r\n\n\nnot json\n" + b"x" * 200_000 + b"\n[]"
    document = (await host.send_profiles(body)).json()
    assert [error["line_no"] for error in document["errors_sample"]] == [5, 6, 7]


@pytest.mark.parametrize("query", ["", "?mode=atomic"])
async def test_of_two_lines_with_one_id_the_last_wins_and_is_counted_once(
    either: RunningHost, query: str
) -> None:
    """Within a batch and far apart; lines_valid counts lines, profiles_stored profiles."""
    between = [line(f"usr_{number:06d}") for number in range(1200)]
    body = ndjson([line(age=20), line(age=21), *between, line(age=22), line("usr_000003", age=50)])
    document = (await either.send_profiles(body, query)).json()
    assert counts(document) == (1204, 1204, 0, 1201)
    assert await either.total() == 1201
    got = {one["profile_id"]: one["profile"]["identity"]["age"] for one in await either.stored()}
    assert (got["usr_aaaaaa"], got["usr_000003"], got["usr_000004"]) == (22, 50, 35)


async def test_an_invalid_line_does_not_take_the_place_of_a_valid_one(either: RunningHost) -> None:
    """The last valid line of an id wins."""
    document = (await either.send_profiles(ndjson([line(age=20), line(age=5)]))).json()
    assert counts(document) == (2, 1, 1, 1)
    assert (await either.stored())[0]["profile"]["identity"]["age"] == 20


async def test_every_fault_of_a_line_is_told_and_no_value_is_quoted(host: RunningHost) -> None:
    """Several errors for one line; what the line says is in none of them."""
    faulty = profile(user_name=["Canary-Name"], gender="Canary-Gender", birthday="Canary-Day")
    del faulty["profile"]["interests"]
    answer = await host.send_profiles(encode(faulty))
    errors = refused(answer)["errors"]
    assert {(error["path"], error["error_code"]) for error in errors} == {
        ("$.profile.identity.user_name", "type"),
        ("$.profile.identity.gender", "enum"),
        ("$.profile.identity.birthday", "format"),
        ("$.profile.interests", "required"),
    }
    assert b"Canary" not in answer.body


async def test_the_answer_shows_200_errors_and_the_report_5000(either: RunningHost) -> None:
    """Exactly 200 are not truncated, one more is; counts always tell of all."""
    exact = (await either.send_profiles(b"x\n" * 200 + line())).json()
    assert (len(exact["errors_sample"]), exact["errors_truncated"]) == (200, False)
    more = (await either.send_profiles(b"x\n" * 201 + line())).json()
    assert (len(more["errors_sample"]), more["errors_truncated"]) == (200, True)
    many = (await either.send_profiles(b"[]\n" * 6000 + line())).json()
    report = await either.report(many["import_id"])
    assert (report["errors_total"], len(report["errors"])) == (6000, 5000)
    assert report["errors_truncated"] is True
    assert counts(report) == (6001, 1, 6000, 1)


@pytest.mark.parametrize("query", ["", "?mode=atomic"])
async def test_a_report_full_of_the_longest_errors_can_be_kept(
    host: RunningHost, query: str
) -> None:
    """Five thousand of the wordiest errors still fit where the report is kept."""
    wordy = profile("no id")
    for group in wordy["profile"].values():
        for name, value in group.items():
            group[name] = ["wrong"] * 3 if isinstance(value, list) else {"wrong": 1}
    body = ndjson([encode(wordy)] * 400 + [line()])
    answer = await host.send_profiles(body, query)
    assert answer.status == (422 if query else 207), answer.body[:300]
    report = await host.report(answer.json()["import_id"])
    assert len(report["errors"]) == 5000
    assert report["state"] == ("refused" if query else "done")


async def test_fifty_megabytes_without_a_newline_take_no_memory(host: RunningHost) -> None:
    """One line too large; the memory that the import takes stays below two megabytes or so."""
    piece = b"x" * 262_144

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield piece
        yield b"\n" + line()

    await host.send_profiles(line("usr_warmup"))
    tracemalloc.start()
    try:
        answer = await host.send_profiles(endless())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status == 207
    assert counts(answer.json()) == (2, 1, 1, 1)
    assert answer.json()["errors_sample"][0]["error_code"] == "line_too_large"
    assert peak < 4 * 1024 * 1024


async def test_a_flood_of_bad_lines_leaves_the_host_answering(host: RunningHost) -> None:
    """A stream of the shortest bad lines never holds the loop (the host fixture measures it)."""
    document = refused(await host.send_profiles(b"{}\n" * 60_000))
    assert document["lines_invalid"] == 60_000


async def test_lines_of_thousands_of_faults_leave_the_host_answering(host: RunningHost) -> None:
    """Long lines in which every entry is wrong never hold the loop either."""
    wrong = encode(profile(interests=[""] * 40_000))
    document = refused(await host.send_profiles(ndjson([wrong] * 12)))
    assert len(document["errors"]) == 200
    assert document["errors_truncated"] is True
    late = encode(profile(interests=["x"] * 30_000 + [""]))
    [error] = refused(await host.send_profiles(late))["errors"]
    assert error["path"] == "$.profile.interests.interests[30000]"


@pytest.mark.parametrize("query", ["", "?mode=atomic"])
async def test_large_profiles_in_any_script_are_stored(either: RunningHost, query: str) -> None:
    """Lines near the limit, of four-byte characters, backslashes and quotes: whole batches fit."""
    texts = ["😀" * 30_000, "\\" * 60_000, '"' * 60_000, "é" * 60_000, "\x01" * 20_000]
    sent = [
        profile(f"usr_large{number:03d}", interests=[texts[number % len(texts)]])
        for number in range(60)
    ]
    answer = await either.send_profiles(ndjson(map(encode, sent)), query)
    assert answer.status == 200, answer.body[:300]
    assert answer.json()["profiles_stored"] == 60
    for number in range(5):
        got = await either.get(
            f"/api/profiles/item?id=usr_large{number:03d}", headers=either.bearer("profiles:read")
        )
        assert json.loads(got.body) == sent[number]
