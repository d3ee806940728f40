"""kill -9 while keys are stored and given out: none twice, and an upload is whole or not there."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

from aiohttp import ClientError

from tests.support.accounts import PASSWORD, bearer
from tests.support.child_host import ChildHost, child_host
from tests.support.prekeys import Device
from tests.support.running_host import Answer, read
from tests.support.waiting import PATIENCE, until

ROUNDS = 3


async def ask(child: ChildHost, token: str, method: str, path: str, **more: Any) -> Answer:
    """Call a door."""
    url = f"http://127.0.0.1:{child.port}{path}"
    headers = bearer(token) if token else {}
    async with child.session.request(method, url, headers=headers, **more) as response:
        return await read(response)


async def join(child: ChildHost, name: str, device: Device) -> str:
    """Register somebody with keys; return the token."""
    body = {"username": name, "password": PASSWORD, **device.upload(20)}
    answer = await ask(child, "", "POST", "/auth/register", json=body)
    assert answer.status == 200, answer.body
    return str(answer.json()["token"])


async def test_a_kill_brings_no_key_back_and_leaves_no_half_upload(tmp_path: Path) -> None:
    """
    One stores uploads of 20 keys in turn, one takes bundles; killed three times.

    What a reader was given comes again after no kill, though every upload is repeated; what is held
    after each is of one upload: the last that was answered or the one on its way.
    """
    device, reader = Device(), Device()
    given: list[str] = []
    uploads: list[dict[str, Any]] = []
    stored = 0

    async with child_host(tmp_path / "state") as child:
        bob, ada = await join(child, "bob", device), await join(child, "ada", reader)

        async def store() -> None:
            nonlocal stored
            with contextlib.suppress(ClientError, ConnectionError):
                while True:
                    keys = device.one_time(20)
                    uploads.append({"one_time_pre_keys": keys, "kyber_pre_keys": device.kyber(20)})
                    answer = await ask(child, bob, "PUT", "/v1/keys", json=uploads[-1])
                    assert answer.status == 200, answer.body
                    stored = len(uploads)

        async def take() -> None:
            with contextlib.suppress(ClientError, ConnectionError):
                while True:
                    answer = await ask(child, ada, "GET", "/v1/keys/bob")
                    if answer.status == 200:
                        bundle = answer.json()
                        came = (bundle["one_time_pre_key"], bundle["kyber_pre_key"])
                        given.extend(one["key"] for one in came if one)

        for number in range(ROUNDS):
            wanted = len(given) + 40 * (number + 1)
            work = asyncio.gather(store(), take())
            await until(lambda wanted=wanted: len(given) > wanted)
            assert await child.stop(signal.SIGKILL) == -signal.SIGKILL
            await asyncio.wait_for(work, PATIENCE)
            await child.start()
            held = (await ask(child, bob, "GET", "/v1/keys/digest")).json()
            whole = [
                all(
                    set(held[kind]["ids"]) <= {one["id"] for one in upload[kind]}
                    for kind in ("one_time_pre_keys", "kyber_pre_keys")
                )
                for upload in (*uploads[max(0, stored - 1) : stored], uploads[-1])
            ]
            assert any(whole), held
            for upload in uploads[-5:]:
                again = await ask(child, bob, "PUT", "/v1/keys", json=upload)
                left = (await ask(child, bob, "GET", "/v1/keys/digest")).json()
                assert again.status == 200, again.body
                keys = {one["id"]: one["key"] for one in upload["one_time_pre_keys"]}
                assert not {keys[one] for one in left["one_time_pre_keys"]["ids"]} & set(given)
        assert len(set(given)) == len(given)
