"""Registration with keys: account and keys in one call, both or neither (seed US1; facts X36)."""

import asyncio
from typing import Any

import pytest

from tests.support.accounts import sign_up
from tests.support.prekeys import Device, join, register
from tests.support.problems import assert_problem
from tests.support.running_host import RunningHost
from worker.relay.keys.doors import KEYS_BYTES


async def test_one_call_makes_the_account_and_stores_the_keys(host: RunningHost) -> None:
    """US1-1 and US1-2: 200 with a token; another person is given what was uploaded."""
    device = Device()
    upload = device.upload(2)
    made = await register(host, "Bob", **upload)

    assert made.status == 200, made.body
    assert made.json()["username"] == "bob"
    ada = await join(host, "ada")
    bundle = (await ada.bundle("bob")).json()
    assert bundle == {
        "account_id": made.json()["account_id"],
        "registration_id": 4711,
        "identity_key": upload["identity_key"],
        "signed_pre_key": upload["signed_pre_key"],
        "one_time_pre_key": upload["one_time_pre_keys"][0],
        "kyber_pre_key": None,
    }


async def test_a_whole_batch_with_kyber_prekeys_is_taken(host: RunningHost) -> None:
    """A hundred prekeys of both kinds and one of last resort fit into one registration."""
    device = Device()
    upload = device.upload(
        100, kyber_pre_keys=device.kyber(100), last_resort_kyber_pre_key=device.last_resort(9)
    )
    assert (await register(host, "bob", **upload)).status == 200
    ada = await join(host, "ada")
    bundle = (await ada.bundle("bob")).json()
    assert bundle["kyber_pre_key"] == upload["kyber_pre_keys"][0]


@pytest.mark.parametrize(
    "missing", ["identity_key", "registration_id", "signed_pre_key", "one_time_pre_keys"]
)
async def test_missing_keys_are_named_and_nothing_is_made(host: RunningHost, missing: str) -> None:
    """US1-3: 400, and the name is still free."""
    upload = Device().upload()
    for hole in ({}, {missing: None}, {missing: []}):
        body = {name: value for name, value in upload.items() if name != missing} | hole
        answer = await register(host, "bob", **body)
        document = assert_problem(answer, 400, "bad_request", members=["errors"])
        assert {error["field"] for error in document["errors"]} == {missing}
    assert (await register(host, "bob", **upload)).status == 200


async def test_a_signature_by_somebody_else_is_refused_and_nothing_is_made(
    host: RunningHost,
) -> None:
    """Every signed prekey is checked, each is named, and the name is still free."""
    device, other = Device(), Device()
    good = device.upload(
        kyber_pre_keys=device.kyber(3), last_resort_kyber_pre_key=device.last_resort()
    )
    bad: dict[str, Any] = {
        **good,
        "signed_pre_key": other.signed(),
        "last_resort_kyber_pre_key": other.last_resort(),
        "kyber_pre_keys": [*device.kyber(1), *other.kyber(1)],
    }
    document = assert_problem(
        await register(host, "bob", **bad), 400, "bad_request", members=["errors"]
    )
    assert [error["field"] for error in document["errors"]] == [
        "signed_pre_key.signature",
        "last_resort_kyber_pre_key.signature",
        "kyber_pre_keys[1].signature",
    ]
    assert (await register(host, "bob", **good)).status == 200


async def test_of_twenty_registrations_of_one_name_one_wins_with_its_own_keys(
    host: RunningHost,
) -> None:
    """One 200, nineteen 409, whichever way it was spelt; the keys are the winner's."""
    devices = [Device() for _ in range(20)]
    names = ["carol", "CAROL", "Carol", "ｃａｒｏｌ"] * 5
    answers = await asyncio.gather(
        *(
            register(host, name, **device.upload())
            for name, device in zip(names, devices, strict=True)
        )
    )
    won = [device for device, one in zip(devices, answers, strict=True) if one.status == 200]
    assert len(won) == 1
    for answer in answers:
        if answer.status != 200:
            assert_problem(answer, 409, "username_taken")
    ada = await join(host, "ada")
    bundle = (await ada.bundle("carol")).json()
    assert bundle["identity_key"] == won[0].identity_key
    assert won[0].has_signed(bundle["signed_pre_key"])


@pytest.mark.parametrize("spelling", ["BOB", "Bob", "ｂｏｂ", "B%4Fb", "%EF%BD%82ob"])
async def test_somebody_is_found_by_every_spelling(host: RunningHost, spelling: str) -> None:
    """Case and compatibility forms of Unicode are one name, also in a path."""
    await join(host, "bob")
    ada = await join(host, "ada")
    for path in ("/keys/", "/v1/keys/"):
        assert (await ada.ask("GET", path + spelling)).status == 200


@pytest.mark.parametrize(
    "name", ["nobody", "b", "bоb", "bob%00", "b%20ob", "%F0%9F%98%80%F0", "x" * 300]
)
async def test_nobody_is_found_by_what_is_no_name(host: RunningHost, name: str) -> None:
    """404 in the same words for unknown and impossible names (one has a Cyrillic o)."""
    ada = await join(host, "ada")
    assert_problem(await ada.bundle(name), 404, "not_found")


async def test_whoever_signed_up_elsewhere_adds_keys_later(host: RunningHost) -> None:
    """An account of /v1/users has no keys until it stores some, all that are needed at once."""
    bob = await sign_up(host, "bob", audience="relay")
    ada = await join(host, "ada")
    assert_problem(await ada.bundle("bob"), 404, "not_found")
    device = Device()
    part = await bob.ask("PUT", "/v1/keys", json={"one_time_pre_keys": device.one_time(1)})
    assert_problem(part, 400, "bad_request", members=["errors"])
    early = await bob.ask(
        "POST", "/v1/keys/one-time", json={"one_time_pre_keys": device.one_time(1)}
    )
    assert_problem(early, 404, "not_found")
    stored = await bob.ask("POST", "/keys", json=device.upload(1))
    assert stored.status == 200, stored.body
    assert (await ada.bundle("bob")).json()["identity_key"] == device.identity_key


async def test_bodies_that_are_too_large_or_no_object_are_refused(host: RunningHost) -> None:
    """413 beyond the limit for keys, 400 for what is no JSON object; a token of the API: 401."""
    big = b'{"username": "' + b"x" * KEYS_BYTES + b'"}'
    assert_problem(await host.ask("POST", "/auth/register", data=big), 413, "payload_too_large")
    ada = await join(host, "ada")
    for body in (b"[]", b"nonsense", b"", b'"x"', b"\xff"):
        assert_problem(await host.ask("POST", "/auth/register", data=body), 400, "bad_request")
        for door in (("PUT", "/v1/keys"), ("POST", "/keys"), ("POST", "/v1/keys/one-time")):
            assert_problem(await ada.ask(*door, data=body), 400, "bad_request")
    api = await sign_up(host, "bob")
    for method, path in (("PUT", "/v1/keys"), ("GET", "/keys/ada"), ("GET", "/v1/keys/count")):
        assert_problem(await api.ask(method, path), 401, "unauthorized")
        assert_problem(await host.ask(method, path), 401, "unauthorized")


async def test_a_password_that_will_not_do_stores_no_keys(host: RunningHost) -> None:
    """What accounts refuse is refused here in the same words, and leaves nothing behind."""
    upload = Device().upload()
    refused = await register(host, "bob", **upload, password="short")  # type: ignore[misc]
    assert_problem(refused, 422, "unprocessable", members=["errors"])
    left = await host.env.db.prepare("SELECT count(*) AS n FROM relay_identities").first("n")
    assert left == 0
