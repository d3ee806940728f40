"""Uploads at the same time: one wins, nobody is overwritten unseen, the dead do not block."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.accounts import later
from tests.support.backups import Keeper, blob, make_keeper
from tests.support.problems import assert_problem
from tests.support.raw import RawConnection, connect, head
from tests.support.running_host import Answer, RunningHost
from tests.support.waiting import PATIENCE, until

PARALLEL = 20
SIZE = 60_000


@pytest.fixture
async def ada(host: RunningHost) -> Keeper:
    """Somebody without a backup."""
    return await make_keeper(host.env, host)


@pytest.fixture
async def waiting(ada: Keeper) -> AsyncIterator[RawConnection]:
    """An upload of blob(9) over version 1 that stands at its half, and so does the clock."""
    ada.host.clock.stand()
    await ada.store(blob(1))
    connection = await connect(ada.host.port)
    fields = {**ada.headers, "Content-Length": str(SIZE), "If-Match": "1"}
    await connection.send(head("POST", "/v1/backup", fields) + blob(9, SIZE)[: SIZE // 2])
    async with asyncio.timeout(PATIENCE):
        while await _pending(ada) is None:
            await asyncio.sleep(0.005)
    yield connection
    await connection.cut()


async def _pending(ada: Keeper) -> str | None:
    found = await ada.host.env.db.prepare("SELECT pending_key FROM backups").first()
    return None if found is None else found["pending_key"]


async def _last_sign(ada: Keeper) -> int:
    found = await ada.host.env.db.prepare("SELECT pending_at FROM backups").first("pending_at")
    return int(found)


async def _finish(connection: RawConnection) -> Answer:
    await connection.send(blob(9, SIZE)[SIZE // 2 :])
    return await connection.answer()


@pytest.mark.parametrize("over", [None, 1])
async def test_of_twenty_uploads_one_wins(ada: Keeper, over: int | None) -> None:
    """First uploads and updates alike: one 2xx, nineteen 409, and the blob is the winner's."""
    if over is not None:
        await ada.store(blob(0))
    sent = [blob(number + 1, SIZE) for number in range(PARALLEL)]
    answers = await asyncio.gather(*(ada.store(body, over) for body in sent))
    won = [body for body, answer in zip(sent, answers, strict=True) if answer.status in (200, 201)]
    assert len(won) == 1
    for answer in answers:
        if answer.status not in (200, 201):
            assert answer.json()["error"] in ("backup_changed", "backup_in_use")
            assert (answer.status, "detail" in answer.json()) == (409, True)
    found = await ada.fetch()
    assert found.body == won[0]
    assert found.headers["ETag"] == ('"1"' if over is None else '"2"')
    assert len(await ada.keys()) == 1


async def test_many_who_fetch_and_try_again_all_get_through(ada: Keeper) -> None:
    """Eight clients that add their mark to what is there: each mark is in the last version."""
    await ada.store(b"x" * 32)

    async def add(mark: int) -> None:
        while True:
            found = await ada.fetch()
            version = int(found.headers["ETag"].strip('"'))
            if (await ada.store(found.body + b"%d;" % mark, version)).status == 200:
                return
            await asyncio.sleep(0.002 * mark)

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(add(mark) for mark in range(1, 9)))
    found = await ada.fetch()
    assert sorted(found.body[32:].split(b";")[:-1]) == [b"%d" % mark for mark in range(1, 9)]
    assert found.headers["ETag"] == '"9"'


async def test_an_upload_under_way_is_told_to_others(ada: Keeper, waiting: RawConnection) -> None:
    """409 backup_in_use with Retry-After and the present ETag; the first one is not disturbed."""
    refused = await ada.store(blob(2), 1)
    assert_problem(refused, 409, "backup_in_use")
    assert (refused.headers["Retry-After"], refused.headers["ETag"]) == ("2", '"1"')
    assert_problem(await ada.ask("DELETE", "/v1/backup"), 409, "backup_in_use")
    assert_problem(await ada.store(blob(2), 7), 409, "backup_changed")
    assert (await _finish(waiting)).status == 200
    assert (await ada.fetch()).body == blob(9, SIZE)


@pytest.mark.parametrize("touch_seconds", [5, 1e9])
async def test_a_silent_upload_is_taken_over(
    ada: Keeper, waiting: RawConnection, monkeypatch: pytest.MonkeyPatch, touch_seconds: float
) -> None:
    """
    After twenty seconds without a byte another goes ahead; the silent one cannot win, also when it
    does not ask before it commits.
    """
    monkeypatch.setattr("worker.backup.blob.BACKUP_TOUCH_SECONDS", touch_seconds)
    later(ada.host, 19)
    assert_problem(await ada.store(blob(2), 1), 409, "backup_in_use")
    later(ada.host, 2)
    assert (await ada.store(blob(2), 1)).status == 200
    assert_problem(await _finish(waiting), 409, "backup_changed")
    found = await ada.fetch()
    assert (found.body, found.headers["ETag"]) == (blob(2), '"2"')
    assert len(await ada.keys()) == 1


async def test_a_slow_upload_that_shows_life_is_not_taken_over(
    ada: Keeper, waiting: RawConnection
) -> None:
    """Bytes every few seconds keep the reservation, for as long as the upload may take."""
    for byte in range(4):
        seen = await _last_sign(ada)
        later(ada.host, 12)
        first = SIZE // 2 + byte
        # A sign of life is given with the byte after the pause.
        await waiting.send(blob(9, SIZE)[first : first + 1])

        async def is_newer(than: int = seen) -> bool:
            return await _last_sign(ada) > than

        await until(is_newer)
        assert_problem(await ada.store(blob(2), 1), 409, "backup_in_use")
    await waiting.send(blob(9, SIZE)[SIZE // 2 + 4 :])
    assert (await waiting.answer()).status == 200
    assert (await ada.fetch()).body == blob(9, SIZE)


async def test_who_was_taken_over_hears_of_it_at_once(ada: Keeper, waiting: RawConnection) -> None:
    """The next byte is answered with 409: the rest need not be sent."""
    later(ada.host, 21)
    assert (await ada.store(blob(2), 1)).status == 200
    await waiting.send(blob(9, SIZE)[SIZE // 2 : SIZE // 2 + 1])
    assert_problem(await waiting.answer(), 409, "backup_changed")
    assert (await ada.fetch()).body == blob(2)


async def test_an_upload_whose_slot_was_erased_does_not_bring_it_back(
    ada: Keeper, waiting: RawConnection
) -> None:
    """A delete of the account in the middle: 409, no backup, no object."""
    await ada.host.env.db.prepare("DELETE FROM backups").run()
    assert (await _finish(waiting)).status == 409
    assert (await ada.fetch()).status == 404
    # The old blob has lost its row, which the sweep would see.
    assert len(await ada.keys()) == 1


async def test_reads_during_many_uploads_are_always_whole(ada: Keeper) -> None:
    """Thirty versions while six read: every answer is one blob with its own ETag."""
    bodies = [blob(version, 30_000) for version in range(32)]
    await ada.store(bodies[1])
    ended = asyncio.Event()

    async def read() -> int:
        seen = 0
        while not ended.is_set():
            answer = await ada.fetch()
            assert answer.body == bodies[int(answer.headers["ETag"].strip('"'))]
            seen += 1
        return seen

    readers = [asyncio.create_task(read()) for _ in range(6)]
    for version in range(1, 31):
        assert (await ada.store(bodies[version + 1], version)).status == 200
    ended.set()
    assert min(await asyncio.gather(*readers)) > 0
