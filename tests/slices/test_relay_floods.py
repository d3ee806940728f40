"""What one account can do to others through the relay: fill, empty, remember, ask for ever."""

import asyncio
import contextlib
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.relay import Peer, User, fill, user
from tests.support.running_host import RunningHost, running_host
from worker.entry.host_tools import HostTools
from worker.relay import relay_pb2 as pb
from worker.relay.inbox.store import fair_cut


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A host with fresh state."""
    async with running_host(tmp_path / "state") as started:
        yield started


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A host that holds everybody to the limits, this machine too; no bucket fills again."""
    at = time.time()
    tools = HostTools(now=lambda: at)
    async with running_host(tmp_path / "limited", tools=tools, RATE_LIMITS="on") as started:
        yield started


@pytest.fixture
async def ada(host: RunningHost) -> User:
    """Somebody."""
    return await user(host, "ada")


@pytest.fixture
async def bob(host: RunningHost) -> User:
    """Somebody else."""
    return await user(host, "bob")


async def waiting_by_sender(bob: User) -> Counter[str]:
    """Return how many messages of whom wait."""
    peer = await bob.socket()
    listing = (await peer.ask(list=pb.List())).listing
    await peer.close()
    assert listing.total == len(listing.messages)
    return Counter(one.sender_name for one in listing.messages)


async def test_a_stranger_cannot_empty_an_inbox(host: RunningHost, ada: User, bob: User) -> None:
    """A friend's message that was answered `sent` outlives 3000 of a stranger."""
    mallory = await user(host, "mallory")
    await fill(ada, "bob", 3)

    await fill(mallory, "bob", 3000, 1)

    assert await waiting_by_sender(bob) == {"ada": 3, "mallory": 997}
    found, _ = await (await bob.socket()).fetch()
    assert [one.sender_name for one in found[:3]] == ["ada"] * 3
    # Of one sender the oldest went first (FR-009).
    assert found[3].ciphertext.startswith(b"2003 ")


async def test_five_strangers_share_what_is_left(host: RunningHost, ada: User, bob: User) -> None:
    """At once and with all their might: the friend keeps what is less than a fair share."""
    strangers = [await user(host, f"stranger_{number}") for number in range(5)]
    await fill(ada, "bob", 150)

    await asyncio.gather(*(fill(one, "bob", 600, 1) for one in strangers))

    shares = await waiting_by_sender(bob)
    assert shares.pop("ada") == 150
    assert sorted(shares.values()) == [170] * 5


async def test_who_has_most_gives_way_also_to_the_newest(
    host: RunningHost, ada: User, bob: User
) -> None:
    """The other order: a full inbox of one sender takes in what somebody else sends."""
    mallory = await user(host, "mallory")
    await fill(mallory, "bob", 1000, 1)

    await fill(ada, "bob", 400)

    assert await waiting_by_sender(bob) == {"ada": 400, "mallory": 600}
    await fill(ada, "bob", 400)
    assert await waiting_by_sender(bob) == {"ada": 500, "mallory": 500}


@pytest.mark.parametrize(
    ("shares", "excess", "cut"),
    [
        ([("a", 10, 1)], 3, {"a": 3}),
        ([("a", 5, 1), ("b", 5, 9)], 1, {"a": 1}),
        ([("a", 5, 9), ("b", 5, 1)], 2, {"a": 1, "b": 1}),
        ([("a", 9, 1), ("b", 2, 2), ("c", 1, 0)], 7, {"a": 7}),
        ([("a", 9, 1), ("b", 2, 2)], 9, {"a": 8, "b": 1}),
        ([("a", 1, 3), ("b", 1, 1), ("c", 1, 2)], 2, {"b": 1, "c": 1}),
    ],
)
def test_room_is_made_by_whoever_has_most(
    shares: list[tuple[str, int, int]], excess: int, cut: dict[str, int]
) -> None:
    """Of equals by who has waited longest."""
    assert fair_cut(shares, excess) == cut


async def test_a_burst_is_well_below_an_inbox(limited: RunningHost) -> None:
    """What one account can send at once is a quarter of what an inbox holds."""
    ada = await user(limited, "ada")
    await user(limited, "bob")
    peer = await ada.socket()

    kinds = await flood(peer, 1000, send=pb.Send(to="bob", ciphertext=b"x"))

    assert kinds == {"sent": 250, "rate_limited": 750}


@pytest.mark.parametrize(
    "spelled", ["{}" + "x" * 80_000, "no {} " + "\N{GREEK SMALL LETTER ALPHA}" * 20_000]
)
async def test_names_that_nobody_can_have_take_no_memory(ada: User, spelled: str) -> None:
    """250 sends to names of 80 kB: less than a megabyte stays."""
    peer = await ada.json_socket()
    await peer.ask({"send": {"to": "nobody", "ciphertext": "eA=="}})
    tracemalloc.start()
    try:
        for number in range(250):
            to = spelled.format(number)
            heard = await peer.ask({"send": {"to": to, "ciphertext": "eA=="}})
            assert heard["error"]["code"] == "unknown_recipient"
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


async def flood(peer: Peer, count: int, **action: Any) -> Counter[str]:
    """Send a frame *count* times and return the kinds of the answers."""

    async def say() -> None:
        for _ in range(count):
            await peer.say(**action)

    saying = asyncio.create_task(say())
    kinds: Counter[str] = Counter()
    for _ in range(count):
        heard = await peer.hear()
        kinds[heard.error.code or str(heard.WhichOneof("event"))] += 1
    await saying
    return kinds


@pytest.mark.parametrize(
    "action",
    [
        {"list": pb.List()},
        {"ping": pb.Ping()},
        {"fetch": pb.Fetch()},
        {"subscribe": pb.Subscribe()},
    ],
    ids=lambda action: str(next(iter(action))),
)
async def test_frames_of_every_kind_are_limited(limited: RunningHost, action: Any) -> None:
    """Beyond 5000 at once they are refused, and then they are hardly even looked at."""
    peer = await (await user(limited, "ada")).socket()
    assert "rate_limited" not in await flood(peer, 4990, **action)
    assert (await flood(peer, 20, **action))["rate_limited"] >= 9

    for _ in range(2000):
        await peer.say(**action)
    answered = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            while True:
                await peer.hear()
                answered += 1

    # One in a tenth of a second; the others wait in the network.
    assert answered <= 15


async def test_what_cannot_be_read_is_limited_too(limited: RunningHost) -> None:
    """Rubbish costs by its length; after a while `rate_limited` is the answer."""
    peer = await (await user(limited, "ada")).json_socket()
    codes: Counter[str] = Counter()
    for _ in range(456):
        heard = await peer.ask("[" * 90_000)
        codes[heard["error"]["code"]] += 1
    assert codes == {"bad_frame": 454, "rate_limited": 2}


async def test_long_listings_cost_more_than_empty_ones(limited: RunningHost) -> None:
    """Of a thousand messages each: about fifty at once, over all sockets of the account."""
    bob = await user(limited, "bob")
    senders = [await user(limited, f"sender_{number}") for number in range(4)]
    await asyncio.gather(*(fill(one, "bob", 250, 1) for one in senders))
    peers = [await bob.socket() for _ in range(4)]
    kinds: Counter[str] = Counter()
    for one in await asyncio.gather(*(flood(peer, 25, list=pb.List()) for peer in peers)):
        kinds += one
    assert kinds == {"listing": 49, "rate_limited": 51}
    # Others are not held up by it.
    assert (await (await senders[0].socket()).ask(ping=pb.Ping())).HasField("pong")
