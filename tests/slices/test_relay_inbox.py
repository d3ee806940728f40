"""The Inbox actor: its cap and its age, what it leaves on disk, sleep, pressure, changed keys."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.held import held
from tests.support.raw import connect, head
from tests.support.relay import HANDSHAKE, User, fill, ring, server_ends, user
from tests.support.running_host import RunningHost, running_host
from tests.support.waiting import PATIENCE, until
from worker.identity.sessions import SignIn, begin
from worker.registry import DATA_HOLDERS
from worker.relay import relay_pb2 as pb
from worker.relay.inbox.model import RELAY_REMEMBER_MS

DAY = 24 * 3600
IDLE_SECONDS = 11


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A host with fresh state."""
    async with running_host(tmp_path / "state") as started:
        yield started


@pytest.fixture
async def ada(host: RunningHost) -> User:
    """A sender."""
    return await user(host, "ada")


@pytest.fixture
async def bob(host: RunningHost) -> User:
    """A recipient."""
    return await user(host, "bob")


def alarm_of(one: User) -> Any:
    """Return when the alarm of somebody's inbox is due; None without one, and for an empty one."""
    found = one.host.opened.actors.look("Inbox", one.host.env.inbox.id_from_name(one.id).hex)
    return None if found is None else found.alarm


async def fall_asleep(host: RunningHost) -> None:
    """Let the idle time pass, so that every instance leaves memory."""
    host.clock.forward(IDLE_SECONDS)
    await until(lambda: not any(one.events for one in host.opened.actors.live("Inbox")))
    await ring(host)
    await until(lambda: not any(one.is_awake for one in host.opened.actors.live("Inbox")))


def size_of(one: User) -> int:
    """How many bytes the file of somebody's inbox has."""
    return 0 if one.stored is None else one.stored.size_bytes


async def vanish(one: User) -> None:
    """Open a socket and cut its connection without a farewell."""
    connection = await connect(one.host.port)
    await connection.send(head("GET", f"/ws?token={one.token}", HANDSHAKE))
    assert (await connection.answer(no_body=True)).status == 101
    await connection.cut(reset=True)


async def test_fifty_senders_at_a_full_inbox(host: RunningHost, bob: User) -> None:
    """Never above 1000, whoever writes at once; the newest stay, the oldest go (FR-009)."""
    senders = [await user(host, f"sender_{number}") for number in range(50)]
    await asyncio.gather(*(fill(one, "bob", 25) for one in senders))
    seen: list[int] = []
    watcher = await bob.socket()

    async def watch() -> None:
        while True:
            seen.append((await watcher.ask(list=pb.List(limit=1))).listing.total)
            await asyncio.sleep(0.002)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(fill(one, "bob", 5) for one in senders))
    watching.cancel()
    assert max(seen) <= 1000
    found, fetched = await (await bob.socket()).fetch()
    assert (len(found), fetched.remaining) == (1000, 0)
    # Each sender's last five were the last to come.
    for one in senders:
        its = [message.ciphertext for message in found if message.sender == one.id]
        assert its[-5:] == [(b"%d " % number).ljust(10, b".") for number in range(5)]


async def test_the_first_delivered_of_1005_is_the_sixth(ada: User, bob: User) -> None:
    """First in, first out, also when more than is kept comes in one go."""
    await fill(ada, "bob", 1005)
    found, _ = await (await bob.socket()).fetch()
    assert len(found) == 1000
    assert found[0].ciphertext.startswith(b"5 ")
    assert found[-1].ciphertext.startswith(b"1004 ")


async def test_after_thirty_days_messages_are_gone(ada: User, bob: User) -> None:
    """At the next look, and by the alarm without one; younger ones stay."""
    host, inbox = ada.host, ada.host.env.inbox.get_by_name(bob.id)
    await fill(ada, "bob", 3)
    host.clock.forward(29 * DAY)
    await inbox.call("deliver", ada.id, "ada", b"\x01" * 16, [b"younger"])
    assert len(await inbox.call("export")) == 4
    host.clock.forward(2 * DAY)
    await ring(host)
    [left] = await inbox.call("export")
    assert left["ciphertext"] == b"younger"
    assert alarm_of(bob) is not None
    host.clock.forward(30 * DAY)
    await ring(host)
    assert await inbox.call("export") == []
    host.clock.forward(DAY)
    await ring(host)
    assert alarm_of(bob) is None


async def test_what_was_read_leaves_the_disk(ada: User, bob: User) -> None:
    """Seed SC-002: 1000 read messages leave next to nothing; an hour later, nothing."""
    await fill(ada, "bob", 1000, 4000)
    reader = await bob.socket()
    assert size_of(bob) > 4_000_000
    found, _ = await reader.fetch()
    assert len(found) == 1000
    assert await bob.waiting() == 0
    await fall_asleep(ada.host)
    await until(lambda: size_of(bob) < 100_000)
    assert (await reader.ask(ping=pb.Ping())).WhichOneof("event") == "pong"
    with ada.host.clock.moved(RELAY_REMEMBER_MS / 1000):
        await ring(ada.host)
        await until(lambda: bob.stored is None)
    assert await bob.waiting() == 0


async def test_who_only_listens_has_no_file(ada: User, bob: User) -> None:
    """Ten thousand idle sockets cost no disk."""
    await (await bob.socket()).subscribe()
    assert bob.stored is None
    sender = await ada.socket()
    await sender.send("bob", b"x")
    assert ada.stored is None


