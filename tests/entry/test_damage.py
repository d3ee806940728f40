"""Files that something damaged: named where a start or a verb ends, and no door fails for ever."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import WSServerHandshakeError

from d1_schema.contract import D1Error
from durable.object_file import ObjectFile, OpenFiles
from tests.support.backups import blob, make_keeper
from tests.support.problems import assert_problem
from tests.support.profiles import encode, profile
from tests.support.relay import Peer, User, user
from tests.support.running_host import SECRETS, RunningHost, lay_out, running_host
from tests.support.verbs import edgekeep
from worker.entry.config import ConfigError

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "head": lambda data: bytes(100) + data[100:],
    "half": lambda data: data[: len(data) // 2],
    "one page": lambda data: data[:4096],
    "rubbish": lambda data: b"rubbish " * (len(data) // 8),
    "inside": lambda data: data[:4096] + b"\xff" * (len(data) - 4096),
    "a text": lambda _data: b"not a database",
}


def damage(path: Path, kind: str) -> None:
    """Damage the file at *path*, whose host has ended."""
    assert not path.with_name(path.name + "-wal").exists()
    path.write_bytes(DAMAGES[kind](path.read_bytes()))


def files_of(state: Path, class_name: str) -> list[Path]:
    """Return the files of the objects of a class."""
    return sorted((state / "durable" / class_name).rglob("*.sqlite"))


async def arrives(one: User) -> Peer:
    """Connect as a client does that tries again after a 503 and after nothing else."""
    refusals = []
    for _ in range(3):
        try:
            peer = await one.socket()
        except WSServerHandshakeError as refused:
            refusals.append((refused.status, (refused.headers or {}).get("Retry-After")))
        else:
            assert refusals in ([], [(503, "2")])
            return peer
    raise AssertionError(refusals)


@pytest.mark.parametrize("kind", DAMAGES)
async def test_a_damaged_inbox_begins_anew(tmp_path: Path, kind: str) -> None:
    """Its messages are lost, its door works; the damaged file is kept and named in the log."""
    state = tmp_path / "state"
    async with running_host(state) as host:
        ada, bob = await user(host, "ada"), await user(host, "bob")
        peer = await ada.socket()
        for number in range(50):
            await peer.send("bob", b"%d " % number * 200)
        await peer.close()
        file = host.opened.actors.directory / "Inbox"
        digits = host.env.inbox.id_from_name(bob.id).hex
    file = file / digits[:2] / f"{digits}.sqlite"
    damage(file, kind)
    async with running_host(state) as host:
        ada, bob = replace(ada, host=host), replace(bob, host=host)
        peer = await arrives(bob)
        # What a damaged page holds is found when it is read.
        await peer.subscribe_blindly()
        await peer.close()
        sender = await ada.socket()
        sent = await sender.send("bob", b"after")
        if not sent.sent.id:
            sent = await sender.send("bob", b"after")
        await sender.close()
        peer = await arrives(bob)
        messages, _ = await peer.fetch()
        assert messages[-1].ciphertext == b"after"
        [told] = [e for e in host.events() if e["event"] == "object_file_damaged"]
        assert told["class"] == "Inbox"
        assert Path(told["file"]).name.startswith(f"{digits}.sqlite.damaged-")
        assert Path(told["file"]).exists()
        await peer.close()


@pytest.mark.parametrize("kind", DAMAGES)
async def test_a_damaged_object_does_not_hold_its_key(tmp_path: Path, kind: str) -> None:
    """The memory of an Idempotency-Key is lost with its file; the import runs."""
    state, line = tmp_path / "state", encode(profile())
    async with running_host(state) as host:
        assert (await host.send_profiles(line, headers={"Idempotency-Key": "k"})).status == 200
    for file in files_of(state, "IdempotencyBox"):
        damage(file, kind)
    async with running_host(state) as host:
        answer = await host.send_profiles(line, headers={"Idempotency-Key": "k"})
        if answer.status == 503:
            assert "Retry-After" in answer.headers
            answer = await host.send_profiles(line, headers={"Idempotency-Key": "k"})
        assert answer.status == 200
        assert await host.total() == 1


def test_a_damaged_copy_goes_with_its_object(tmp_path: Path) -> None:
    """Who is erased is erased from what was set aside too."""
    file = ObjectFile(OpenFiles(tmp_path, 8), tmp_path / "ab" / "abc.sqlite", "ada")
    file.connection()
    kept = file.set_aside("ada", 7)
    assert kept.exists()
    file.connection()
    file.remove()
    assert list(kept.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["head", "rubbish", "a text"])
@pytest.mark.parametrize(
    "name",
    [
        "d1/edgekeep.sqlite",
        "kv/PROFILES_KV.sqlite",
        "r2/edgekeep-blobs/ledger.sqlite",
        "durable/alarms.sqlite",
    ],
)
async def test_a_start_names_the_file_that_is_damaged(tmp_path: Path, name: str, kind: str) -> None:
    """With what can be done; nothing is moved or made anew behind anybody's back."""
    state = tmp_path / "state"
    await lay_out(state)
    damage(state / name, kind)
    before = (state / name).read_bytes()
    with pytest.raises(ConfigError) as refused:
        async with running_host(state):
            """It does not start."""
    assert str(refused.value).startswith(f"{state / name} cannot be used: ")
    assert "Put back a copy" in str(refused.value)
    assert (state / name).read_bytes() == before


