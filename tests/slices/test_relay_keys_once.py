"""Each one-time prekey is given out once in its life, and only while its owner has its secret."""

import asyncio
import base64
import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from d1_schema.embedded import open_database
from d1_schema.migrate import apply_migrations
from tests.support.accounts import later
from tests.support.prekeys import Device, Member, join
from tests.support.problems import assert_problem
from tests.support.relay import user
from tests.support.running_host import ROOT, RunningHost, lay_out, running_host
from worker.identity.sessions import SignIn, begin
from worker.relay.keys import store
from worker.relay.keys.store import TAKEN_PREKEY_SECONDS

KINDS = ("one_time_pre_keys", "kyber_pre_keys")


async def _store(member: Member, method: str = "PUT", **members: Any) -> dict[str, Any]:
    path = "/v1/keys" if method == "PUT" else "/v1/keys/one-time"
    answer = await member.ask(method, path, json=members)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


async def _drain(reader: Member, name: str) -> dict[str, list[dict[str, Any]]]:
    """Take bundles until no one-time prekey of either kind comes; return those that came."""
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    while True:
        bundle = (await reader.bundle(name, "?allow_no_otpk=1")).json()
        came = [bundle["one_time_pre_key"], bundle["kyber_pre_key"]]
        if not any(came):
            return found
        for kind, prekey in zip(KINDS, came, strict=True):
            found[kind] += [prekey] if prekey else []


def _renumbered(prekeys: list[dict[str, Any]], by: int) -> list[dict[str, Any]]:
    return [prekey | {"id": prekey["id"] + by} for prekey in prekeys]


async def test_a_taken_key_comes_back_under_no_id(host: RunningHost) -> None:
    """Same id, another id, by either door, alone or among new ones: of both kinds alike."""
    device = Device()
    keys, kyber = device.one_time(2), device.kyber(2)
    upload = device.upload(one_time_pre_keys=keys, kyber_pre_keys=kyber)
    bob, ada = await join(host, "bob", **upload), await join(host, "ada")
    assert await _drain(ada, "bob") == dict(zip(KINDS, (keys, kyber), strict=True))
    for by, method in ((0, "POST"), (900, "POST"), (901, "PUT"), (902, "PUT")):
        new = device.one_time(1)
        told = await _store(
            bob,
            method,
            one_time_pre_keys=_renumbered(keys, by) + new,
            kyber_pre_keys=_renumbered(kyber, by),
        )
        assert (told["one_time_pre_keys"], told["kyber_pre_keys"]) == (1, 0)
        assert await _drain(ada, "bob") == {KINDS[0]: new, KINDS[1]: []}


async def test_a_taken_key_stays_taken_under_a_new_identity(host: RunningHost) -> None:
    """What is known of a key outlives the identity it came with."""
    device = Device()
    keys = device.one_time(2)
    bob = await join(host, "bob", **device.upload(one_time_pre_keys=keys))
    ada = await join(host, "ada")
    await ada.bundle("bob")
    other = Device()
    told = await _store(bob, **other.upload(one_time_pre_keys=_renumbered(keys, 50)))
    assert told["one_time_pre_keys"] == 1
    assert (await _drain(ada, "bob"))[KINDS[0]] == _renumbered(keys[1:], 50)


async def test_a_key_that_waits_under_two_ids_waits_once(host: RunningHost) -> None:
    """The later id holds, for both kinds; two ids that change places keep both keys."""
    device = Device()
    keys, kyber = device.one_time(2, start=1), device.kyber(2)
    upload = device.upload(one_time_pre_keys=keys, kyber_pre_keys=kyber)
    bob, ada = await join(host, "bob", **upload), await join(host, "ada")
    swapped = [keys[0] | {"id": 2}, keys[1] | {"id": 1}]
    moved = _renumbered(kyber, 100)
    told = await _store(bob, "POST", one_time_pre_keys=swapped, kyber_pre_keys=moved)
    assert (told["one_time_pre_keys"], told["kyber_pre_keys"]) == (2, 2)
    assert await _drain(ada, "bob") == dict(zip(KINDS, (swapped, moved), strict=True))


