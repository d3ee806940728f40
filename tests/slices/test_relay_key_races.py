"""Many at once at the key store: no prekey is given out twice, none is lost, no bundle is mixed."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.prekeys import Device, Member, join
from tests.support.running_host import Answer, RunningHost, running_host
from worker.relay.keys.model import parse
from worker.relay.keys.store import KeyStore

KEYS = 100
FETCHES = 1000


async def _drain(readers: list[Member], count: int, query: str = "") -> list[Answer]:
    """Fetch bob's bundle *count* times at once, the readers in turn."""
    return await asyncio.gather(
        *(readers[number % len(readers)].bundle("bob", query) for number in range(count))
    )


def _ids(answers: list[Answer], kind: str = "one_time_pre_key") -> list[int]:
    """Return the ids that were given, each as often as it was."""
    bundles = [one.json() for one in answers if one.status == 200]
    return sorted(one[kind]["id"] for one in bundles if one[kind] is not None)


async def test_of_a_thousand_fetches_of_a_hundred_keys_a_hundred_succeed(host: RunningHost) -> None:
    """Each key is given exactly once, everybody else hears 412; Kyber keys alike."""
    device = Device()
    kyber = device.kyber(KEYS)
    upload = device.upload(KEYS, kyber_pre_keys=kyber)
    bob = await join(host, "bob", **upload)
    readers = [await join(host, f"reader{number}") for number in range(3)]

    answers = await _drain(readers, FETCHES)

    statuses = Counter(one.status for one in answers)
    print(f"1000 parallel fetches of 100 prekeys: {dict(statuses)}")
    assert statuses == {200: KEYS, 412: FETCHES - KEYS}
    assert _ids(answers) == sorted(one["id"] for one in upload["one_time_pre_keys"])
    assert _ids(answers, "kyber_pre_key") == sorted(one["id"] for one in kyber)
    assert (await bob.count())["one_time_pre_keys"] == 0


async def test_two_hosts_over_one_database_give_no_key_twice(tmp_path: Path) -> None:
    """The database decides, not the memory of a process."""
    state = tmp_path / "state"
    async with running_host(state) as one, running_host(state) as other:
        device = Device()
        await join(one, "bob", **device.upload(40))
        here, there = await join(one, "here"), await join(other, "there")
        answers = await _drain([here, there], 120)
    assert Counter(one.status for one in answers) == {200: 40, 412: 80}
    assert _ids(answers) == list(range(1, 41))


async def test_fetches_and_top_ups_at_once_lose_nothing(host: RunningHost) -> None:
    """Every key that was uploaded is given once or still there; uploads sent twice add nothing."""
    bob = await join(host, "bob", one_time=20)
    reader = await join(host, "reader")
    batches = [bob.device.one_time(5) for _ in range(8)]
    uploads = [
        bob.ask("POST", "/v1/keys/one-time", json={"one_time_pre_keys": batch})
        for batch in batches
        for _ in range(2)
    ]
    told, answers = await asyncio.gather(asyncio.gather(*uploads), _drain([reader], 90))
    assert {one.status for one in told} == {200}
    left = (await bob.count())["one_time_pre_keys"]
    ids = _ids(answers)
    assert len(set(ids)) == len(ids)
    rest = _ids([await reader.bundle("bob") for _ in range(left)])
    assert sorted(ids + rest) == list(range(1, 61))


async def test_no_bundle_mixes_two_identities(host: RunningHost) -> None:
    """While the identity changes, every bundle is wholly one device's, and so is what is left."""
    devices = [Device() for _ in range(6)]
    bob = await join(host, "bob", **devices[0].upload(100))
    reader = await join(host, "reader")
    uploads = [one.upload(100, last_resort_kyber_pre_key=one.last_resort()) for one in devices]
    owners = {
        prekey["key"]: device.identity_key
        for device, upload in zip(devices, uploads, strict=True)
        for prekey in upload["one_time_pre_keys"]
    }
    by_key = {device.identity_key: device for device in devices}

    async def change() -> None:
        for upload in uploads[1:]:
            assert (await bob.ask("PUT", "/v1/keys", json=upload)).status == 200

    changing = asyncio.create_task(change())
    bundles: list[dict[str, Any]] = []
    while not changing.done():
        bundles += [one.json() for one in await _drain([reader], 15) if one.status == 200]
    await changing
    assert len({bundle["identity_key"] for bundle in bundles}) > 2
    for bundle in bundles:
        identity = bundle["identity_key"]
        assert by_key[identity].has_signed(bundle["signed_pre_key"])
        assert owners.get(bundle["one_time_pre_key"]["key"], identity) == identity


async def test_an_update_that_a_change_of_identity_overtook_is_refused(host: RunningHost) -> None:
    """What the old identity signed never stands beside the new one: 200 or 409, and a sound end."""
    old, new = Device(), Device()
    bob, reader = await join(host, "bob", **old.upload(50)), await join(host, "reader")
    updates = [
        bob.ask("PUT", "/v1/keys", json={"signed_pre_key": old.signed(number)})
        for number in range(2, 12)
    ]
    change = bob.ask("PUT", "/v1/keys", json=new.upload(50))
    answers = await asyncio.gather(*updates[:5], change, *updates[5:])
    assert answers[5].status == 200
    # 400: it was judged by the new identity already.
    assert {one.status for one in answers} <= {200, 400, 409}
    bundle = (await reader.bundle("bob")).json()
    assert bundle["identity_key"] == new.identity_key
    assert new.has_signed(bundle["signed_pre_key"])


async def test_what_was_judged_by_a_gone_identity_is_not_stored(host: RunningHost) -> None:
    """The last moment of that race: judged before the change, stored after it, so nothing is."""
    old, new = Device(), Device()
    bob = await join(host, "bob", **old.upload(5))
    assert (await bob.ask("PUT", "/v1/keys", json=new.upload(5))).status == 200
    before = await bob.count()
    late = parse({"signed_pre_key": old.signed(2), "kyber_pre_keys": old.kyber(2)})
    store = KeyStore(host.env, bob.grant["account_id"])
    assert not await store.update(late, old.identity_key)
    assert await bob.count() == before
