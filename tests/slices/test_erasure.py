"""
Who leaves is gone: everything of theirs is exported, and after the erasure found nowhere.

What to look for is not listed here: it is what lies in the rows of the account and what was sent at
the doors, so a new column or a new slice is covered on the day it comes.
"""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from d1_schema.sqlite import writes
from tests.support.accounts import PASSWORD, bearer, post
from tests.support.held import held
from tests.support.prekeys import Device, join
from tests.support.profiles import line, many
from tests.support.relay import User, user
from tests.support.running_host import RunningHost, running_host
from tests.support.waiting import PATIENCE
from worker import data_holders
from worker.env import Env
from worker.quotas import Quota, Quotas
from worker.relay import relay_pb2 as pb

NAME = "canaryperson"
LABEL = "CANARY laptop of hers"
DEVICE = "6f1c1f0e-5a0b-4a7e-9d0e-7c3c5d1f2a90"
BACKUP = b"CANARY backup " * 50
AVATAR = b"CANARY avatar " * 50
FOR_HER = b"CANARY text that waits for her"
FROM_HER = b"text that she sent, which is the reader's"
IMPORT = "imp_20261128130000_canary"
NOTES = {
    "Idempotency-Key": "CANARY-key",
    "X-Import-Notes": "CANARY notes",
    "X-Shard-Id": "CANARY-shard",
}
SENT = (NAME, LABEL, DEVICE, IMPORT, *NOTES.values(), BACKUP, AVATAR, FOR_HER)


async def full(host: RunningHost, friend: User) -> str:
    """Make an account that has something of everything; return its id."""
    device = Device()
    member = await join(
        host, NAME, last_resort_kyber_pre_key=device.last_resort(), **device.upload(3)
    )
    me = str(member.grant["account_id"])
    await host.env.db.prepare("UPDATE accounts SET role = 'admin' WHERE id = ?").bind(me).run()
    more = {"label": LABEL, "device_id": DEVICE}
    grants = {
        audience: (
            await post(
                host, "/v1/sessions", username=NAME, password=PASSWORD, audience=audience, **more
            )
        ).json()
        for audience in ("relay", "backup", "api")
    }
    binary = {**bearer(grants["backup"]["token"]), "Content-Type": "application/octet-stream"}
    for path, body in (("/v1/attachments", AVATAR), ("/v1/backup", BACKUP)):
        answer = await host.ask("POST", path, data=body, headers=binary)
        assert answer.status in (200, 201), answer.body
    ndjson = {**bearer(grants["api"]["token"]), "Content-Type": "application/x-ndjson"}
    answer = await host.ask(
        "POST",
        f"/api/profiles/import?id={IMPORT}",
        data=line(),
        headers={**ndjson, **NOTES},
    )
    assert answer.status == 200, answer.body
    mine = User(host, me, NAME, grants["relay"]["session_id"], grants["relay"]["token"])
    for sender, to, text in ((friend, NAME, FOR_HER), (mine, friend.name, FROM_HER)):
        peer = await sender.socket()
        assert (await peer.send(to, text)).WhichOneof("event") == "sent"
        await peer.close()
    # An upload under way that never ends.
    await Quotas(host.env).reserve(me, Quota("attachments", 99_999, 99), "on-its-way-to-us", 9, 600)
    return me


async def values_of(env: Env, account_id: str) -> set[str]:
    """Return every text of the account's rows that only it can have."""
    found: set[str] = set()
    for row in (row for holder in env.holders.values() for row in holder.owns):
        if row.place == "table" and row.owner:
            sql = f'SELECT * FROM "{row.name}" WHERE "{row.owner}" = ?'
            rows = (await env.db.prepare(sql).bind(account_id).all()).results
            assert rows, f"this account has nothing in {row.name}"
            for one in rows:
                kept = {one["id"]} if row.fate == "pseudonymised" else set()
                one.pop("kind", None)
                texts = {text for text in one.values() if isinstance(text, str) and len(text) > 9}
                found |= texts - kept
    return found - {account_id}


def below(state: Path) -> dict[Path, bytes]:
    """Return every file below *state*."""
    return {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}


def places(files: dict[Path, bytes], what: str | bytes) -> list[str]:
    """Return where *what* stands, in the contents of files and in their names."""
    raw = what if isinstance(what, bytes) else what.encode()
    return [str(path) for path, data in files.items() if raw in data or raw in str(path).encode()]


