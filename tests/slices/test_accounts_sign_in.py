"""Sign-in: the right password and nothing else, in the same words and after the same work."""

import asyncio
from pathlib import Path

import pytest

from tests.core.test_rate_limits import freeze
from tests.support.accounts import (
    OTHER_PASSWORD,
    PASSWORD,
    later,
    post,
    sign_in,
    sign_up,
)
from tests.support.problems import assert_problem
from tests.support.running_host import RunningHost, running_host
from worker.accounts import store
from worker.crypto import CHAINED_ITERATIONS, ChainedHash
from worker.limits import SIGN_IN_PAIR


async def _secret(host: RunningHost, name: str = "alice") -> str:
    found = await store.find(host.env, name)
    assert found is not None
    return found.secret


async def test_only_the_password_opens(host: RunningHost) -> None:
    """Not one in another case, longer, shorter, or with the space at its end."""
    await sign_up(host)

    assert await (await sign_in(host)).is_in()
    for wrong in (PASSWORD.upper(), PASSWORD + " ", PASSWORD[:-1], "", "x" * 1024, "x" * 1025):
        answer = await post(host, "/v1/sessions", username="alice", password=wrong)
        assert_problem(answer, 401, "unauthorized")


async def test_a_password_is_what_it_looks_like(host: RunningHost) -> None:
    """Composed and decomposed letters, ligatures and widths are the same (NFKC)."""
    typed = "für Käse & ﬁsch 12"
    made = await post(host, "/v1/users", username="alice", password=typed)
    assert made.status == 201
    for spelling in ("fu\u0308r Ka\u0308se & fisch 12", "für Käse & fisch １２"):
        await sign_in(host, password=spelling)


async def test_every_refusal_reads_the_same(host: RunningHost) -> None:
    """Wrong password, unknown, malformed and disabled names: one status, text and header."""
    alice = await sign_up(host, "alice")
    await sign_up(host, "closed")
    closed = (await store.find(host.env, "closed")) or pytest.fail("no account")
    assert await store.disable(host.env, closed.account_id)
    tries = (
        ("alice", OTHER_PASSWORD),
        ("nobody", PASSWORD),
        ("no such name!", PASSWORD),
        ("", PASSWORD),
        ("x" * 5000, PASSWORD),
        ("closed", PASSWORD),
        ("closed", OTHER_PASSWORD),
        ("alice", "\0" * 20),
        ("alice", "short"),
        (alice.grant["account_id"], PASSWORD),
    )

    answers = [await post(host, "/v1/sessions", username=n, password=p) for n, p in tries]

    bodies = set()
    for answer in answers:
        problem = assert_problem(answer, 401, "unauthorized")
        del problem["request_id"]
        bodies.add(str(problem))
        assert "Set-Cookie" not in answer.headers
    assert len(bodies) == 1


async def test_a_hash_of_old_parameters_is_made_anew(host: RunningHost) -> None:
    """After a good sign-in, and only then; the password stays the same."""
    from argon2 import PasswordHasher

    await sign_up(host)
    old = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    await host.env.db.prepare("UPDATE identities SET secret = ?").bind(old).run()

    await post(host, "/v1/sessions", username="alice", password=OTHER_PASSWORD)
    assert await _secret(host) == old
    await asyncio.gather(*(sign_in(host) for _ in range(3)))
    await host.opened.env.tools.finish()  # type: ignore[attr-defined]
    new = await _secret(host)
    assert new.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await sign_in(host)
    assert await _secret(host) == new


async def test_an_account_made_at_the_edge_works_here(host: RunningHost) -> None:
    """Its chained PBKDF2 hash is judged and then replaced by Argon2id."""
    import hashlib

    await sign_up(host)
    link = b"salt of sixteen."
    for _ in range(2):
        link = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), link, CHAINED_ITERATIONS)
    edge = ChainedHash(CHAINED_ITERATIONS, 2, b"salt of sixteen.", link).phc()
    await host.env.db.prepare("UPDATE identities SET secret = ?").bind(edge).run()

    wrong = await post(host, "/v1/sessions", username="alice", password=OTHER_PASSWORD)
    assert_problem(wrong, 401, "unauthorized")
    await sign_in(host)
    await host.opened.env.tools.finish()  # type: ignore[attr-defined]
    assert (await _secret(host)).startswith("$argon2id$")


_DAMAGED = (
    *("", "x", "$argon2id$", "$argon2id$v=19$m=99999999,t=2,p=1$c2FsdA$aGFzaA", "$2b$12$abc"),
    *("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$!", "$pbkdf2-sha256-chained$i=900000,r=6$a$b"),
    *("$argon2id$v=19$m=8,t=2,p=1$c2FsdA$aGFzaA", "\x00", "é"),
)


async def test_a_damaged_hash_is_a_wrong_password_and_an_event(host: RunningHost) -> None:
    """The caller sees what everybody sees; the operator is told, without the hash."""
    await sign_up(host)
    for damaged in _DAMAGED:
        await host.env.db.prepare("UPDATE identities SET secret = ?").bind(damaged).run()
        answer = await post(host, "/v1/sessions", username="alice", password=PASSWORD)
        assert_problem(answer, 401, "unauthorized")
    told = [event for event in host.events() if event["event"] == "password_hash_unknown"]
    assert len(told) == len(_DAMAGED)


