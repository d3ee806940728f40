"""One id, one message: repeats that wait, other texts under a known id, inboxes that held twice."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from d1_schema.sqlite.engine import connect
from durable.values import encode
from tests.support.relay import User, fill, ring, user
from tests.support.running_host import RunningHost, running_host
from worker.relay import relay_pb2 as pb
from worker.relay.inbox.model import RELAY_REMEMBER_MS

HOUR = RELAY_REMEMBER_MS / 1000


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A host with fresh state."""
    async with running_host(tmp_path / "state") as started:
        yield started


@pytest.fixture
async def ada(host: RunningHost) -> User:
    """Somebody."""
    return await user(host, "ada")


@pytest.fixture
async def bob(host: RunningHost) -> User:
    """Somebody else."""
    return await user(host, "bob")


@pytest.mark.parametrize("hours", [0, 1, 2, 48])
async def test_a_repeat_of_what_still_waits_is_a_duplicate(
    host: RunningHost, ada: User, bob: User, hours: int
) -> None:
    """Also long after its id was forgotten; it waits once, one ack removes it, nothing is left."""
    sender = await ada.socket()
    first = (await sender.send("bob", b"once", "c1")).sent
    host.clock.forward(hours * HOUR)
    await ring(host)

    again = (await (await ada.socket(token=ada.short_token(60))).send("bob", b"once", "c1")).sent

    assert (again.id, again.at_ms, again.duplicate) == (first.id, first.at_ms, True)
    reader = await bob.socket("&ack=1", bob.short_token(60))
    [message], _ = await reader.fetch()
    assert message.id == first.id
    assert (await reader.ask(ack=pb.Ack(ids=[first.id]))).acked.removed == 1
    assert (await reader.ask(list=pb.List())).listing.total == 0


@pytest.mark.parametrize("hours", [0, 2])
async def test_another_text_under_a_known_id_is_a_conflict(
    host: RunningHost, ada: User, bob: User, hours: int
) -> None:
    """It is said so, nothing is stored of it, and the first stays what it was."""
    sender = await ada.socket()
    await sender.send("bob", b"first", "c1")
    host.clock.forward(hours * HOUR)
    await ring(host)
    sender = await ada.socket(token=ada.short_token(60))

    assert (await sender.send("bob", b"second", "c1")).error.code == "conflict"

    assert (await sender.send("bob", b"first", "c1")).sent.duplicate
    [message], _ = await (await bob.socket(token=bob.short_token(60))).fetch()
    assert message.ciphertext == b"first"
    if not hours:
        # Delivered, and remembered by a hash of its text.
        assert (await sender.send("bob", b"second", "c1")).error.code == "conflict"
        assert (await sender.send("bob", b"first", "c1")).sent.duplicate


async def test_one_id_twice_in_one_turn(ada: User, bob: User) -> None:
    """Frames that travel together are judged as if they came one after the other."""
    sender = await ada.socket()
    for text in (b"a", b"a", b"b"):
        await sender.say(send=pb.Send(to="bob", ciphertext=text, client_id="c"))

    heard = [await sender.hear() for _ in range(3)]

    assert [one.sent.duplicate for one in heard[:2]] == [False, True]
    assert heard[2].error.code == "conflict"
    assert await bob.waiting() == 1


async def test_repeats_for_days_leave_counts_and_cap_true(
    host: RunningHost, ada: User, bob: User
) -> None:
    """500 messages, each repeated every two hours for a day: 500 wait, and 500 acks empty it."""
    for _ in range(12):
        peer = await ada.socket(token=ada.short_token(60))
        for number in range(500):
            text = b"%d" % number
            await peer.say(send=pb.Send(to="bob", ciphertext=text, client_id=f"c{number}"))
        for _ in range(500):
            assert (await peer.hear()).WhichOneof("event") == "sent"
        await peer.close()
        host.clock.forward(2 * HOUR)
        await ring(host)
    reader = await bob.socket("&ack=1", bob.short_token(60))

    found, fetched = await reader.fetch()

    assert (len(found), fetched.remaining) == (500, 0)
    ids = [one.id for one in found]
    assert (await reader.ask(ack=pb.Ack(ids=ids))).acked.removed == 500
    again, _ = await (await bob.socket(token=bob.short_token(60))).fetch()
    assert again == []


_AS_IN_OCTOBER = """
DROP INDEX messages_id;
DROP INDEX messages_sender;
ALTER TABLE remembered DROP COLUMN digests;
ALTER TABLE messages RENAME TO kept;
CREATE TABLE messages (seq INTEGER PRIMARY KEY, id BLOB NOT NULL, kind INTEGER NOT NULL,
    sender TEXT NOT NULL, sender_name TEXT NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL);
INSERT INTO messages SELECT seq + n * 100000, id, kind, sender, 'ada', at_ms, body
    FROM kept, (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2);
DROP TABLE kept;
"""


def spoil(file: Path) -> None:
    """Make of an inbox what the version of October 2026 left: its tables, every id three times."""
    database = connect(file)
    database.execute(_AS_IN_OCTOBER)
    database.execute("UPDATE _cf_KV SET value = ? WHERE key = 'tables'", (encode(1),))
    database.close()


async def test_an_inbox_that_held_ids_twice_opens_and_heals(tmp_path: Path) -> None:
    """Each of its 900 messages waits once, an ack removes it for good, repeats are known."""
    state = tmp_path / "state"
    async with running_host(state) as host:
        ada, bob = await user(host, "ada"), await user(host, "bob")
        sender = await ada.socket()
        await sender.send("bob", b"first", "c1")
        await fill(ada, "bob", 899)
        file = next((state / "durable" / "Inbox").rglob("*.sqlite"))
    spoil(file)

    async with running_host(state) as host:
        ada.host = bob.host = host
        reader = await bob.socket("&ack=1")
        listing = (await reader.ask(list=pb.List())).listing
        assert (listing.total, len({one.id for one in listing.messages})) == (900, 900)
        found, _ = await reader.fetch()
        ids = [one.id for one in found]
        assert (await reader.ask(ack=pb.Ack(ids=ids))).acked.removed == 900
        assert await bob.waiting() == 0
        # What an older version accepted is remembered without its text.
        assert (await (await ada.socket()).send("bob", b"first", "c1")).sent.duplicate


async def test_a_listing_says_when_its_place_is_unknown(ada: User, bob: User) -> None:
    """A page behind an id that does not wait is refused, not begun anew."""
    await fill(ada, "bob", 5)
    reader = await bob.socket()
    page = (await reader.ask(list=pb.List(limit=2))).listing.messages
    rest = (await reader.ask(list=pb.List(after=page[1].id))).listing
    assert len(rest.messages) == 3

    for unknown in (b"x" * 16, b"short"):
        assert (await reader.ask(list=pb.List(after=unknown))).error.code == "unknown_id"

    [*_], _ = await reader.fetch()
    assert (await reader.ask(list=pb.List(after=page[1].id))).error.code == "unknown_id"
    assert (await reader.ask(list=pb.List())).listing.total == 0