@pytest.mark.parametrize("names_kyber", [True, False])
async def test_after_a_restore_nothing_old_is_given_out(
    host: RunningHost, names_kyber: bool
) -> None:
    """The same identity with all keys new: of either kind only new ones come, or none."""
    device = Device()
    upload = device.upload(
        50, kyber_pre_keys=device.kyber(50), last_resort_kyber_pre_key=device.last_resort(7)
    )
    bob, ada = await join(host, "bob", **upload), await join(host, "ada")
    await ada.bundle("bob")
    fresh = device.upload(20) | {"signed_pre_key": device.signed(2)}
    last = device.last_resort(8)
    if names_kyber:
        fresh |= {"kyber_pre_keys": device.kyber(20), "last_resort_kyber_pre_key": last}
    told = await _store(bob, **fresh)
    assert told["last_resort_kyber_pre_key_id"] == (8 if names_kyber else None)
    kyber = fresh.get("kyber_pre_keys", [])
    bundles = [(await ada.bundle("bob")).json() for _ in range(20)]
    assert [one["one_time_pre_key"] for one in bundles] == fresh["one_time_pre_keys"]
    assert [one["kyber_pre_key"] for one in bundles] == (kyber or [None] * 20)
    after = (await ada.bundle("bob", "?allow_no_otpk=1")).json()
    assert after["kyber_pre_key"] == (last if names_kyber else None)


async def test_an_old_device_adds_nothing_to_a_new_identity(host: RunningHost) -> None:
    """A top-up that names whose it is is refused after the identity changed; others are not."""
    old, new = Device(), Device()
    bob = await join(host, "bob", **old.upload(2))
    mine = {"identity_key": old.identity_key, "one_time_pre_keys": old.one_time(2)}
    assert (await _store(bob, "POST", **mine))["one_time_pre_keys"] == 4
    await _store(bob, **new.upload(2))
    refused = await bob.ask("POST", "/v1/keys/one-time", json=mine)
    assert_problem(refused, 409, "conflict")
    mine = {"identity_key": new.identity_key, "one_time_pre_keys": new.one_time(2, start=50)}
    assert (await _store(bob, "POST", **mine))["one_time_pre_keys"] == 4


async def test_a_put_replaces_the_lists_that_it_names(host: RunningHost) -> None:
    """Those that it repeats stay as they are, others go; the other kind is not touched."""
    device = Device()
    keys, kyber = device.one_time(4), device.kyber(3)
    upload = device.upload(one_time_pre_keys=keys, kyber_pre_keys=kyber)
    bob, ada = await join(host, "bob", **upload), await join(host, "ada")
    new = device.one_time(2)
    for _ in range(2):
        told = await _store(bob, one_time_pre_keys=[*keys[2:], *new])
        assert (told["one_time_pre_keys"], told["kyber_pre_keys"]) == (4, 3)
    told = await _store(bob, kyber_pre_keys=kyber[1:])
    assert (told["one_time_pre_keys"], told["kyber_pre_keys"]) == (4, 2)
    found = await _drain(ada, "bob")
    assert found == dict(zip(KINDS, ([*keys[2:], *new], kyber[1:]), strict=True))


async def test_an_empty_list_is_a_list_of_none(host: RunningHost) -> None:
    """In a PUT none is left, in a top-up none is added; null and nothing leave what there is."""
    device = Device()
    bob = await join(host, "bob", **device.upload(3, kyber_pre_keys=device.kyber(3)))
    for members, held in (
        ({}, (3, 3)),
        ({"one_time_pre_keys": None, "kyber_pre_keys": None}, (3, 3)),
        ({"one_time_pre_keys": []}, (0, 3)),
        ({"kyber_pre_keys": []}, (0, 0)),
    ):
        told = await _store(bob, **members)
        assert (told["one_time_pre_keys"], told["kyber_pre_keys"]) == held
    await _store(bob, "POST", one_time_pre_keys=device.one_time(2))
    told = await _store(bob, "POST", one_time_pre_keys=[], kyber_pre_keys=[])
    assert (told["one_time_pre_keys"], told["kyber_pre_keys"]) == (2, 0)
    nothing = await bob.ask("POST", "/v1/keys/one-time", json={})
    assert_problem(nothing, 400, "bad_request")


async def test_a_lasting_key_is_none_that_is_given_once(host: RunningHost) -> None:
    """Whichever came first: never both in one bundle store, and never after it was given."""
    device = Device()
    upload = device.upload(2, kyber_pre_keys=device.kyber(2))
    bob, ada = await join(host, "bob", **upload), await join(host, "ada")
    given = (await ada.bundle("bob")).json()["kyber_pre_key"]
    refused = await bob.ask("PUT", "/v1/keys", json={"last_resort_kyber_pre_key": given})
    assert_problem(refused, 409, "conflict")
    told = await _store(bob, last_resort_kyber_pre_key=upload["kyber_pre_keys"][1])
    assert told["kyber_pre_keys"] == 0
    for method in ("POST", "PUT"):
        told = await _store(
            bob,
            method,
            kyber_pre_keys=_renumbered(upload["kyber_pre_keys"], 70),
            one_time_pre_keys=[{"id": 70, "key": upload["signed_pre_key"]["key"]}],
        )
        assert told["kyber_pre_keys"] == 0
    assert told["one_time_pre_keys"] == 0


