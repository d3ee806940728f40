"""Idempotency keys: of all imports with one key exactly one runs (facts X27)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.problems import assert_problem
from tests.support.profiles import line, many, ndjson, profile
from tests.support.running_host import Answer, RunningHost

KEY = {"Idempotency-Key": "key-1"}
MARK = "Idempotent-Replayed"
_BODIES = {
    200: many(30),
    207: ndjson([line(), b"not json"]),
    422: b"not json",
}


@pytest.mark.parametrize("query", ["", "?mode=atomic"])
async def test_of_twenty_posts_at_once_exactly_one_runs(either: RunningHost, query: str) -> None:
    """The others are told 409 or get the first answer; afterwards all get the first answer."""
    body = many(600)
    answers = await asyncio.gather(
        *(either.send_profiles(body, query, headers=KEY) for _ in range(20))
    )
    ran = [one for one in answers if one.status == 200 and MARK not in one.headers]
    replays = [one for one in answers if one.headers.get(MARK) == "true"]
    waiting = [one for one in answers if one.status == 409]
    assert len(ran) == 1
    assert len(replays) + len(waiting) == 19
    for one in waiting:
        assert_problem(one, 409, "idempotency_key_in_use")
        assert one.headers["Retry-After"] == "1"
    late = await either.send_profiles(body, query, headers=KEY)
    for one in (*replays, late):
        assert (one.status, one.body, one.headers[MARK]) == (200, ran[0].body, "true")
    assert await either.total() == 600


@pytest.mark.parametrize("status", _BODIES)
async def test_a_replay_has_the_first_status_and_body(either: RunningHost, status: int) -> None:
    """200, 207 and 422 come back byte for byte with the marker, and nothing runs again."""
    first = await either.send_profiles(_BODIES[status], headers=KEY)
    assert first.status == status
    assert MARK not in first.headers
    for _ in range(2):
        again = await either.send_profiles(_BODIES[status], headers=KEY)
        assert (again.status, again.body) == (status, first.body)
        assert again.headers[MARK] == "true"
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
        assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    if status == 422:
        assert again.json()["request_id"] == first.headers["X-Request-Id"]


async def test_a_replay_survives_without_the_quick_copy(either: RunningHost) -> None:
    """KV holds a copy only: the actor knows the answer too."""
    first = await either.send_profiles(line(), headers=KEY)
    page = await either.env.idempotency_kv.list()
    for key in page.keys:
        await either.env.idempotency_kv.delete(key.name)
    again = await either.send_profiles(line(), headers=KEY)
    assert (again.body, again.headers[MARK]) == (first.body, "true")
    other = await either.send_profiles(line(age=20), headers=KEY)
    assert_problem(other, 422, "idempotency_key_reused")


@pytest.mark.parametrize("status", _BODIES)
async def test_another_body_with_the_same_key_is_refused(host: RunningHost, status: int) -> None:
    """422, nothing is stored, and the first answer is still to be had."""
    await host.send_profiles(_BODIES[status], headers=KEY)
    before = await host.total()
    other = await host.send_profiles(line("usr_other1"), headers=KEY)
    assert_problem(other, 422, "idempotency_key_reused")
    assert await host.total() == before
    assert (await host.send_profiles(_BODIES[status], headers=KEY)).status == status


async def test_a_key_belongs_to_its_principal(either: RunningHost) -> None:
    """Two principals with one key do not meet."""
    mine = await either.send_profiles(line("usr_mine01"), headers=KEY, subject="ann")
    theirs = await either.send_profiles(line("usr_their1"), headers=KEY, subject="bob")
    assert (mine.status, theirs.status) == (200, 200)
    assert MARK not in theirs.headers
    assert await either.total() == 2


async def test_a_key_is_held_while_the_first_request_still_sends(either: RunningHost) -> None:
    """A second request during the upload is told 409; after the end it gets the answer."""
    go = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield line("usr_first1") + b"\n"
        await go.wait()
        yield line("usr_second")

    query = "?id=imp_20261121080000_holder"
    first = asyncio.create_task(either.send_profiles(slowly(), query, headers=KEY))
    asker = either.bearer("profiles:import")
    while (await either.get("/api/profiles/import/report" + query, headers=asker)).status != 200:
        await asyncio.sleep(0.01)
    second = await either.send_profiles(line("usr_first1"), headers=KEY)
    assert_problem(second, 409, "idempotency_key_in_use")
    go.set()
    done: Answer = await first
    assert done.status == 200
    body = ndjson([line("usr_first1"), line("usr_second")])[:-1]
    again = await either.send_profiles(body, headers=KEY)
    assert (again.body, again.headers[MARK]) == (done.body, "true")


async def test_a_key_is_given_back_when_the_import_broke_off(either: RunningHost) -> None:
    """After a wrong checksum the same key may be used for the right body."""
    wrong = {**KEY, "X-Checksum-Sha256": "0" * 64}
    answer = await either.send_profiles(line(), headers=wrong)
    assert answer.status == 422
    again = await either.send_profiles(line(), headers=KEY)
    assert again.status == 200
    assert MARK not in again.headers
    assert await either.stored() == [profile()]


async def test_of_many_posts_under_one_import_id_one_runs(either: RunningHost) -> None:
    """Without a key the id alone decides: one import, the others 409."""
    query = "?id=imp_20261121080000_shared1"
    answers = await asyncio.gather(*(either.send_profiles(many(50), query) for _ in range(10)))
    assert sorted(one.status for one in answers) == [200] + [409] * 9
    for one in answers:
        if one.status == 409:
            assert_problem(one, 409, "import_id_taken")


async def test_another_mode_with_the_same_key_is_refused(host: RunningHost) -> None:
    """An answer to one mode is not the answer to another, though the body is the same."""
    key = {"Idempotency-Key": "mode"}
    first = await host.send_profiles(many(3), headers=key)

    other = await host.send_profiles(many(3), "?mode=atomic", headers=key)
    same = await host.send_profiles(many(3), headers=key)

    assert (first.status, other.status, same.status) == (200, 422, 200)
    assert other.json()["error"] == "idempotency_key_reused"
    assert same.headers["Idempotent-Replayed"] == "true"
