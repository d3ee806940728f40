"""The key store: stored, given out once, topped up, counted, replaced, limited, forgotten."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import later
from tests.support.held import held
from tests.support.prekeys import Device, Member, join
from tests.support.problems import assert_problem
from tests.support.relay import Peer, user
from tests.support.running_host import RunningHost, running_host
from worker.registry import DATA_HOLDERS
from worker.relay import relay_pb2 as pb
from worker.relay.keys.model import parse
from worker.relay.keys.store import TAKEN_PREKEY_SECONDS, KeyStore

HOURLY = "41 * * * *"


async def _put(member: Member, **members: Any) -> dict[str, Any]:
    answer = await member.ask("PUT", "/v1/keys", json=members)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


async def _top_up(member: Member, **members: Any) -> dict[str, Any]:
    answer = await member.ask("POST", "/v1/keys/one-time", json=members)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


async def _taken(reader: Member, name: str, count: int) -> list[int]:
    """Return the ids of the next one-time prekeys."""
    answers = [await reader.bundle(name) for _ in range(count)]
    return [answer.json()["one_time_pre_key"]["id"] for answer in answers]


async def _peer(member: Member) -> Peer:
    url = f"{member.host.url}/ws?token={member.grant['token']}"
    return Peer(await member.host.session.ws_connect(url))


async def test_each_fetch_takes_one_key_and_the_last_is_followed_by_412(host: RunningHost) -> None:
    """US1-2, US1-4, FR-003: oldest first, never twice; a refused fetch takes nothing."""
    bob, ada = await join(host, "bob", one_time=3), await join(host, "ada")
    assert await _taken(ada, "bob", 3) == [1, 2, 3]
    for path in ("/v1/keys/bob", "/keys/bob", "/keys/BOB?allow_no_otpk=0"):
        assert_problem(await ada.ask("GET", path), 412, "prekeys_exhausted")
    assert (await bob.count())["one_time_pre_keys"] == 0
    await _top_up(bob, one_time_pre_keys=bob.device.one_time(1))
    assert await _taken(ada, "bob", 1) == [4]


async def test_a_bundle_without_a_one_time_key_is_only_for_who_asks(host: RunningHost) -> None:
    """facts X37: `allow_no_otpk=1` takes one as long as there is one, and does without then."""
    device = Device()
    await join(host, "bob", **device.upload(1, last_resort_kyber_pre_key=device.last_resort(7)))
    ada = await join(host, "ada")
    first = (await ada.bundle("bob", "?allow_no_otpk=1")).json()
    assert first["one_time_pre_key"]["id"] == 1
    second = (await ada.bundle("bob", "?allow_no_otpk=1")).json()
    assert second["one_time_pre_key"] is None
    assert second["kyber_pre_key"]["id"] == 7
    assert second["signed_pre_key"] == first["signed_pre_key"]


async def test_kyber_keys_are_used_up_before_the_one_of_last_resort(host: RunningHost) -> None:
    """PQXDH: one-time ones once each, then the last resort again and again; 412 spares them."""
    device = Device()
    kyber, last = device.kyber(2), device.last_resort(99)
    upload = device.upload(3, kyber_pre_keys=kyber, last_resort_kyber_pre_key=last)
    bob, ada = await join(host, "bob", **upload), await join(host, "ada")
    found = [(await ada.bundle("bob")).json()["kyber_pre_key"] for _ in range(3)]
    assert found == [*kyber, last]
    await _top_up(bob, kyber_pre_keys=device.kyber(1))
    assert_problem(await ada.bundle("bob"), 412, "prekeys_exhausted")
    assert (await bob.count())["kyber_pre_keys"] == 1


async def test_a_refusal_in_the_moment_of_a_success_takes_no_kyber_key(host: RunningHost) -> None:
    """What somebody else took in the same millisecond is not taken for one's own."""
    device = Device()
    bob = await join(host, "bob", **device.upload(1, kyber_pre_keys=device.kyber(3)))
    ada = await join(host, "ada")
    host.clock.stand()
    assert [(await ada.bundle("bob")).status for _ in range(3)] == [200, 412, 412]
    assert (await bob.count())["kyber_pre_keys"] == 2