async def test_sockets_outlive_the_instance(ada: User, bob: User) -> None:
    """Subscription, mode and place survive hibernation; nothing comes twice."""
    plain, acks = await bob.socket(), await bob.json_socket("&ack=1")
    await plain.subscribe()
    await acks.ask({"seq": 1, "subscribe": {}})
    sender = await ada.socket()
    await sender.send("bob", b"before")
    assert await plain.texts(1) == [b"before"]
    assert "message" in await acks.hear()
    await fall_asleep(ada.host)
    assert bob.live is not None
    assert not bob.live.is_awake
    await sender.send("bob", b"after")
    assert await plain.texts(1) == [b"before"]  # it waits for an ack, and this socket is new to it
    assert await plain.texts(1) == [b"after"]
    later = (await acks.hear())["message"]
    assert later["ciphertext"] == "YWZ0ZXI="


async def test_a_reader_that_does_not_read_costs_nothing(ada: User, bob: User) -> None:
    """What it does not take stays on disk; another socket and the sender do not wait for it."""
    ends = server_ends(ada.host)
    lazy, eager = await bob.socket(), await bob.socket()
    await lazy.subscribe_blindly()
    await eager.subscribe()
    total = 600
    sending = asyncio.create_task(fill(ada, "bob", total, 60_000))
    got = [(await eager.hear()).message.ciphertext[:8] for _ in range(total)]
    await asyncio.wait_for(sending, PATIENCE)
    assert len(set(got)) == total
    assert max(end.buffered_amount for end in ends) < 4 * 1024 * 1024
    # The inbox holds what the lazy one has not got.
    assert await bob.waiting() > 300
    late = [(await lazy.hear()) for _ in range(total + 1)]
    assert len({one.message.id for one in late if one.WhichOneof("event") == "message"}) == total


async def test_a_sender_that_does_not_read_is_not_read_from(ada: User, bob: User) -> None:
    """Its answers stop the reading of its frames, so memory stays bounded."""
    ends = server_ends(ada.host)
    peer = await ada.socket()
    await peer.ask(ping=pb.Ping())
    frame = pb.ClientFrame(seq=1, list=pb.List()).SerializeToString()
    await fill(bob, "ada", 1000)

    async def flood() -> None:
        while True:
            await peer.ws.send_bytes(frame)
            await asyncio.sleep(0)

    flooding = asyncio.create_task(flood())
    await asyncio.sleep(1)
    flooding.cancel()
    assert 0 < ends[0].buffered_amount < 4 * 1024 * 1024


async def test_a_new_identity_key_drops_the_queue_and_tells_senders(
    host: RunningHost, ada: User, bob: User
) -> None:
    """Nobody can read it any more; other sockets end; the senders hear of it, also later."""
    await fill(ada, "bob", 3)
    here = await begin(host.env, SignIn(bob.id, "password"), "relay")
    mine, other = await bob.socket(token=here.token), await bob.socket()
    inbox = host.env.inbox.get_by_name(bob.id)
    assert await inbox.call("identity_changed", "bob", here.session_id) == 3
    assert await other.closed() == 4410
    assert (await mine.ask(list=pb.List())).listing.total == 0
    reader = await ada.socket("&ack=1")
    await reader.subscribe()
    changed = (await reader.hear()).identity_changed
    assert (changed.user, changed.username) == (bob.id, "bob")
    assert (await reader.ask(ack=pb.Ack(ids=[changed.id]))).acked.removed == 1
    assert await ada.waiting() == 0


async def test_hints_about_prekeys_reach_open_sockets_and_are_not_kept(
    host: RunningHost, bob: User
) -> None:
    """Of several in half a second the last counts; who is not there never hears of it."""
    peer = await bob.socket()
    inbox = host.env.inbox.get_by_name(bob.id)
    for left in (19, 18, 17):
        await inbox.call("keys_low", left)
    assert (await peer.hear()).keys_low.left == 17
    assert bob.stored is None


async def test_what_waits_is_exported_and_erased(host: RunningHost, ada: User, bob: User) -> None:
    """All of it with its ciphertext; afterwards nothing, and the sockets are closed."""
    await fill(ada, "bob", 150)
    holder = DATA_HOLDERS["relay_inbox"]
    found = await held(host.env, holder, bob.id)
    assert len(found["messages"]) == 150
    assert json.dumps(found)
    assert found["messages"][0]["sender_name"] == "ada"
    peer = await bob.socket()
    await holder.erase(host.env, bob.id)
    assert await peer.closed() == 4404
    assert await held(host.env, holder, bob.id) == {}
    await holder.erase(host.env, bob.id)
    await fill(ada, "bob", 1)
    assert await bob.waiting() == 1


async def test_a_thousand_connects_leave_nothing_behind(host: RunningHost, bob: User) -> None:
    """Sockets, listeners, tasks: all as before."""
    peer = await bob.socket()
    tasks = len(asyncio.all_tasks())

    async def visit(number: int) -> None:
        for _ in range(50):
            if number % 2:
                await (await bob.socket()).close()
            else:
                await vanish(bob)

    for start in range(0, 20, 4):
        await asyncio.gather(*(visit(start + one) for one in range(4)))
    await until(lambda: bob.live is not None and bob.live.sockets == 1)
    # Had it kept count of the others, the first would have had to go.
    assert (await peer.ask(ping=pb.Ping())).WhichOneof("event") == "pong"
    await until(lambda: len(asyncio.all_tasks()) <= tasks + 4)
