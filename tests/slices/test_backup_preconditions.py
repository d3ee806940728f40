"""If-Match and If-None-Match of the backup: what is understood, what is refused, what is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.backups import Keeper, blob, make_keeper
from tests.support.problems import assert_problem
from tests.support.raw import connect, head
from tests.support.running_host import RunningHost
from worker.backup.conditions import etag, expected_version, is_known
from worker.errors import BadRequest
from worker.web import Headers, Request

NONSENSE = {
    "list": '"1", "2"',
    "list of one": '"1",',
    "bare list": "1,2",
    "weak": 'W/"1"',
    "any": "*",
    "quoted any": '"*"',
    "negative": "-1",
    "quoted negative": '"-1"',
    "plus": "+1",
    "zero": "0",
    "quoted zero": '"0"',
    "leading zero": "01",
    "fraction": "1.0",
    "exponent": "1e0",
    "hex": "0x1",
    "huge": "9" * 16,
    "enormous": '"' + "9" * 400 + '"',
    "empty": "",
    "spaces": "   ",
    "quotes": '""',
    "open quote": '"1',
    "closed quote": '1"',
    "single quotes": "'1'",
    "inner space": '" 1"',
    "words": "latest",
    "arabic digit": "\u0661",
    "superscript": "\u00b2",
    "underscore": "1_0",
}


@pytest.fixture
async def ada(host: RunningHost) -> Keeper:
    """Somebody with version 1."""
    keeper = await make_keeper(host.env, host)
    assert (await keeper.store(blob(1))).status == 201
    return keeper


@pytest.mark.parametrize("value", ["1", '"1"'])
async def test_a_version_is_taken_with_and_without_quotes(ada: Keeper, value: str) -> None:
    """`If-Match: 1` and `If-Match: "1"` mean the same, for POST and DELETE."""
    assert (await ada.ask("POST", "/v1/backup", blob(2), If_Match=value)).status == 200
    other = value.replace("1", "2")
    assert (await ada.ask("DELETE", "/v1/backup", If_Match=other)).status == 204


async def test_nonsense_is_400_and_changes_nothing(ada: Keeper) -> None:
    """Lists, weak tags, signs, zero, huge, empty: never taken for a version, never a 5xx."""
    for name, value in NONSENSE.items():
        for method in ("POST", "DELETE"):
            connection = await connect(ada.host.port)
            body = blob(2) if method == "POST" else b""
            sent = {**ada.headers, "Content-Length": str(len(body))}
            fields = head(method, "/v1/backup", sent)[:-2]
            line = b"If-Match: " + value.encode("utf-8") + b"\r\n\r\n"
            await connection.send(fields + line + body)
            answer = await connection.answer()
            assert (answer.status, answer.json()["error"]) == (400, "bad_request"), name
            await connection.cut()
    answer = await ada.fetch()
    assert (answer.headers["ETag"], answer.body) == ('"1"', blob(1))


@pytest.mark.parametrize(
    "lines",
    [
        b'If-Match: "1"\r\nIf-Match: "1"\r\n',
        b'If-Match: "1"\r\nif-match: "9"\r\n',
        b'If-Match: "1"\r\nIf-None-Match: *\r\n',
        b'If-None-Match: "1"\r\n',
        b"If-None-Match: \r\n",
        b"If-None-Match: *\r\nIf-None-Match: *\r\n",
    ],
)
async def test_headers_that_say_two_things_are_400(ada: Keeper, lines: bytes) -> None:
    """Repeated lines are a list; If-None-Match beside If-Match, or with a tag, is no upload."""
    connection = await connect(ada.host.port)
    sent = head("POST", "/v1/backup", {**ada.headers, "Content-Length": "100"})[:-2]
    await connection.send(sent + lines + b"\r\n" + blob(2, 100))
    assert_problem(await connection.answer(), 400, "bad_request")
    await connection.cut()
    assert (await ada.fetch()).headers["ETag"] == '"1"'


@pytest.mark.parametrize("over", [None, 2, 999_999_999_999_999])
async def test_another_version_is_409_with_the_one_there_is(ada: Keeper, over: int | None) -> None:
    """A missing If-Match never overwrites; the answer names what to merge with."""
    answer = await ada.store(blob(2), over)
    assert_problem(answer, 409, "backup_changed")
    assert answer.headers["ETag"] == '"1"'
    assert (await ada.fetch()).body == blob(1)


async def test_a_first_upload_may_say_so(ada: Keeper) -> None:
    """If-None-Match: * is no If-Match: 201 where there is none, else 409."""
    answer = await ada.ask("POST", "/v1/backup", blob(2), If_None_Match="*")
    assert_problem(answer, 409, "backup_changed")
    bob = await make_keeper(ada.host.env, ada.host, "bob")
    assert (await bob.ask("POST", "/v1/backup", blob(2), If_None_Match="*")).status == 201


@pytest.mark.parametrize("deleted", [False, True])
async def test_if_match_where_there_is_no_backup_is_409(ada: Keeper, deleted: bool) -> None:
    """Never used or deleted: no ETag in the answer, so the client knows there is nothing."""
    keeper = await make_keeper(ada.host.env, ada.host, "bob")
    if deleted:
        keeper = ada
        await ada.ask("DELETE", "/v1/backup")
    answer = await keeper.store(blob(2), 1)
    assert_problem(answer, 409, "backup_changed")
    assert "ETag" not in answer.headers
    assert await keeper.keys() == []


async def test_delete_names_the_version_it_means(ada: Keeper) -> None:
    """Another one is 409 with the present ETag; without If-Match whatever there is goes."""
    refused = await ada.ask("DELETE", "/v1/backup", If_Match='"7"')
    assert_problem(refused, 409, "backup_changed")
    assert refused.headers["ETag"] == '"1"'
    asked = await ada.ask("DELETE", "/v1/backup", If_None_Match="*")
    assert_problem(asked, 400, "bad_request")
    assert (await ada.ask("DELETE", "/v1/backup")).status == 204


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ('"1"', 304),
        ("1", 304),
        ('W/"1"', 304),
        ('"7", "1"', 304),
        ('"7",W/"1"', 304),
        ("*", 304),
        ('"2"', 200),
        ('"11"', 200),
        ('"a,1,b"', 200),
        ("", 200),
        ("nonsense", 200),
    ],
)
async def test_a_backup_that_the_client_has_is_304(ada: Keeper, known: str, status: int) -> None:
    """If-None-Match of GET and HEAD, weakly compared; the ETag is told either way."""
    for method in ("GET", "HEAD"):
        answer = await ada.ask(method, "/v1/backup", If_None_Match=known)
        assert (answer.status, answer.headers["ETag"]) == (status, '"1"')
        assert answer.body == (blob(1) if (status, method) == (200, "GET") else b"")


@pytest.mark.parametrize(
    "named",
    [
        "x",
        "a" * 21,
        "a" * 23,
        f"{'a' * 22},",
        f",{'a' * 22}",
        f"{'a' * 22};{'b' * 22}",
        "é" * 22,
        ",".join(f"{number:022d}" for number in range(17)),
    ],
)
async def test_what_a_backup_keeps_must_be_ids(ada: Keeper, named: str) -> None:
    """At most 16, well formed; anything else is refused before the upload."""
    answer = await ada.store(blob(2), 1, X_Backup_Attachments=named)
    assert_problem(answer, 400, "bad_request")


def _asked(**fields: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return Request("POST", "/v1/backup", headers=Headers(named))


@given(st.text(max_size=30) | st.from_regex(r'\A(W/)?"?[0-9*, ]{0,20}"?\Z'))
def test_an_if_match_is_one_version_or_refused(value: str) -> None:
    """Whatever is taken is a number that the ETag of that version repeats."""
    try:
        version = expected_version(_asked(if_match=value))
    except BadRequest:
        return
    assert version is not None
    assert value.strip() in (etag(version), str(version))


@given(st.integers(1, 10**15 - 1))
def test_every_version_is_understood(version: int) -> None:
    """An ETag that was given out can be sent back, as it was or bare."""
    for value in (etag(version), str(version), f" {etag(version)}\t"):
        assert expected_version(_asked(if_match=value)) == version
        assert is_known(_asked(if_none_match=value), etag(version))
    assert not is_known(_asked(if_none_match=etag(version + 1)), etag(version))


@given(st.lists(st.from_regex(r'\A(W/)?"[^"]{0,8}"\Z'), max_size=5))
def test_a_list_of_tags_is_read_tag_by_tag(tags: list[str]) -> None:
    """A version is known exactly when one whole tag of the list is its own."""
    named = [tag.removeprefix("W/") for tag in tags]
    assert is_known(_asked(if_none_match=", ".join(tags)), '"7"') == ('"7"' in named)