async def test_head_says_whether_there_are_keys_and_takes_none(host: RunningHost) -> None:
    """A look is not a fetch."""
    bob, ada = await join(host, "bob", one_time=1), await join(host, "ada")
    assert (await ada.ask("HEAD", "/v1/keys/bob")).status == 200
    assert (await ada.ask("HEAD", "/v1/keys/nobody")).status == 404
    assert (await bob.count())["one_time_pre_keys"] == 1


@pytest.mark.parametrize("name", ["count", "digest"])
async def test_whose_name_became_a_door_is_found_by_id_and_day_one_name(
    host: RunningHost, name: str
) -> None:
    """Nobody gets such a name any more; it hides nobody who has it from an older version."""
    older, device = await user(host, name), Device()
    member = Member(host, name, {"token": older.token, "account_id": older.id}, device)
    await _put(member, **device.upload())
    ada = await join(host, "ada")
    for path in (f"/keys/{name}", f"/v1/keys/{older.id}"):
        answer = await ada.ask("GET", path)
        assert answer.json()["identity_key"] == device.identity_key


async def test_an_update_changes_what_it_names_and_nothing_else(host: RunningHost) -> None:
    """FR-002: a new signed prekey, registration id or last resort leaves the others."""
    bob, ada = await join(host, "bob", one_time=5), await join(host, "ada")
    signed, last = bob.device.signed(2), bob.device.last_resort(3)
    await _put(bob, signed_pre_key=signed)
    told = await _put(bob, registration_id=5, last_resort_kyber_pre_key=last)
    assert told == {
        "one_time_pre_keys": 5,
        "kyber_pre_keys": 0,
        "signed_pre_key_id": 2,
        "last_resort_kyber_pre_key_id": 3,
        "low": True,
        "held_at_most": 100,
    }
    bundle = (await ada.bundle("bob")).json()
    assert (bundle["signed_pre_key"], bundle["registration_id"]) == (signed, 5)
    assert (bundle["kyber_pre_key"], bundle["one_time_pre_key"]["id"]) == (last, 1)
    assert await _put(bob, identity_key=bob.device.identity_key) == told | {"one_time_pre_keys": 4}


async def test_what_somebody_else_signed_is_refused_and_changes_nothing(host: RunningHost) -> None:
    """In updates and top-ups as in registrations."""
    bob, ada, other = await join(host, "bob"), await join(host, "ada"), Device()
    before = await bob.count()
    for method, path, members in (
        ("PUT", "/v1/keys", {"signed_pre_key": other.signed(2)}),
        ("PUT", "/v1/keys", {"identity_key": other.identity_key}),
        ("PUT", "/v1/keys", bob.device.upload() | {"identity_key": other.identity_key}),
        ("POST", "/keys", {"last_resort_kyber_pre_key": other.last_resort()}),
        ("POST", "/v1/keys/one-time", {"kyber_pre_keys": other.kyber(1)}),
    ):
        refused = await bob.ask(method, path, json=members)
        assert_problem(refused, 400, "bad_request", members=["errors"])
    assert await bob.count() == before
    assert (await ada.bundle("bob")).json()["identity_key"] == bob.device.identity_key


async def test_a_hundred_are_held_and_the_oldest_make_room(tmp_path: Path) -> None:
    """More than a hundred a call: 400; more than PREKEYS_HELD together: the newest stay."""
    async with running_host(tmp_path / "state", PREKEYS_HELD="110") as host:
        bob, ada = await join(host, "bob", one_time=100), await join(host, "ada")
        many = bob.device.one_time(101)
        refused = await bob.ask("POST", "/v1/keys/one-time", json={"one_time_pre_keys": many})
        assert_problem(refused, 400, "bad_request", members=["errors"])
        told = await _top_up(bob, one_time_pre_keys=many[:100])
        assert (told["one_time_pre_keys"], told["low"], told["held_at_most"]) == (110, False, 110)
        assert await _taken(ada, "bob", 1) == [91]


