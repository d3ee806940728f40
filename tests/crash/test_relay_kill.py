"""kill -9 while messages flow: what was answered with sent is never lost, nor doubled."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError

from tests.support.accounts import PASSWORD
from tests.support.child_host import ChildHost, child_host
from tests.support.relay import Peer
from tests.support.waiting import PATIENCE, until
from worker.relay import relay_pb2 as pb

ROUNDS = 3


async def token(child: ChildHost, name: str) -> str:
    """Sign up and return a token for the relay."""
    url = f"http://127.0.0.1:{child.port}"
    body = {"username": name, "password": PASSWORD}
    async with child.session.post(f"{url}/v1/users", json=body) as response:
        assert response.status == 201, await response.text()
        bearer = {"Authorization": f"Bearer {(await response.json())['token']}"}
    wanted = {"audience": "relay"}
    async with child.session.post(f"{url}/v1/tokens", json=wanted, headers=bearer) as response:
        assert response.status == 200, await response.text()
        return str((await response.json())["token"])


async def open_socket(child: ChildHost, its_token: str, query: str = "") -> Peer:
    """Open a socket of the relay."""
    url = f"http://127.0.0.1:{child.port}/ws?token={its_token}{query}"
    return Peer(await child.session.ws_connect(url, max_msg_size=0))


async def frames_until_the_end(peer: Peer, found: list[Any]) -> None:
    """Put every frame that comes before the connection breaks into *found*."""
    with contextlib.suppress(AssertionError, ClientError, ConnectionError):
        while True:
            found.append(await peer.hear())


async def send_all(peer: Peer, names: list[str]) -> None:
    """Send a message for each of *names* as fast as they go."""
    with contextlib.suppress(ClientError, ConnectionError):
        for name in names:
            await peer.say(send=pb.Send(to="bob", ciphertext=name.encode(), client_id=name))
            if len(name) % 7 == 0:
                await asyncio.sleep(0)


def unique(frames: list[Any]) -> set[bytes]:
    """Return the ids of the messages among *frames*, of which none may come twice."""
    ids = [frame.message.id for frame in frames if frame.WhichOneof("event") == "message"]
    assert len(ids) == len(set(ids))
    return set(ids)


@pytest.mark.parametrize(("query", "count"), [("", 3000), ("&ack=1", 300)])
async def test_nothing_that_was_accepted_is_lost(tmp_path: Path, query: str, count: int) -> None:
    """
    A subscriber and a pipelining sender, killed three times; then all of it is repeated.

    With ack=1 nothing is acknowledged, so everything has to be there at the end (an inbox keeps
    1000 messages).
    """
    async with child_host(tmp_path / "state") as child:
        ada, bob = await token(child, "ada"), await token(child, "bob")
        accepted: set[bytes] = set()
        received: set[bytes] = set()
        names: list[str] = []
        for number in range(ROUNDS):
            sender, reader = await open_socket(child, ada), await open_socket(child, bob, query)
            await reader.say(subscribe=pb.Subscribe())
            batch = [f"{number}-{one}" for one in range(count)]
            names += batch
            answers: list[Any] = []
            pushed: list[Any] = []
            work = asyncio.gather(
                frames_until_the_end(sender, answers),
                frames_until_the_end(reader, pushed),
                send_all(sender, batch),
            )
            await until(lambda answers=answers: len(answers) > 0)
            await asyncio.sleep(0.1 * number)
            assert await child.stop(signal.SIGKILL) == -signal.SIGKILL
            await asyncio.wait_for(work, PATIENCE)
            accepted |= {one.sent.id for one in answers if one.WhichOneof("event") == "sent"}
            received |= unique(pushed)
            await child.start()
        assert accepted
        before = set() if query else received
        await check_rest(child, ada, bob, (accepted, before, names))


async def check_rest(
    child: ChildHost, ada: str, bob: str, so_far: tuple[set[bytes], set[bytes], list[str]]
) -> None:
    """What had been accepted is here by now or waits; repeating everything doubles nothing."""
    accepted, received, names = so_far
    reader = await open_socket(child, bob)
    found, _ = await reader.fetch()
    fetched = {one.id for one in found}
    assert len(fetched) == len(found)
    assert accepted <= received | fetched
    sender = await open_socket(child, ada)
    sending = asyncio.create_task(send_all(sender, names[-800:]))
    answers = [(await sender.hear()).sent for _ in range(800)]
    await sending
    again, _ = await reader.fetch()
    known = {one.id for one in answers if one.duplicate}
    assert known <= received | fetched
    assert {one.id for one in again} == {one.id for one in answers if not one.duplicate}