async def test_a_key_in_another_form_is_no_other_key(host: RunningHost) -> None:
    """A key that was cut, or came without its type, is refused and not read as another."""
    device = Device()
    bob = await join(host, "bob", **device.upload(1))
    raw = base64.b64decode(device.one_time(1)[0]["key"])
    for cut in (raw[:-1], raw[1:], raw + b"\0", raw[1:] + b"\0"):
        key = {"id": 80, "key": base64.b64encode(cut).decode()}
        for door in (("POST", "/v1/keys/one-time"), ("PUT", "/v1/keys")):
            refused = await bob.ask(*door, json={"one_time_pre_keys": [key]})
            assert_problem(refused, 400, "bad_request", members=["errors"])
    assert (await bob.count())["one_time_pre_keys"] == 1


async def test_an_owner_who_looks_at_his_own_bundle_takes_nothing(host: RunningHost) -> None:
    """By either name of the door, by name or id; he sees what lasts."""
    device = Device()
    last = device.last_resort(9)
    upload = device.upload(2, kyber_pre_keys=device.kyber(2), last_resort_kyber_pre_key=last)
    bob = await join(host, "bob", **upload)
    before = await bob.count()
    for path in ("/v1/keys/bob", "/keys/BOB?allow_no_otpk=1", f"/keys/{bob.grant['account_id']}"):
        bundle = (await bob.ask("GET", path)).json()
        assert bundle["signed_pre_key"] == upload["signed_pre_key"]
        assert (bundle["one_time_pre_key"], bundle["kyber_pre_key"]) == (None, last)
    assert await bob.count() == before
    await bob.ask("DELETE", "/v1/keys/one-time")
    assert (await bob.bundle("bob")).status == 200


async def test_an_owner_compares_and_clears_what_is_held(host: RunningHost) -> None:
    """The digests are as docs/relay.md has them; clearing leaves lasting keys and marks."""
    device = Device()
    keys, kyber = device.one_time(3), device.kyber(2)
    last = device.last_resort(9)
    upload = device.upload(
        one_time_pre_keys=keys, kyber_pre_keys=kyber, last_resort_kyber_pre_key=last
    )
    bob, ada = await join(host, "bob", **upload), await join(host, "ada")
    await ada.bundle("bob")

    def told_of(prekeys: list[dict[str, Any]]) -> dict[str, Any]:
        text = "".join(f"{one['id']} {one['key']}\n" for one in prekeys)
        ids = [one["id"] for one in prekeys]
        return {"ids": ids, "sha256": hashlib.sha256(text.encode()).hexdigest()}

    lasting = (
        f"identity_key {upload['identity_key']}\nregistration_id 4711\n"
        f"signed_pre_key 1 {upload['signed_pre_key']['key']}\n"
        f"last_resort_kyber_pre_key 9 {last['key']}\n"
    )
    digests = {
        "lasting_keys": hashlib.sha256(lasting.encode()).hexdigest(),
        "one_time_pre_keys": told_of(keys[1:]),
        "kyber_pre_keys": told_of(kyber[1:]),
    }
    assert (await bob.ask("GET", "/v1/keys/digest")).json() == digests
    for _ in range(2):
        told = (await bob.ask("DELETE", "/v1/keys/one-time")).json()
        assert (told["one_time_pre_keys"], told["kyber_pre_keys"]) == (0, 0)
        assert told["last_resort_kyber_pre_key_id"] == 9
    empty = dict.fromkeys(KINDS, told_of([]))
    assert (await bob.ask("GET", "/v1/keys/digest")).json() == digests | empty
    assert_problem(await ada.bundle("bob"), 412, "prekeys_exhausted")
    told = await _store(bob, "POST", one_time_pre_keys=keys, kyber_pre_keys=kyber)
    assert (told["one_time_pre_keys"], told["kyber_pre_keys"]) == (2, 1)
    nobody = await user(host, "nobody_yet")
    headers = {"Authorization": f"Bearer {nobody.token}"}
    found = await host.ask("GET", "/v1/keys/digest", headers=headers)
    assert found.json() == {"lasting_keys": None, **empty}