async def test_a_key_that_was_given_out_never_comes_back(host: RunningHost) -> None:
    """The same upload again brings back none; the same id with another key is another key."""
    device = Device()
    keys, kyber = device.one_time(3), device.kyber(2)
    upload = device.upload(one_time_pre_keys=keys, kyber_pre_keys=kyber)
    bob, ada = await join(host, "bob", **upload), await join(host, "ada")
    given = [(await ada.bundle("bob")).json() for _ in range(2)]
    assert [one["one_time_pre_key"] for one in given] == keys[:2]
    for _ in range(2):
        told = await _top_up(bob, one_time_pre_keys=keys, kyber_pre_keys=kyber)
        assert (told["one_time_pre_keys"], told["kyber_pre_keys"]) == (1, 0)
    assert (await _put(bob, **upload))["one_time_pre_keys"] == 1
    again = device.one_time(1, start=keys[0]["id"])
    assert (await _top_up(bob, one_time_pre_keys=again))["one_time_pre_keys"] == 2
    found = [(await ada.bundle("bob")).json()["one_time_pre_key"] for _ in range(2)]
    assert sorted(found, key=json.dumps) == sorted([keys[2], *again], key=json.dumps)


async def test_of_a_key_that_was_given_out_only_its_end_is_kept_and_not_for_ever(
    host: RunningHost,
) -> None:
    """The hourly job forgets it after its time, and leaves what is still to be given."""
    device = Device()
    upload = device.upload(2, kyber_pre_keys=device.kyber(2))
    await join(host, "bob", **upload)
    ada = await join(host, "ada")
    await ada.bundle("bob")
    sql = "SELECT length(public_key) AS size, signature FROM one_time_prekeys WHERE taken_at > 0"
    marks = (await host.env.db.prepare(sql).all()).results
    assert marks == [{"size": 32, "signature": None}] * 2
    later(host, TAKEN_PREKEY_SECONDS - 60)
    await _run_hourly(host)
    assert len((await host.env.db.prepare(sql).all()).results) == 2
    later(host, 120)
    await _run_hourly(host)
    assert (await host.env.db.prepare(sql).all()).results == []
    bob = DATA_HOLDERS["relay_keys"]
    account_id = (
        await host.env.db.prepare("SELECT account_id FROM relay_identities").all()
    ).results
    kept = [await held(host.env, bob, row["account_id"]) for row in account_id]
    assert sorted(len(one["one_time_pre_keys"]) for one in kept) == [2, 3]


async def _run_hourly(host: RunningHost) -> None:
    from worker.registry import SCHEDULES

    await SCHEDULES[HOURLY](host.env)


async def test_a_new_identity_drops_all_that_the_old_one_could_read(host: RunningHost) -> None:
    """Older prekeys and waiting messages go; who wrote them is told; other sockets end."""
    bob, ada = await join(host, "bob", one_time=9), await join(host, "ada")
    writer, reader = await _peer(ada), await _peer(bob)
    await writer.send("bob", b"for the old phone")
    bob.device = Device()
    told = await _put(bob, **bob.device.upload(2))
    assert told["one_time_pre_keys"] == 2
    await writer.subscribe_blindly()
    events = [await writer.hear() for _ in range(2)]
    [changed] = [one.identity_changed for one in events if one.HasField("identity_changed")]
    assert (changed.user, changed.username) == (bob.grant["account_id"], "bob")
    assert (await reader.ask(list=pb.List())).listing.total == 0
    bundle = (await ada.bundle("bob")).json()
    assert bundle["identity_key"] == bob.device.identity_key
    assert bob.device.has_signed(bundle["signed_pre_key"])
    pending = "SELECT count(*) AS n FROM relay_identities WHERE changed_at IS NOT NULL"
    assert await host.env.db.prepare(pending).first("n") == 0


async def test_a_new_identity_is_announced_though_the_host_died_before(host: RunningHost) -> None:
    """The change is stored first; whatever cut off the rest, the hourly job or a repeat ends it."""
    bob, ada = await join(host, "bob"), await join(host, "ada", one_time=20)
    writer = await _peer(ada)
    for finish in ("job", "repeat"):
        await writer.send("bob", b"for the old phone")
        bob.device = Device()
        upload = bob.device.upload()
        later(host, 60)
        # What put_keys does, up to the moment at which a host might die.
        await KeyStore(host.env, bob.grant["account_id"]).replace(parse(upload))
        if finish == "job":
            await _run_hourly(host)
            later(host, 601)
            await writer.send("bob", b"for the new phone")
            await _run_hourly(host)
        else:
            await _put(bob, **upload)
        reader = await _peer(bob)
        found, _ = await reader.fetch()
        assert [one.ciphertext for one in found] == ([b"for the new phone"] * (finish == "job"))
        await reader.close()


