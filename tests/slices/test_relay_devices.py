"""Several sockets of one account: who gets what, what ack=1 protects, and when they all end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import PASSWORD, Person, bearer, post, sign_in, sign_up
from tests.support.relay import Peer, User, fill, user
from tests.support.running_host import RunningHost, running_host
from worker.accounts import store as accounts
from worker.entry.ended_sessions import close_ended
from worker.identity.sessions import SignIn, begin
from worker.relay import relay_pb2 as pb
from worker.relay.inbox.reading import RELAY_TURN_MS


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


def ids(messages: list[Any]) -> list[bytes]:
    """Return the ids of messages."""
    return [one.id for one in messages]


@pytest.mark.parametrize("sockets", [2, 5])
async def test_fetches_at_once_share_what_waits(ada: User, bob: User, sockets: int) -> None:
    """Each message goes to one of them, in order, and all of it is gone."""
    await fill(ada, "bob", 600)
    peers = [await bob.socket() for _ in range(sockets)]

    fetched = await asyncio.gather(*(peer.fetch(200) for peer in peers))

    got = [id_ for messages, _ in fetched for id_ in ids(messages)]
    assert len(got) == len(set(got)) == min(600, 200 * sockets)
    again, _ = await (await bob.socket()).fetch()
    assert len(again) == 600 - len(got)


async def test_a_fetch_does_not_wait_for_ever_for_one_that_does_not_read(
    host: RunningHost, ada: User, bob: User
) -> None:
    """After some seconds the other socket gets what is still on its way; nothing is lost."""
    await fill(ada, "bob", 600, 60_000)
    lazy, eager = await bob.socket(), await bob.socket()
    await lazy.say(fetch=pb.Fetch())
    await asyncio.sleep(0.2)

    fetching = asyncio.create_task(eager.fetch())
    await asyncio.sleep(0.2)
    assert not fetching.done()
    host.clock.forward(RELAY_TURN_MS / 1000)

    got = set(ids((await fetching)[0]))
    while more := ids((await eager.fetch())[0]):
        got.update(more)
    while (frame := await lazy.hear()).HasField("message"):
        got.add(frame.message.id)
    assert len(got) == 600


async def test_ack_of_one_socket_protects_against_the_fetch_of_another(
    ada: User, bob: User
) -> None:
    """As long as it is open, and of what it was sent also when it is gone: acks alone remove."""
    await fill(ada, "bob", 3)
    careful, plain = await bob.socket("&ack=1"), await bob.socket()

    before, _ = await plain.fetch()
    got, _ = await careful.fetch()
    assert ids(before) == ids(got)
    await careful.close()
    assert ids((await (await bob.socket()).fetch())[0]) == ids(got)

    careful = await bob.socket("&ack=1")
    again, _ = await careful.fetch()
    assert ids(again) == ids(got)
    assert (await careful.ask(ack=pb.Ack(ids=ids(again)))).acked.removed == 3
    assert await bob.waiting() == 0


async def test_ack_protects_what_was_pushed_as_well(ada: User, bob: User) -> None:
    """A subscriber with ack=1 that vanishes gets it again, whatever plain subscribers took."""
    careful, plain = await bob.socket("&ack=1"), await bob.socket()
    await careful.subscribe()
    await plain.subscribe()
    await fill(ada, "bob", 5)
    assert len(await careful.texts(5)) == len(await plain.texts(5)) == 5
    await careful.close()
    await fill(ada, "bob", 2)
    assert len(await plain.texts(2)) == 2

    again, _ = await (await bob.socket("&ack=1")).fetch()

    # The two that came when nobody with ack=1 was there were taken by the plain one.
    assert [one.ciphertext[:2] for one in again] == [b"0 ", b"1 ", b"2 ", b"3 ", b"4 "]


async def test_what_a_plain_socket_took_alone_is_gone(ada: User, bob: User) -> None:
    """A socket with ack=1 that comes later has no claim to it."""
    await fill(ada, "bob", 3)
    assert len((await (await bob.socket()).fetch())[0]) == 3
    assert (await (await bob.socket("&ack=1")).fetch())[0] == []


async def relay_socket(host: RunningHost, person: Person) -> Peer:
    """Open a socket of a session that signed in at the door."""
    asked = {"audience": "relay"}
    token = bearer(person.grant["token"])
    answer = await host.ask("POST", "/v1/tokens", json=asked, headers=token)
    url = f"{host.url}/ws?token={answer.json()['token']}"
    peer = Peer(await host.session.ws_connect(url))
    await peer.subscribe()
    return peer


async def ended_at_once(peer: Peer) -> bool:
    """Whether the socket closes with 4403 although nothing is sent to it or from it."""
    return await asyncio.wait_for(peer.closed(), 1) == 4403


async def test_signing_out_closes_the_sockets_of_that_session(host: RunningHost) -> None:
    """By its token, by its id from another session, everywhere; other people's go on."""
    other, bob = await sign_up(host), await sign_up(host, "bob")
    stays = await relay_socket(host, bob)
    for way in ("token", "id", "everywhere"):
        person = await sign_in(host)
        peers = [await relay_socket(host, person) for _ in range(2)]
        if way == "token":
            assert (await person.ask("DELETE", "/v1/sessions")).status == 204
        elif way == "everywhere":
            assert (await other.ask("DELETE", "/v1/sessions?everywhere=true")).status == 204
        else:
            path = f"/v1/sessions/{person.grant['session_id']}"
            assert (await other.ask("DELETE", path)).status == 204
        for peer in peers:
            assert await ended_at_once(peer), way
    assert (await stays.ask(ping=pb.Ping())).HasField("pong")


