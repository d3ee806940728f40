"""Imports that go well, their answers, and what the headers may say: gzip, checksums, notes."""

import gzip
import hashlib
import re
import zlib

import pytest

from tests.slices.test_profiles_bad_lines import counts, refused
from tests.support.problems import assert_problem
from tests.support.profiles import encode, ids, line, many, ndjson, profile, profile_v2
from tests.support.running_host import RunningHost

_BROKEN = ("import_id", "lines_total", "lines_valid", "lines_invalid", "profiles_stored")
_GZIP = {"Content-Type": "application/gzip"}


def digest(body: bytes) -> dict[str, str]:
    """Return the checksum header of *body*."""
    return {"X-Checksum-Sha256": hashlib.sha256(body).hexdigest()}


@pytest.mark.parametrize("query", ["", "?mode=partial", "?mode=atomic"])
async def test_a_good_file_is_answered_200_with_its_counts(either: RunningHost, query: str) -> None:
    """All lines stored; the answer has the members of the seed and no errors."""
    answer = await either.send_profiles(many(1234), query)
    assert answer.status == 200
    document = answer.json()
    assert re.fullmatch(r"imp_\d{14}_[a-z0-9]{6,32}", document.pop("import_id"))
    assert document == {
        "received_content_type": "application/x-ndjson",
        "idempotency_key": None,
        "checksum_sha256": None,
        "shard_id": None,
        "notes": None,
        "lines_total": 1234,
        "lines_valid": 1234,
        "lines_invalid": 0,
        "profiles_stored": 1234,
    }
    assert [one["profile_id"] for one in await either.stored()] == ids(1234)


async def test_both_versions_may_stand_in_one_file(either: RunningHost) -> None:
    """v1 and v2 lines are validated by their own schema and stored as they are."""
    sent = [profile("usr_first1"), profile_v2("usr_second")]
    wrong = {**profile_v2("usr_third3"), "schema_version": "user_profile.v1"}
    document = (await either.send_profiles(ndjson(map(encode, [*sent, wrong])))).json()
    assert counts(document) == (3, 2, 1, 2)
    assert await either.stored() == sent


async def test_what_the_headers_say_comes_back(host: RunningHost) -> None:
    """Type, checksum, shard and notes are echoed in the answer and kept in the report."""
    headers = {
        "Content-Type": 'Application/X-NDJSON; charset="utf-8"',
        "X-Shard-Id": "shard 7",
        "X-Import-Notes": "second try",
        "X-Checksum-Sha256": hashlib.sha256(line()).hexdigest().upper(),
    }
    document = (await host.send_profiles(line(), headers=headers)).json()
    report = await host.report(document["import_id"])
    for told in (document, report):
        assert told["received_content_type"] == "application/x-ndjson"
        assert told["shard_id"] == "shard 7"
        assert told["notes"] == "second try"
        assert told["checksum_sha256"] == hashlib.sha256(line()).hexdigest()


@pytest.mark.parametrize(
    "headers",
    [_GZIP, {"Content-Type": "application/x-gzip"}, {"Content-Encoding": "gzip"}],
    ids=["type", "x-type", "encoding"],
)
@pytest.mark.parametrize("query", ["", "?mode=atomic"])
async def test_gzip_is_unfolded(either: RunningHost, headers: dict[str, str], query: str) -> None:
    """By type or by encoding, in one member or several, with a checksum over what was sent."""
    body = gzip.compress(many(700)) + gzip.compress(line("usr_zzzzzz"))
    answer = await either.send_profiles(body, query, headers={**headers, **digest(body)})
    assert answer.status == 200, answer.body
    assert counts(answer.json()) == (701, 701, 0, 701)
    assert (await either.report(answer.json()["import_id"]))["bytes_read"] == len(body)


_BROKEN_GZIP = {
    "empty": b"",
    "plain": many(3),
    "cut by 1": gzip.compress(many(2000))[:-1],
    "cut by 8": gzip.compress(many(2000))[:-8],
    "head": gzip.compress(many(2000))[:500],
    "tail": gzip.compress(line()) + b"garbage",
    "crc": gzip.compress(line())[:-5] + b"x" + gzip.compress(line())[-4:],
    "zlib": zlib.compress(line()),
    "noise": b"\x1f\x8b" + b"\xff" * 100,
}


async def test_broken_gzip_is_told_and_stores_nothing_in_atomic_mode(
    either: RunningHost, subtests: pytest.Subtests
) -> None:
    """400 and a report with the reason; nothing is stored."""
    for name, body in _BROKEN_GZIP.items():
        with subtests.test(name):
            answer = await either.send_profiles(body, "?mode=atomic", headers=_GZIP)
            document = assert_problem(answer, 400, "broken_gzip", members=_BROKEN)
            report = await either.report(document["import_id"])
            assert (report["state"], report["failure"]) == ("failed", "broken_gzip")
            assert document["profiles_stored"] == report["profiles_stored"] == 0
            assert await either.total() == 0


@pytest.mark.parametrize("name", ["plain", "cut by 1", "head"])
async def test_broken_gzip_is_reported_with_what_was_stored_by_then(
    either: RunningHost, name: str
) -> None:
    """Without atomic mode the counts of answer and report are those of the store."""
    answer = await either.send_profiles(_BROKEN_GZIP[name], headers=_GZIP)
    document = assert_problem(answer, 400, "broken_gzip", members=_BROKEN)
    report = await either.report(document["import_id"])
    assert document["profiles_stored"] == report["profiles_stored"] == await either.total()