class _NoInboxes:
    """Inboxes that cannot be reached."""

    def get_by_name(self, name: str) -> Any:
        raise RuntimeError("no inbox")


async def test_a_change_that_the_inbox_does_not_hear_of_is_asked_for_again(
    host: RunningHost,
) -> None:
    """503 with the keys stored; the hourly job goes on; the same upload again ends it."""
    bob, ada = await join(host, "bob", one_time=30), await join(host, "ada", one_time=20)
    await (await _peer(ada)).send("bob", b"for the old phone")
    inboxes, host.env.inbox = host.env.inbox, _NoInboxes()  # type: ignore[assignment]
    bob.device = Device()
    upload = bob.device.upload()
    assert_problem(await bob.ask("PUT", "/v1/keys", json=upload), 503, "storage_unavailable")
    later(host, 601)
    await _run_hourly(host)
    assert (await ada.bundle("bob")).json()["identity_key"] == bob.device.identity_key
    host.env.inbox = inboxes
    assert (await _put(bob, **upload))["one_time_pre_keys"] == 2
    found, _ = await (await _peer(bob)).fetch()
    assert found == []


async def test_the_owner_is_told_when_few_are_left(host: RunningHost) -> None:
    """Below twenty the owner's sockets get a hint, at once on connecting, and after fetches."""
    bob, ada = await join(host, "bob", one_time=20), await join(host, "ada")
    peer = await _peer(bob)
    await ada.bundle("bob")
    await ada.bundle("bob")
    assert (await peer.hear()).keys_low.left == 18
    await peer.close()
    await ada.bundle("bob")  # a hint that nobody hears holds none back
    other = await _peer(bob)
    assert (await other.hear()).keys_low.left == 17
    await _top_up(bob, one_time_pre_keys=bob.device.one_time(20))
    assert await (await _peer(bob)).is_silent(0.8)


async def test_keys_are_exported_and_erased(host: RunningHost) -> None:
    """DATA_HOLDERS: everything of one's own, nothing of others'; erased for good, repeatable."""
    device = Device()
    bob = await join(
        host, "bob", **device.upload(2, last_resort_kyber_pre_key=device.last_resort())
    )
    ada = await join(host, "ada")
    await ada.bundle("bob")
    holder, me = DATA_HOLDERS["relay_keys"], bob.grant["account_id"]
    everything = await held(host.env, holder, me)
    [told] = everything["keys"]
    assert told["identity_key"] == device.identity_key
    assert told["last_resort_kyber_pre_key"]["id"] == 1
    ids = [(one["id"], one["given_out_at"] is None) for one in everything["one_time_pre_keys"]]
    assert ids == [(1, False), (2, True)]
    json.dumps(everything)
    for _ in range(2):
        await holder.erase(host.env, me)
        assert await held(host.env, holder, me) == {}
    assert_problem(await ada.bundle("bob"), 404, "not_found")
    assert (await ada.count())["one_time_pre_keys"] == 3
    left = await host.env.db.prepare("SELECT DISTINCT account_id FROM one_time_prekeys").all()
    assert [row["account_id"] for row in left.results] == [ada.grant["account_id"]]


async def test_keys_go_with_their_account(host: RunningHost) -> None:
    """The database itself sees to it."""
    bob = await join(host, "bob")
    await (
        host.env.db.prepare("DELETE FROM accounts WHERE id = ?").bind(bob.grant["account_id"]).run()
    )
    for table in ("relay_identities", "one_time_prekeys"):
        assert await host.env.db.prepare(f"SELECT count(*) AS n FROM {table}").first("n") == 0


async def test_no_key_reaches_the_log(host: RunningHost) -> None:
    """Neither keys nor names, whether good or refused."""
    bob, ada = await join(host, "bobby_tables"), await join(host, "ada")
    upload = bob.device.upload()
    await _put(bob, **upload)
    await ada.bundle("bobby_tables")
    await bob.ask("PUT", "/v1/keys", json=upload | {"signed_pre_key": Device().signed()})
    host.env.log.flush()
    log = "".join(host.log)
    keys = [upload["identity_key"], *(one["key"] for one in upload["one_time_pre_keys"])]
    assert not [one for one in (*keys, "bobby_tables") if one in log]
    assert '"route":"/v1/keys/{username}"' in log
