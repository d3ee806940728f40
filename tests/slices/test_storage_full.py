"""A disk that is full: refused before anything is stored, and people can still leave and read."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.accounts import PASSWORD, post, sign_in, sign_up
from tests.support.backups import FailingBucket, FailingDatabase, Keeper, blob, make_keeper, pieces
from tests.support.clock import Clock
from tests.support.problems import assert_problem
from tests.support.profiles import line, many
from tests.support.relay import user
from tests.support.running_host import RunningHost, running_host
from worker.entry.host_tools import HostTools
from worker.limits import KIB, MIB
from worker.routes import ROUTES

FLOOR = 10 * MIB


class Disk:
    """A disk with as much room as a test says; each look finds *less* of it."""

    free = 100 * FLOOR
    less = 0

    def __call__(self) -> int:
        """Return the bytes that are free."""
        self.free -= self.less
        return self.free


@pytest.fixture
def disk() -> Disk:
    """A disk with much room."""
    return Disk()


@pytest.fixture
async def host(tmp_path: Path, disk: Disk) -> AsyncIterator[RunningHost]:
    """A host on that disk."""
    tools = HostTools(now=Clock(), free_bytes=disk)
    floor = {"FREE_SPACE_FLOOR_BYTES": str(FLOOR)}
    async with running_host(tmp_path / "state", tools=tools, **floor) as host:
        yield host


@pytest.fixture
async def ada(host: RunningHost) -> Keeper:
    """Somebody with a backup and an attachment."""
    ada = await make_keeper(host.env, host)
    await ada.attach(b"avatar")
    await ada.store(blob(1))
    return ada


STORING = [(route.method, route.path) for route in ROUTES if route.stores]


@pytest.mark.parametrize(("method", "path"), STORING)
async def test_every_door_that_stores_is_507(
    host: RunningHost, disk: Disk, method: str, path: str
) -> None:
    """One byte below the floor it is refused, whoever asks; at the floor it is not."""
    disk.free = FLOOR - 1
    assert_problem(await host.ask(method, path, data=b"x" * 100), 507, "storage_full")
    disk.free = FLOOR
    assert (await host.ask(method, path, data=b"x" * 100)).status != 507


async def test_what_is_known_to_come_must_fit_above_the_floor(ada: Keeper, disk: Disk) -> None:
    """A body of n bytes needs n bytes more; nothing of one that does not fit is stored."""
    before = (await ada.host.env.blobs.list()).objects
    disk.free = FLOOR + 999
    for answer in (
        await ada.ask("POST", "/v1/attachments", blob(1)),
        await ada.store(blob(2), 1),
        await ada.host.send_profiles(line() + b" " * 1000),
    ):
        assert_problem(answer, 507, "storage_full")
    assert (await ada.host.env.blobs.list()).objects == before
    assert await ada.host.total() == 0
    disk.free = FLOOR + 1000
    assert (await ada.ask("POST", "/v1/attachments", blob(1))).status == 201
    assert (await ada.store(blob(2), 1)).status == 200


async def test_a_disk_that_fills_up_during_a_body_ends_it(ada: Keeper, disk: Disk) -> None:
    """Nothing stays of the upload; an import keeps its whole lines, and the report counts them."""
    before = (await ada.host.env.blobs.list()).objects
    disk.free, disk.less = FLOOR + 9 * MIB, MIB
    assert_problem(await ada.ask("POST", "/v1/attachments", blob(1, 8 * MIB)), 507, "storage_full")
    await ada.host.env.tools.finish()  # type: ignore[attr-defined]
    assert (await ada.host.env.blobs.list()).objects == before
    disk.free, disk.less = FLOOR + 3 * MIB, MIB
    lines = many(6000)
    parts = [lines[at : at + 64 * KIB] for at in range(0, len(lines), 64 * KIB)]
    refused = await ada.host.send_profiles(pieces(*parts))
    assert (refused.status, refused.json()["error"]) == (507, "storage_full")
    disk.free, disk.less = 100 * FLOOR, 0
    assert 0 < refused.json()["profiles_stored"] == await ada.host.total() < 6000


async def test_people_sign_in_read_and_delete_on_a_full_disk(ada: Keeper, disk: Disk) -> None:
    """What is little, and what makes room, goes on."""
    host = ada.host
    await sign_up(host)
    disk.free = 0
    person = await sign_in(host)
    assert (await person.refresh()).status == 200
    assert (await ada.fetch()).body == blob(1)
    assert (await ada.ask("DELETE", "/v1/backup")).status == 204
    assert (await host.ask("DELETE", "/v1/sessions", headers=person.bearer)).status == 204
    assert_problem(
        await post(host, "/v1/users", username="bob", password=PASSWORD), 507, "storage_full"
    )


async def test_the_relay_says_so_too(host: RunningHost, disk: Disk) -> None:
    """A message is refused by an error frame, the socket goes on, and reading makes room."""
    ada, bob = await user(host, "ada"), await user(host, "bob")
    peer = await ada.socket()
    disk.free = 0
    assert (await peer.send("bob", b"one")).error.code == "storage_full"
    assert await bob.waiting() == 0
    disk.free = FLOOR
    assert (await peer.send("bob", b"two")).WhichOneof("event") == "sent"
    await peer.close()


async def test_readyz_knows_it(host: RunningHost, disk: Disk) -> None:
    """507 below the floor, 200 again above it; the process lives on either way."""
    disk.free = FLOOR - 1
    assert_problem(await host.get("/readyz"), 507, "storage_full")
    assert (await host.get("/healthz")).status == 200
    disk.free = FLOOR
    assert (await host.get("/readyz")).status == 200


async def test_a_store_that_fails_on_a_full_disk_is_not_to_be_tried_again_soon(
    ada: Keeper, disk: Disk
) -> None:
    """507 where the same failure is 503 while there is room."""
    env, db, bucket = ada.host.env, ada.host.env.db, ada.host.env.blobs
    for free, status, code in ((100 * FLOOR, 503, "storage_unavailable"), (0, 507, "storage_full")):
        disk.free = FLOOR + 5 * MIB
        disk.less = 0 if free else 4 * MIB
        env.blobs = FailingBucket(bucket, "put")  # type: ignore[assignment]
        assert_problem(await ada.ask("POST", "/v1/attachments", blob(1)), status, code)
        env.blobs, disk.less, disk.free = bucket, 0, free
        env.db = FailingDatabase(db, lambda sql: "backups" in sql)
        assert_problem(await ada.fetch(), status, code)
        env.db = db