async def test_a_page_that_is_damaged_names_its_file(tmp_path: Path) -> None:
    """Found when it is read: by a start, by a verb."""
    state = tmp_path / "state"
    await lay_out(state)
    damage(state / "d1" / "edgekeep.sqlite", "inside")
    with pytest.raises((ConfigError, D1Error), match=r"edgekeep\.sqlite"):
        async with running_host(state):
            """It does not start."""
    words = ("d1", "execute", "DB", "--command", "SELECT count(*) FROM accounts", "--state", state)
    done = await asyncio.to_thread(edgekeep, *words, **SECRETS)
    assert done.returncode in (2, 3)
    assert str(state / "d1" / "edgekeep.sqlite") in done.stderr


# -- bodies of R2 ----------------------------------------------------------------------------------

BODIES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
}


def spoil(host: RunningHost, kind: str) -> None:
    """Spoil every body that the bucket has."""
    for path in (host.opened.stores.state / "r2" / "edgekeep-blobs" / "bodies").iterdir():
        BODIES[kind](path)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("size", [1000, 2_000_000])
async def test_a_backup_without_its_bytes_is_lost(host: RunningHost, kind: str, size: int) -> None:
    """GET and HEAD say so, with the ETag that a new one replaces; then all is well again."""
    keeper = await make_keeper(host.env, host)
    assert (await keeper.store(blob(1, size))).status == 201
    spoil(host, kind)
    for method in ("GET", "HEAD", "GET"):
        answer = await keeper.ask(method, "/v1/backup")
        assert answer.status == 404
        assert answer.headers["ETag"] == '"1"'
        if method == "GET":
            assert_problem(answer, 404, "backup_lost")
    assert (await keeper.store(blob(2, size), over=1)).status == 200
    assert (await keeper.fetch()).body == blob(2, size)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("size", [1000, 3_000_000])
async def test_an_attachment_without_its_bytes_is_not_found(
    host: RunningHost, kind: str, size: int
) -> None:
    """Whole or in part, and before a byte of it goes out."""
    keeper = await make_keeper(host.env, host)
    path = f"/v1/attachments/{await keeper.attach(blob(1, size))}"
    spoil(host, kind)
    for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=0-9"})):
        answer = await keeper.ask(method, path, **headers)
        assert answer.status == 404, (method, headers)
    assert any(event["event"] == "attachment_object_lost" for event in host.events())