async def test_changing_the_password_closes_the_sockets_of_other_sessions(
    host: RunningHost,
) -> None:
    """Who changed it goes on."""
    mine, other = await sign_up(host), await sign_in(host)
    here, there = await relay_socket(host, mine), await relay_socket(host, other)
    body = {"new_password": PASSWORD + " new", "current_password": PASSWORD}
    answer = await mine.ask("PUT", "/v1/users/me/password", json=body)
    assert answer.status in (200, 204), answer.body
    assert await ended_at_once(there)
    assert (await here.ask(ping=pb.Ping())).HasField("pong")


async def test_a_refresh_token_that_is_used_twice_closes_the_sockets(host: RunningHost) -> None:
    """Two hold it: the session ends, and what listens in it."""
    person = await sign_up(host)
    peer = await relay_socket(host, person)
    spent = person.grant["refresh_token"]
    assert (await person.refresh()).status == 200
    host.clock.forward(60)
    assert (await post(host, "/v1/sessions/refresh", refresh_token=spent)).status == 401
    assert await ended_at_once(peer)


async def test_a_disabled_account_loses_its_sockets(host: RunningHost) -> None:
    """All of them, and it cannot open another."""
    person = await sign_up(host)
    peer = await relay_socket(host, person)
    await accounts.disable(host.env, person.grant["account_id"])
    assert await ended_at_once(peer)


async def test_a_session_that_another_process_ended_closes_too(host: RunningHost) -> None:
    """`edgekeep account` writes beside a running host, which looks every few seconds."""
    person, stays = await sign_up(host), await sign_up(host, "bob")
    peer, other = await relay_socket(host, person), await relay_socket(host, stays)
    watching = asyncio.create_task(close_ended(host.env, 0.05))
    end = "UPDATE sessions SET revoked_at = ? WHERE id = ?"
    await host.env.db.prepare(end).bind(host.env.now_ms(), person.grant["session_id"]).run()
    assert await ended_at_once(peer)
    assert (await other.ask(ping=pb.Ping())).HasField("pong")
    watching.cancel()


async def test_a_handshake_that_a_sign_out_overtakes_ends(host: RunningHost, bob: User) -> None:
    """The door has seen a session that holds; the inbox looks once more."""
    inbox = host.env.inbox.get_by_name(bob.id)
    real = type(host.env.inbox).get_by_name
    grant = await begin(host.env, SignIn(bob.id, "password"), "relay")

    class Slow:
        """Ends the session on the way from the door to the inbox."""

        async def fetch(self, request: Any) -> Any:
            host.env.access.ended([grant.session_id], host.env.tools.now())
            return await inbox.fetch(request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(host.env.inbox), "get_by_name", lambda *_: Slow())
        peer = await bob.socket(token=grant.token)
    assert type(host.env.inbox).get_by_name is real
    assert await ended_at_once(peer)
