"""The relay as its clients see it: send, list, fetch, push, acknowledge, both encodings."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.relay import HANDSHAKE, JSON, JsonPeer, User, bytes64, refused, text64, user
from tests.support.running_host import RunningHost, running_host
from worker.relay import relay_pb2 as pb
from worker.relay.inbox.listeners import RELAY_CHECK_MS


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


async def test_a_message_waits_until_it_is_fetched_and_is_gone_then(ada: User, bob: User) -> None:
    """Seed US2: stored while Bob is away, delivered once; server sets sender and time."""
    sent = (await (await ada.socket()).send("bob", b"hello")).sent
    assert len(sent.id) == 16
    assert not sent.duplicate

    peer = await bob.socket()
    listed = (await peer.ask(list=pb.List())).listing
    assert [(one.id, one.sender, one.sender_name, one.size) for one in listed.messages] == [
        (sent.id, ada.id, "ada", 5)
    ]
    [message], fetched = await peer.fetch()
    assert (message.id, message.ciphertext, message.at_ms) == (sent.id, b"hello", sent.at_ms)
    assert (message.sender, message.sender_name) == (ada.id, "ada")
    assert abs(message.at_ms - bob.host.env.now_ms()) < 60_000
    assert (fetched.delivered, fetched.remaining) == (1, 0)
    again, fetched = await peer.fetch()
    assert again == []
    assert fetched.delivered == 0
    assert await bob.waiting() == 0


async def test_a_subscriber_gets_the_backlog_first_and_then_whatever_comes(
    ada: User, bob: User
) -> None:
    """In order, each once, over the change from stored to live; nothing is pushed unasked."""
    sender = await ada.socket()
    for number in range(150):
        await sender.say(send=pb.Send(to="bob", ciphertext=b"%d" % number))
    for _ in range(150):
        await sender.hear()
    peer = await bob.socket()
    assert (await peer.subscribe()).waiting == 150
    for number in range(150, 300):
        await sender.say(send=pb.Send(to="bob", ciphertext=b"%d" % number))

    assert await peer.texts(300) == [b"%d" % number for number in range(300)]
    assert await bob.waiting() == 0


async def test_only_who_subscribed_is_pushed_to(ada: User, bob: User) -> None:
    """A socket that did not ask gets nothing, nor one that asked and took it back."""
    quiet, loud, was_loud = [await bob.socket() for _ in range(3)]
    await loud.subscribe()
    await was_loud.subscribe()
    assert not (await was_loud.ask(unsubscribe=pb.Unsubscribe())).subscribed.active
    await (await ada.socket()).send("bob", b"one")

    assert await loud.texts(1) == [b"one"]
    assert await quiet.is_silent()
    assert await was_loud.is_silent(0.05)


async def test_every_subscribed_socket_of_an_account_gets_each_message(
    ada: User, bob: User
) -> None:
    """A telephone and a laptop hear the same, whichever encoding they speak."""
    phone, laptop = await bob.socket(), await bob.json_socket()
    await phone.subscribe()
    await laptop.ask({"seq": 1, "subscribe": {}})
    sender = await ada.socket()
    for text in (b"one", b"two"):
        await sender.send("bob", text)

    assert await phone.texts(2) == [b"one", b"two"]
    heard = [await laptop.hear(), await laptop.hear()]
    assert [bytes64(one["message"]["ciphertext"]) for one in heard] == [b"one", b"two"]
    assert await bob.waiting() == 0


async def test_with_ack_messages_stay_until_they_are_acknowledged(ada: User, bob: User) -> None:
    """A socket that broke off gets them again; one that went on does not; then they are gone."""
    sender = await ada.socket()
    ids = [(await sender.send("bob", b"%d" % n)).sent.id for n in range(3)]
    first = await bob.socket("&ack=1")
    await first.subscribe()
    assert await first.texts(3) == [b"0", b"1", b"2"]
    ids.append((await sender.send("bob", b"3")).sent.id)
    assert await first.texts(1) == [b"3"]
    assert (await first.ask(ack=pb.Ack(ids=ids[:1]))).acked.removed == 1
    await first.close()

    second = await bob.socket("&ack=1")
    found, fetched = await second.fetch()
    assert [one.id for one in found] == ids[1:]
    assert (fetched.delivered, fetched.remaining) == (3, 0)
    assert (await second.ask(ack=pb.Ack(ids=[*ids, b"unknown"]))).acked.removed == 3
    assert await bob.waiting() == 0


async def test_unacknowledged_pushes_stop_at_a_window_and_go_on_with_acks(
    ada: User, bob: User
) -> None:
    """A client that takes and never acknowledges does not get the whole inbox."""
    sender = await ada.socket()
    for number in range(400):
        await sender.say(send=pb.Send(to="bob", ciphertext=b"%d" % number))
    for _ in range(400):
        await sender.hear()
    peer = await bob.socket("&ack=1")
    await peer.subscribe()
    got = [(await peer.hear()).message for _ in range(256)]
    assert (await peer.ask(ack=pb.Ack(ids=[one.id for one in got]))).acked.removed == 256
    got += [(await peer.hear()).message for _ in range(144)]
    assert [one.ciphertext for one in got] == [b"%d" % number for number in range(400)]


async def test_a_repeated_send_is_accepted_once(ada: User, bob: User) -> None:
    """The same client_id to the same recipient: the same answer, also after delivery."""
    sender = await ada.socket()
    first = (await sender.send("bob", b"once", "c1")).sent
    again = (await (await ada.socket()).send("BOB", b"once", "c1")).sent
    assert (again.id, again.at_ms, again.duplicate) == (first.id, first.at_ms, True)
    peer = await bob.socket()
    found, _ = await peer.fetch()
    assert [one.id for one in found] == [first.id]
    late = (await sender.send("bob", b"once", "c1")).sent
    assert late.duplicate
    other = (await sender.send("bob", b"twice", "c2")).sent
    to_self = (await sender.send("ada", b"once", "c1")).sent
    assert not other.duplicate
    assert not to_self.duplicate
    assert len({first.id, other.id, to_self.id}) == 3
    found, _ = await peer.fetch()
    assert [one.ciphertext for one in found] == [b"twice"]


async def test_one_name_in_every_spelling(ada: User, bob: User) -> None:
    """Case, width and the account id lead to one inbox (facts/seeds.md X41)."""
    sender = await ada.socket()
    for name in ("bob", "BOB", "\uff22\uff4f\uff42", bob.id):
        assert (await sender.send(name, b"x")).WhichOneof("event") == "sent"
    assert await bob.waiting() == 4


async def test_answers_come_in_the_order_of_the_frames(ada: User, bob: User) -> None:
    """Over several recipients, too; refusals stand where they belong in time."""
    sender = await ada.socket()
    cleo = await user(ada.host, "cleo")
    for number in range(60):
        await sender.say(send=pb.Send(to=("bob", "cleo")[number % 2], ciphertext=b"x"))
    heard = [await sender.hear() for _ in range(60)]
    assert [one.seq for one in heard] == list(range(1, 61))
    assert (await bob.waiting(), await cleo.waiting()) == (30, 30)


async def test_json_frames_say_what_protobuf_says(ada: User, bob: User) -> None:
    """A person with wscat can do all of it."""
    peer = await ada.json_socket()
    assert peer.ws.protocol == JSON
    sent = await peer.ask(
        {"seq": 7, "send": {"to": "bob", "ciphertext": text64(b"hi"), "client_id": "a"}}
    )
    assert sent["seq"] == 7
    assert set(sent["sent"]) == {"id", "at_ms", "duplicate"}
    assert await peer.ask({"seq": 8, "ping": {}}) == {"seq": 8, "pong": {}}
    reader = await bob.json_socket("&ack=1")
    listing = (await reader.ask({"list": {"limit": 5}}))["listing"]
    assert (listing["total"], listing["messages"][0]["size"]) == (1, 2)
    message = (await reader.ask({"seq": 9, "fetch": {}}))["message"]
    assert bytes64(message["ciphertext"]) == b"hi"
    assert await reader.hear() == {"seq": 9, "fetched": {"delivered": 1, "remaining": 0}}
    acked = await reader.ask({"ack": {"ids": [message["id"]]}})
    assert acked == {"acked": {"removed": 1}}


async def test_a_ticket_opens_the_door_once(ada: User) -> None:
    """And the socket lives on although the ticket lived for seconds."""
    bearer = {"Authorization": f"Bearer {ada.token}"}
    answer = await ada.host.ask("POST", "/v1/tickets", headers=bearer, json={"audience": "relay"})
    ticket = answer.json()["ticket"]
    peer = await ada.socket(token=ticket)
    assert (await peer.ask(ping=pb.Ping())).WhichOneof("event") == "pong"
    ada.host.clock.forward(10 * 60)
    assert (await peer.ask(ping=pb.Ping())).WhichOneof("event") == "pong"
    assert (await refused(ada.host, f"?token={ticket}")).status == 401


@pytest.mark.parametrize("first", [True, False])
async def test_a_browser_may_offer_its_token_as_a_subprotocol(ada: User, first: bool) -> None:
    """A page can set no header: beside the protocol it speaks it offers the token, never echoed."""
    bearer = {"Authorization": f"Bearer {ada.token}"}
    answer = await ada.host.ask("POST", "/v1/tickets", headers=bearer, json={"audience": "relay"})
    for token in (ada.token, answer.json()["ticket"]):
        offered = [f"bearer.{token}", JSON] if first else [JSON, f"bearer.{token}"]
        ws = await ada.host.session.ws_connect(f"{ada.host.url}/ws", protocols=offered)
        assert ws.protocol == JSON
        assert "pong" in await JsonPeer(ws).ask({"ping": {}})
        assert token not in json.dumps(ada.host.events())
    wrong = {**HANDSHAKE, "Sec-WebSocket-Protocol": f"{JSON}, bearer.nonsense"}
    assert (await ada.host.get("/ws", headers=wrong)).status == 401
    spent = {**HANDSHAKE, "Sec-WebSocket-Protocol": f"{JSON}, bearer.{answer.json()['ticket']}"}
    assert (await ada.host.get("/ws", headers=spent)).status == 401


async def test_strangers_and_other_audiences_stay_outside(host: RunningHost, ada: User) -> None:
    """No token, one of the api, one of nobody: refused before the upgrade; no upgrade: 426."""
    api = host.token(subject=ada.id)
    for query in ("", f"?token={api}", "?token=nonsense"):
        assert (await refused(host, query)).status == 401
    answer = await host.get(f"/ws?token={ada.token}")
    assert (answer.status, answer.json()["error"]) == (426, "upgrade_required")


async def test_a_socket_ends_with_its_token(ada: User, bob: User) -> None:
    """Also an idle one: 4401 at the moment at which the token ends."""
    peer = await bob.socket(token=bob.short_token(2))
    await peer.subscribe()
    assert await peer.closed() == 4401
    assert (await (await ada.socket()).send("bob", b"x")).WhichOneof("event") == "sent"
    assert await bob.waiting() == 1


async def test_a_socket_ends_with_its_session(host: RunningHost, ada: User, bob: User) -> None:
    """Signing out ends it when something is to pass, and what was to pass stays."""
    peer = await bob.socket()
    await peer.subscribe()
    host.env.access.ended([bob.session_id], host.env.tools.now())
    host.clock.forward(RELAY_CHECK_MS / 1000)
    await (await ada.socket()).send("bob", b"kept")
    assert await peer.closed() == 4403


@pytest.mark.parametrize("code", [1000, 1001, 4002])
async def test_a_close_is_answered_with_its_own_code(bob: User, code: int) -> None:
    """RFC 6455, 5.5.1: the answer to a close frame says what the frame said."""
    peer = await bob.socket()
    await peer.subscribe()

    await peer.ws.close(code=code)

    assert peer.ws.close_code == code


async def test_too_many_sockets_of_one_account_push_out_the_oldest(bob: User) -> None:
    """The 33rd is welcome, and the first hears why it goes."""
    peers = [await bob.socket() for _ in range(33)]
    assert await peers[0].closed() == 4409
    assert (await peers[1].ask(ping=pb.Ping())).WhichOneof("event") == "pong"
    assert (await peers[32].ask(ping=pb.Ping())).WhichOneof("event") == "pong"


async def test_a_sender_is_held_to_its_rate(tmp_path: Path) -> None:
    """Beyond the burst a frame is refused with the time to wait, and nothing is stored of it."""
    async with running_host(tmp_path / "limited", RATE_LIMITS="on") as host:
        ada, bob = await user(host, "ada"), await user(host, "bob")
        sender = await ada.socket()
        for _ in range(350):
            await sender.say(send=pb.Send(to="bob", ciphertext=b"x"))
        heard = [await sender.hear() for _ in range(350)]
        kinds = [one.WhichOneof("event") for one in heard]
        assert kinds[:250] == ["sent"] * 250
        errors = [one.error for one in heard if one.WhichOneof("event") == "error"]
        assert {one.code for one in errors} == {"rate_limited"}
        assert 0 < errors[-1].retry_after_ms <= 1000
        assert await bob.waiting() == 350 - len(errors)


async def test_the_log_knows_nothing_of_what_was_said(
    host: RunningHost, ada: User, bob: User
) -> None:
    """No payload, no name, no token, no id of a message; the door itself is logged."""
    secret = b"a secret that nobody may log"
    sent = (await (await ada.socket()).send("bob", secret, "client-id-of-mine")).sent
    reader = await bob.json_socket()
    await reader.say("{ broken " + secret.decode())
    await reader.hear()
    await reader.ask({"fetch": {}})
    text = json.dumps(host.events())
    assert "/ws" in text
    for word in (secret.decode(), text64(secret), "client-id", bob.token, bob.name, sent.id.hex()):
        assert word not in text