@pytest.mark.parametrize(
    "bomb", [b"\n" * 20_000_000, b"{}\n" * 2_000_000, b"x" * 20_000_000], ids=["LF", "{}", "x"]
)
async def test_a_gzip_bomb_is_stopped(host: RunningHost, bomb: bytes) -> None:
    """A thousandfold of blanks, of bad lines, of one long line: 413, and the loop goes on."""
    answer = await host.send_profiles(gzip.compress(bomb), headers=_GZIP)
    document = assert_problem(answer, 413, "payload_too_large", members=_BROKEN)
    assert document["profiles_stored"] == await host.total() == 0
    assert document["lines_total"] < 500_000


@pytest.mark.parametrize("body", [many(1200), gzip.compress(many(1200)), b"not json", b""])
async def test_a_wrong_checksum_stores_nothing(either: RunningHost, body: bytes) -> None:
    """Without atomic mode as well; the report says why, and the right checksum goes through."""
    headers = _GZIP if body[:1] == b"\x1f" else {}
    wrong = {**headers, **digest(body + b"\n")}
    answer = await either.send_profiles(body, headers=wrong)
    document = assert_problem(answer, 422, "checksum_mismatch", members=_BROKEN)
    assert document["profiles_stored"] == await either.total() == 0
    report = await either.report(document["import_id"])
    assert (report["state"], report["failure"]) == ("failed", "checksum_mismatch")
    right = await either.send_profiles(body, headers={**headers, **digest(body)})
    assert right.status == (200 if len(body) > 10 else 422)


async def test_a_right_checksum_does_not_make_bad_lines_good(either: RunningHost) -> None:
    """With a checksum the good lines are stored and the bad ones told, as without."""
    body = ndjson([line("usr_before"), b"x", line("usr_behind")])
    answer = await either.send_profiles(body, headers=digest(body))
    assert answer.status == 207
    assert counts(answer.json()) == (3, 2, 1, 2)
    assert refused(await either.send_profiles(body, "?mode=atomic", headers=digest(body)))


_BAD_HEADERS = [
    ({"X-Checksum-Sha256": "abc"}, 400, "bad_request"),
    ({"X-Checksum-Sha256": ""}, 400, "bad_request"),
    ({"X-Checksum-Sha256": "g" * 64}, 400, "bad_request"),
    ({"X-Checksum-Sha256": "a" * 65}, 400, "bad_request"),
    ({"X-Checksum-Sha256": "٣" * 64}, 400, "bad_request"),
    ({"X-Shard-Id": "x" * 201}, 400, "bad_request"),
    ({"X-Import-Notes": "é"}, 400, "bad_request"),
    ({"Idempotency-Key": ""}, 400, "bad_request"),
    ({"Idempotency-Key": "a b"}, 400, "bad_request"),
    ({"Idempotency-Key": "k" * 256}, 400, "bad_request"),
    ({"Idempotency-Key": "ключ"}, 400, "bad_request"),
    ({"Content-Type": "application/json"}, 415, "unsupported_media_type"),
    ({"Content-Type": ""}, 415, "unsupported_media_type"),
    ({"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
    ({"Content-Encoding": "br"}, 415, "unsupported_media_type"),
    ({"Content-Encoding": "gzip, gzip"}, 415, "unsupported_media_type"),
    ({"Content-Encoding": "gzip", **_GZIP}, 415, "unsupported_media_type"),
]


@pytest.mark.parametrize(("headers", "status", "error"), _BAD_HEADERS)
async def test_a_header_that_cannot_be_meant_is_refused(
    host: RunningHost, headers: dict[str, str], status: int, error: str
) -> None:
    """Refused before anything is read; nothing is stored."""
    assert_problem(await host.send_profiles(line(), headers=headers), status, error)
    assert await host.total() == 0


@pytest.mark.parametrize(
    "query",
    [
        *["?mode=", "?mode=Atomic", "?mode=all", "?mode=%ff", "?id=", "?id=../x", "?id=imp_1_a"],
        *["?id=imp_20261121080000_ABCDEF", "?id=imp_20261121080000_abc"],
        *["?id=imp_20261121080000_abcdef%0a"],
    ],
)
async def test_a_query_that_cannot_be_meant_is_refused(host: RunningHost, query: str) -> None:
    """An unknown mode and an import id of another shape: 400."""
    assert_problem(await host.send_profiles(line(), query), 400, "bad_request")
    assert await host.total() == 0


async def test_a_body_over_the_limit_is_refused_declared_or_not(either: RunningHost) -> None:
    """By Content-Length before it is read, by count when chunked; atomic imports leave nothing."""
    either.env.settings = type(either.env.settings)(
        **{
            name: getattr(either.env.settings, name)
            for name in either.env.settings.__slots__
            if name != "import_max_bytes"
        },
        import_max_bytes=10_000,
    )
    body = many(50)
    assert_problem(await either.send_profiles(body), 413, "payload_too_large")

    async def chunks() -> object:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    answer = await either.send_profiles(chunks(), "?mode=atomic")
    document = assert_problem(answer, 413, "payload_too_large", members=_BROKEN)
    assert document["profiles_stored"] == await either.total() == 0
    assert (await either.send_profiles(many(10))).status == 200


async def test_an_import_id_can_be_used_once(either: RunningHost) -> None:
    """A client may choose the id (to watch it); a second import under it is a conflict."""
    query = "?id=imp_20261121080000_chosen1"
    first = await either.send_profiles(line("usr_first1"), query)
    assert first.json()["import_id"] == "imp_20261121080000_chosen1"
    assert_problem(await either.send_profiles(line(), query), 409, "import_id_taken")
    assert await either.stored() == [profile("usr_first1")]