async def test_marks_are_bounded_in_number_and_in_time(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest of a kind stay, for thirty days."""
    monkeypatch.setattr(store, "TAKEN_PREKEYS", 5)
    bob, ada = await join(host, "bob", one_time=1), await join(host, "ada")
    for _ in range(9):
        later(host, 1)
        await ada.bundle("bob")
        await _store(bob, "POST", one_time_pre_keys=bob.device.one_time(1))
    marks = "SELECT count(*) AS n FROM one_time_prekeys WHERE account_id = ? AND taken_at > 0"
    count = host.env.db.prepare(marks).bind(bob.grant["account_id"])
    assert await count.first("n") == 5
    later(host, TAKEN_PREKEY_SECONDS + 1)
    await store.purge_taken(host.env)
    assert await count.first("n") == 0


async def test_two_restores_at_once_leave_one_of_them_whole(host: RunningHost) -> None:
    """Ten PUTs and fetches at once: what is held is one upload's, less what was taken of it."""
    bob, ada = await join(host, "bob", one_time=50), await join(host, "ada")
    device = bob.device
    uploads = [device.upload(20, kyber_pre_keys=device.kyber(20)) for _ in range(10)]
    answers, bundles = await asyncio.gather(
        asyncio.gather(*(bob.ask("PUT", "/v1/keys", json=upload) for upload in uploads)),
        asyncio.gather(*(ada.bundle("bob") for _ in range(100))),
    )
    assert {one.status for one in answers} == {200}
    found = [one.json() for one in bundles if one.status == 200]
    rest = await _drain(ada, "bob")
    signed = (await bob.bundle("bob")).json()["signed_pre_key"]
    [won] = [upload for upload in uploads if upload["signed_pre_key"] == signed]
    given = [one["one_time_pre_key"]["key"] for one in found]
    given += [one["key"] for one in rest[KINDS[0]]]
    assert len(set(given)) == len(given)
    assert {one["key"] for one in won[KINDS[0]]} <= set(given)
    assert all(one in won[KINDS[0]] for one in rest[KINDS[0]])
    assert all(one in won[KINDS[1]] for one in rest[KINDS[1]])


async def test_a_state_of_the_first_version_opens_whole(tmp_path: Path) -> None:
    """Keys that wait still wait, marks of taken ones hold, a key under two ids is given once."""
    folder, state = tmp_path / "migrations", tmp_path / "state"
    folder.mkdir()
    for file in (ROOT / "d1_schema" / "migrations").glob("000*.sql"):
        shutil.copy(file, folder)
    await lay_out(state)
    shutil.rmtree(state / "d1")
    (state / "d1").mkdir()
    device = Device()
    taken, twice, waits = device.one_time(3)
    signed, kyber = device.signed(), device.kyber(1)[0]
    old = await open_database(state / "d1" / "edgekeep.sqlite")
    await apply_migrations(old, folder)
    bob = "0199a0a0-0000-7000-8000-000000000001"
    rows = [
        (1, "ec", taken["id"], taken["key"][-32:], None, 1),
        (2, "ec", twice["id"], twice["key"], None, None),
        (3, "ec", 77, twice["key"], None, None),
        (4, "ec", waits["id"], waits["key"], None, None),
        (5, "kyber", kyber["id"], kyber["key"], kyber["signature"], None),
    ]
    add = old.prepare("INSERT INTO one_time_prekeys VALUES (?, ?, ?, ?, ?, ?, ?)")
    keys = (device.identity_key, 4711, signed["id"], signed["key"], signed["signature"])
    await old.batch(
        [
            old.prepare(
                "INSERT INTO accounts (id, role, created_at, last_active_at) "
                "VALUES (?, 'owner', 1, 1)"
            ).bind(bob),
            old.prepare(
                "INSERT INTO relay_identities VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, NULL, 1, NULL)"
            ).bind(bob, *keys),
            *(add.bind(seq, bob, *row) for seq, *row in rows),
        ]
    )
    await old.close()
    async with running_host(state) as host:
        later(host, 0)
        grant = await begin(host.env, SignIn(bob, "password"), "relay")
        owner = Member(host, "", {"token": grant.token}, device)
        ada = await join(host, "ada")
        assert (await owner.count())["one_time_pre_keys"] == 2
        again = _renumbered([taken], 500)
        assert (await _store(owner, "POST", one_time_pre_keys=again))["one_time_pre_keys"] == 2
        found = await _drain(ada, bob)
    assert found == {KINDS[0]: [twice | {"id": 77}, waits], KINDS[1]: [kyber]}