async def test_too_many_at_once_are_asked_to_come_back(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue without end would be memory without end: 503 with Retry-After, then all is well."""
    await sign_up(host)
    monkeypatch.setattr("worker.entry.native_crypto.HASHES_WAITING", 2)

    answers = await asyncio.gather(
        *(post(host, "/v1/sessions", username="alice", password=PASSWORD) for _ in range(12))
    )

    statuses = sorted(answer.status for answer in answers)
    assert set(statuses) == {200, 503}
    for answer in answers:
        if answer.status == 503:
            assert_problem(answer, 503, "busy")
            assert answer.headers["Retry-After"] == "2"
    # Nobody waits any more, so both places are free again.
    await asyncio.gather(sign_in(host), sign_in(host))


async def test_changing_the_password_ends_the_other_sessions(host: RunningHost) -> None:
    """This session stays, others end at once, and only the new password opens."""
    here = await sign_up(host)
    there = await sign_in(host)

    answer = await here.ask(
        "PUT",
        "/v1/users/me/password",
        json={"current_password": PASSWORD, "new_password": OTHER_PASSWORD},
    )

    assert (answer.status, answer.body) == (204, b"")
    assert await here.is_in()
    assert (await here.refresh()).status == 200
    assert not await there.is_in()
    assert_problem(await there.refresh(), 401, "unauthorized")
    old = await post(host, "/v1/sessions", username="alice", password=PASSWORD)
    assert_problem(old, 401, "unauthorized")
    await sign_in(host, password=OTHER_PASSWORD)


async def test_a_password_changes_only_for_good_reasons(host: RunningHost) -> None:
    """Not with a wrong present one, not to a weak one, not ten minutes after the sign-in."""
    person = await sign_up(host)
    for body, field in (
        ({"current_password": "wrong", "new_password": OTHER_PASSWORD}, "current_password"),
        ({"current_password": "\0", "new_password": OTHER_PASSWORD}, "current_password"),
        ({"current_password": PASSWORD, "new_password": "password1234"}, "new_password"),
        ({"current_password": PASSWORD, "new_password": "alice_alice_1"}, "new_password"),
    ):
        answer = await person.ask("PUT", "/v1/users/me/password", json=body)
        problem = assert_problem(answer, 422, "unprocessable", members=["errors"])
        assert [error["field"] for error in problem["errors"]] == [field]
    for more in ({"new_password": 5}, {"new_password": OTHER_PASSWORD, "current_password": None}):
        answer = await person.ask("PUT", "/v1/users/me/password", json=more)
        assert_problem(answer, 400, "bad_request", members=["errors"])
    machine = await host.ask("PUT", "/v1/users/me/password", headers=host.bearer(), json={})
    assert_problem(machine, 403, "forbidden")
    later(host, 601)
    answer = await person.ask("PUT", "/v1/users/me/password", json={"new_password": OTHER_PASSWORD})
    assert_problem(answer, 403, "sign_in_again")
    await sign_in(host)


async def test_who_found_a_session_open_does_not_take_the_account(host: RunningHost) -> None:
    """A sign-in of the last minutes is not enough: the present password is asked for."""
    person = await sign_up(host)
    answer = await person.ask("PUT", "/v1/users/me/password", json={"new_password": OTHER_PASSWORD})
    problem = assert_problem(answer, 400, "bad_request", members=["errors"])
    assert [error["field"] for error in problem["errors"]] == ["current_password"]
    await sign_in(host)


async def test_the_present_password_is_not_guessed_by_who_has_a_session(tmp_path: Path) -> None:
    """Wrong ones count as failed sign-ins of that name from there."""
    async with running_host(tmp_path, RATE_LIMITS="on") as host:
        person = await sign_up(host)
        clock = freeze(host)
        body = {"current_password": "wrong", "new_password": OTHER_PASSWORD}
        statuses = []
        for _ in range(SIGN_IN_PAIR.free + 2):
            answer = await person.ask("PUT", "/v1/users/me/password", json=body)
            statuses.append(answer.status)
        assert statuses == [422] * SIGN_IN_PAIR.free + [429] * 2
        clock.now += 1
        body["current_password"] = PASSWORD
        assert (await person.ask("PUT", "/v1/users/me/password", json=body)).status == 204


async def test_a_sign_in_that_was_judged_by_the_old_password_opens_nothing(
    host: RunningHost,
) -> None:
    """The password is changed while a sign-in with the old one is being hashed."""
    person = await sign_up(host)
    for _ in range(2):
        body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
        change = person.ask("PUT", "/v1/users/me/password", json=body)
        late = post(host, "/v1/sessions", username="alice", password=PASSWORD)
        changed, answered = await asyncio.gather(change, late)
        assert changed.status == 204
        if answered.status == 200:
            token = {"Authorization": f"Bearer {answered.json()['token']}"}
            assert (await host.get("/v1/sessions", headers=token)).status == 401
        body = {"current_password": OTHER_PASSWORD, "new_password": PASSWORD}
        back = await person.ask("PUT", "/v1/users/me/password", json=body)
        assert back.status == 204


async def test_operators_give_roles_close_and_open(host: RunningHost) -> None:
    """A role brings its scopes with the next sign-in; what held under the old one ends."""
    person = await sign_up(host)
    account_id = person.grant["account_id"]
    assert await store.set_role(host.env, account_id, "admin")
    assert not await person.is_in()
    admin = await sign_in(host)
    me = (await admin.get("/api/auth/session")).json()
    assert me["role"] == "admin"
    assert "profiles:export" in me["scopes"]
    assert (await admin.get("/api/profiles/export")).status == 200

    assert await store.disable(host.env, account_id)
    assert await store.disable(host.env, account_id)
    assert not await admin.is_in()
    assert_problem(await admin.refresh(), 401, "unauthorized")
    [row] = await store.list_accounts(host.env)
    assert (row["username"], row["role"]) == ("alice", "admin")
    assert row["disabled_at"] is not None
    assert await store.enable(host.env, account_id)
    await sign_in(host)
    for change in (store.disable(host.env, "x"), store.enable(host.env, "x")):
        assert not await change
    assert not await store.set_role(host.env, "x", "owner")