async def test_after_an_erasure_nothing_is_found_in_any_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by asking nor byte by byte in the files of a running host; others keep theirs."""
    monkeypatch.setattr(writes, "EMPTY_SECONDS", 0.2)  # 30, not to be waited for here
    state = tmp_path / "state"
    async with running_host(state) as host:
        friend = await user(host, "friend")
        me = await full(host, friend)
        canaries = await values_of(host.env, me) | set(SENT)
    before = below(state)
    assert [one for one in canaries if not places(before, one)] == []

    async with running_host(state) as host:
        told = {name: await held(host.env, one, me) for name, one in host.env.holders.items()}
        await data_holders.erase(host.env, me)
        left = {name: await held(host.env, one, me) for name, one in host.env.holders.items()}
        log = "".join(host.log)
        host.clock.forward(60)
        await host.opened.actors.tick()
        async with asyncio.timeout(PATIENCE):
            while any(places(below(state), one) for one in canaries):
                await asyncio.sleep(0.1)
        after = below(state)

    assert [row["notes"] for row in told["imports"]["imports"]] == [NOTES["X-Import-Notes"]]
    assert told["backup"]["backup.bin"] == [BACKUP]
    assert AVATAR in [one for rows in told["attachments"].values() for one in rows]
    [waiting] = told["relay_inbox"]["messages"]
    assert b64decode(waiting["ciphertext"]) == FOR_HER
    assert {name for name, rows in left.items() if rows} == set()
    assert not [one for one in SENT if str(one) in log]
    assert places(after, FROM_HER)
    # By its id it is named by what others keep of it alone.
    assert all("/Inbox/" in path for path in places(after, me)), places(after, me)


async def test_what_somebody_sent_stays_readable_without_the_name(host: RunningHost) -> None:
    """The reader gets text and order; the name is "", also for an inbox that is awake."""
    eve, bob = await user(host, "eve_who_leaves"), await user(host, "bob")
    peer = await eve.socket()
    await peer.send("bob", b"one")
    reader = await bob.socket()
    [listed] = (await reader.ask(list=pb.List())).listing.messages
    assert listed.sender_name == "eve_who_leaves"
    await data_holders.erase(host.env, eve.id)
    host.clock.forward(60)
    reader = await bob.socket()
    messages, _ = await reader.fetch()
    assert [(m.sender, m.sender_name, m.ciphertext) for m in messages] == [(eve.id, "", b"one")]


@pytest.fixture
def broken_after(host: RunningHost) -> Any:
    """Return what makes the erasure fail behind its n-th holder."""

    class Broken:
        def __init__(self, inner: data_holders.DataHolder) -> None:
            self.inner = inner

        async def erase(self, env: Env, account_id: str) -> None:
            await self.inner.erase(env, account_id)
            raise OSError("the machine went down")

    def breaking(number: int) -> dict[str, Any]:
        whole = list(host.env.holders.items())
        name, holder = whole[number]
        return {**dict(whole), name: Broken(holder)}

    return breaking


async def test_an_erasure_that_broke_off_is_finished_by_the_next(
    host: RunningHost, broken_after: Any
) -> None:
    """Behind whichever holder it broke; a third time finds nothing to do."""
    whole = host.env.holders
    friend = await user(host, "friend")
    for number in range(len(whole)):
        me = await full(host, friend)
        host.env.holders = broken_after(number)
        with pytest.raises(OSError, match="went down"):
            await data_holders.erase(host.env, me)
        host.env.holders = whole
        for _ in range(2):
            await data_holders.erase(host.env, me)
        assert [one async for one in data_holders.export(host.env, me)] == []
        rows = "SELECT count(*) AS rows FROM accounts"
        assert await host.env.db.prepare(rows).first("rows") == 1
        assert (await host.env.blobs.list()).objects == []
        assert (await host.env.import_report_kv.list()).keys == []
        assert (await host.env.idempotency_kv.list()).keys == []


async def test_an_import_under_way_is_broken_off(host: RunningHost) -> None:
    """It leaves neither room nor report, and its socket ends."""
    ada = await user(host, "ada")
    began = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield many(600)
        began.set()
        await asyncio.sleep(3600)

    query = f"?id={IMPORT}"
    sending = asyncio.create_task(
        host.send_profiles(endless(), query, headers=NOTES, subject=ada.id)
    )
    await began.wait()
    room = host.env.import_room.get_by_name(IMPORT)
    while not (told := await room.call("report")) or not told["lines_total"]:
        await asyncio.sleep(0.01)
    async with host.watch(IMPORT, ada.id) as socket:
        await socket.receive()
        await data_holders.erase(host.env, ada.id)
        assert (await sending).status >= 400
        async for _ in socket:
            pass
    assert await host.env.import_room.get_by_name(IMPORT).call("report") is None
    assert (await host.env.import_report_kv.list()).keys == []
    assert (await host.env.idempotency_kv.list()).keys == []


async def test_what_comes_for_somebody_who_is_gone_does_not_stay(host: RunningHost) -> None:
    """Senders remember for a moment where a name leads; the inbox looks at its next alarm."""
    ada, bob = await user(host, "ada"), await user(host, "bob")
    peer = await ada.socket()
    await peer.send("bob", b"one")
    await data_holders.erase(host.env, bob.id)
    assert (await peer.send("bob", b"two")).WhichOneof("event") == "sent"
    host.clock.forward(3700)
    await host.opened.actors.tick()
    while host.opened.actors.alarm_clock.ringing:
        await asyncio.sleep(0.001)
    assert await held(host.env, host.env.holders["relay_inbox"], bob.id) == {}
