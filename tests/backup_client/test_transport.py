"""The wire: lost answers, busy and broken servers, servers that are hostile."""

import pytest

from clients.python.backup import server as wire
from clients.python.backup.errors import BackupError, Conflict, Refused, TooLarge, Unreachable
from clients.python.backup.server import Facts, Remote
from tests.backup_client.cloud import Cloud

BLOB = bytes(range(256)) * 1024


async def test_store_fetch_look_and_remove(cloud: Cloud) -> None:
    """The four doors, with versions as ETags; what is absent is None."""
    server = cloud.server()
    assert await server.look() is None
    assert await server.fetch() is None
    assert await server.store(BLOB, None) == 1
    assert "If-Match" not in cloud.headers
    assert await server.store(BLOB + b"x", 1) == 2
    assert cloud.headers["If-Match"] == '"1"'
    assert cloud.headers["Content-Length"] == str(len(BLOB) + 1)
    assert await server.fetch() == Remote(2, BLOB + b"x")
    assert await server.look() == Facts(2, len(BLOB) + 1)
    await server.remove(2)
    assert await server.look() is None


async def test_progress_ends_at_the_whole(cloud: Cloud) -> None:
    """Both ways the bar grows to the size."""
    sent: list[tuple[int, int | None]] = []
    read: list[tuple[int, int | None]] = []
    await cloud.server().store(BLOB, None, "", lambda *told: sent.append(told))
    await cloud.server().fetch(lambda *told: read.append(told))

    for told in (sent, read):
        assert told[-1] == (len(BLOB), len(BLOB))
        assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(sent) > 1


async def test_a_conflict_tells_the_current_version(cloud: Cloud) -> None:
    """409 is an answer, not something to try again."""
    await cloud.server().store(BLOB, None)
    for over in (None, 7):
        with pytest.raises(Conflict) as refused:
            await cloud.server().store(BLOB, over)
        assert refused.value.version == 1
    assert cloud.naps == []


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_busy_server_is_asked_again(cloud: Cloud, status: int) -> None:
    """After the pause that it names, at most half a minute; else after growing ones."""
    cloud.extra = {"Retry-After": "7"}
    cloud.faults = [("GET", status)]
    assert await cloud.server().fetch() is None
    cloud.extra = {"Retry-After": "100000"}
    cloud.faults = [("GET", status)]
    assert await cloud.server().fetch() is None
    cloud.extra = {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    cloud.faults = [("GET", status)] * 4
    assert await cloud.server().fetch() is None

    assert cloud.naps == [7, 30, 0.5, 1, 2, 4]


async def test_a_server_that_stays_away_is_given_up(cloud: Cloud) -> None:
    """After five tries, with a sentence."""
    cloud.faults = [("GET", "drop")] * 20
    with pytest.raises(Unreachable):
        await cloud.server().fetch()

    assert cloud.requests.count("GET") >= 5
    assert cloud.naps == [0.5, 1, 2, 4]


async def test_an_upload_that_was_not_carried_out_is_repeated(cloud: Cloud) -> None:
    """The version is as it was, so the second try stores."""
    cloud.faults = [("POST", "drop")]

    assert await cloud.server().store(BLOB, None) == 1
    assert cloud.history == [BLOB]


async def test_an_upload_whose_answer_was_lost_is_not_repeated(cloud: Cloud) -> None:
    """The version has moved: a conflict, and the caller compares what is there."""
    cloud.faults = [("POST", "lose")]
    with pytest.raises(Conflict) as refused:
        await cloud.server().store(BLOB, None)

    assert refused.value.version == 1
    assert cloud.history == [BLOB]


async def test_a_refusal_that_breaks_the_upload_off_is_a_conflict(cloud: Cloud) -> None:
    """A server may hang up on a body it will not take; the version tells why."""
    await cloud.server().store(BLOB, None)
    cloud.faults = [("POST", "drop")] * 20
    with pytest.raises(Conflict) as refused:
        await cloud.server().store(BLOB + b"x", None)

    assert refused.value.version == 1


@pytest.mark.parametrize("status", [400, 401, 403, 411, 413, 500, 501])
async def test_a_refusal_is_said_once(cloud: Cloud, status: int) -> None:
    """Nothing that would be refused again is sent again."""
    cloud.faults = [("GET", status)]
    with pytest.raises(Refused, match=f"HTTP {status}") as refused:
        await cloud.server().fetch()

    assert refused.value.status == status
    assert cloud.requests == ["GET"]


async def test_a_redirect_does_not_carry_the_token_away(cloud: Cloud) -> None:
    """It is a refusal."""
    cloud.extra = {"Location": f"{cloud.url}/elsewhere"}
    cloud.faults = [("GET", 307)]
    with pytest.raises(Refused):
        await cloud.server().fetch()

    assert cloud.requests == ["GET"]


async def test_a_server_without_versions_is_no_edgekeep(cloud: Cloud) -> None:
    """Without an ETag there is nothing to hold on to."""
    cloud.blob = BLOB
    for tag in ("", "abc", '"-1"', '"99999999999999999999"'):
        cloud.extra = {"ETag": tag}
        with pytest.raises(BackupError, match="ETag"):
            await cloud.server().fetch()


async def test_an_endless_answer_is_cut(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a backup can hold is not read into memory."""
    monkeypatch.setattr(wire, "LARGEST_BLOB", len(BLOB) - 1)
    cloud.blob = BLOB
    for cloud.chunked in (False, True):
        with pytest.raises(TooLarge):
            await cloud.server().fetch()


async def test_the_avatar_is_named_for_keeping(cloud: Cloud) -> None:
    """An id of the server's own form goes into the header, anything else stays out of it."""
    await cloud.server().store(BLOB, None, "A" * 22)
    assert cloud.headers["X-Backup-Attachments"] == "A" * 22
    await cloud.server().store(BLOB, 1, "other")
    assert "X-Backup-Attachments" not in cloud.headers
