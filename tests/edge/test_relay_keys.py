"""
The key store in real workerd: signatures by WebCrypto, one-time prekeys by D1.

A few requests only, because each registration hashes a password there: an owner, and somebody who
fetches.
"""

import asyncio

from tests.edge.edge_host import EdgeHost
from tests.support.accounts import PASSWORD, Person, post, sign_up
from tests.support.prekeys import Device
from tests.support.problems import assert_problem


async def test_keys_are_registered_checked_and_given_out_once(host: EdgeHost) -> None:
    """Registration, a bent signature, parallel fetches, exhaustion, what is given only once."""
    device, other = Device(), Device()
    upload = device.upload(
        3, kyber_pre_keys=device.kyber(1), last_resort_kyber_pre_key=device.last_resort(9)
    )
    entry = {"username": "edge_bob", "password": PASSWORD}
    bent = upload | {"signed_pre_key": other.signed()}
    refused = await post(host, "/auth/register", **entry, **bent)
    assert_problem(refused, 400, "bad_request", members=["errors"])
    assert refused.json()["errors"][0]["field"] == "signed_pre_key.signature"
    made = await post(host, "/auth/register", **entry, **upload)
    assert made.status == 200, made.body

    bob, ada = Person(host, made.json()), await sign_up(host, "edge_ada", audience="relay")
    own = (await bob.get("/v1/keys/edge_bob")).json()
    assert (own["one_time_pre_key"], own["kyber_pre_key"]["id"]) == (None, 9)
    answers = await asyncio.gather(*(ada.get("/v1/keys/edge_bob") for _ in range(5)))
    assert sorted(one.status for one in answers) == [200] * 3 + [412] * 2
    bundles = [one.json() for one in answers if one.status == 200]
    given = sorted((one["one_time_pre_key"] for one in bundles), key=lambda one: int(one["id"]))
    assert given == upload["one_time_pre_keys"]
    last = upload["last_resort_kyber_pre_key"]
    kyber = [one["kyber_pre_key"] for one in bundles]
    assert (kyber.count(upload["kyber_pre_keys"][0]), kyber.count(last)) == (1, 2)
    assert {one["identity_key"] for one in bundles} == {device.identity_key}

    for signed, status in ((other.signed(2), 400), (device.signed(2), 200)):
        answer = await bob.ask("PUT", "/v1/keys", json={"signed_pre_key": signed})
        assert answer.status == status, answer.body
    told = (await bob.get("/v1/keys/count")).json()
    assert (told["one_time_pre_keys"], told["signed_pre_key_id"]) == (0, 2)

    # What was given out comes back under no id; a list in a PUT is all there is.
    again = [one | {"id": one["id"] + 500} for one in upload["one_time_pre_keys"]]
    for keys, held in ((again, 0), (device.one_time(2, start=600), 2), (again, 0)):
        answer = await bob.ask("PUT", "/v1/keys", json={"one_time_pre_keys": keys})
        assert (answer.status, answer.json()["one_time_pre_keys"]) == (200, held), answer.body
    more = {"one_time_pre_keys": device.one_time(2, start=700)}
    assert (await bob.ask("POST", "/v1/keys/one-time", json=more)).status == 200
    digest = (await bob.get("/v1/keys/digest")).json()
    assert digest["one_time_pre_keys"]["ids"] == [700, 701]
    cleared = await bob.ask("DELETE", "/v1/keys/one-time")
    assert (cleared.status, cleared.json()["one_time_pre_keys"]) == (200, 0)
