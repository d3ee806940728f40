"""Sessions: refresh tokens hold once, sign-out holds at once, and only one's own can be ended."""

import base64
import json

import jwt

from tests.support.accounts import Person, bearer, later, post, sign_in, sign_up
from tests.support.problems import assert_problem
from tests.support.running_host import RunningHost
from worker.accounts.doors.sessions import purge
from worker.identity.sessions import living


async def _refresh(host: RunningHost, token: str) -> int:
    return (await post(host, "/v1/sessions/refresh", refresh_token=token)).status


async def test_a_refresh_gives_new_tokens_for_the_same_session(host: RunningHost) -> None:
    """The old access token holds until its end; the session goes on as long as it is used."""
    person = await sign_up(host)
    before = person.grant
    later(host, 5 * 24 * 3600)

    assert (await person.refresh()).status == 200

    assert person.grant["session_id"] == before["session_id"]
    assert person.grant["refresh_token"] != before["refresh_token"]
    assert person.grant["refresh_expires_at"] > before["refresh_expires_at"]
    assert await person.is_in()
    later(host, 6 * 24 * 3600)
    assert (await person.refresh()).status == 200
    later(host, 7 * 24 * 3600)
    assert_problem(await person.refresh(), 401, "unauthorized")


async def test_a_refresh_can_give_another_audience(host: RunningHost) -> None:
    """A program of the relay and of the API shares one session."""
    person = await sign_up(host)
    assert (await person.refresh(audience="relay")).status == 200
    assert not await person.is_in()
    assert (await person.refresh(audience="nobody")).status == 400
    assert (await person.refresh()).status == 200
    assert await person.is_in()


async def test_a_spent_refresh_token_ends_the_whole_session(host: RunningHost) -> None:
    """Two hold it, so nobody does: access tokens and the newest refresh token end at once."""
    person = await sign_up(host)
    other = await sign_in(host)
    stolen = person.grant["refresh_token"]
    assert (await person.refresh()).status == 200
    assert (await person.refresh()).status == 200

    answer = await post(host, "/v1/sessions/refresh", refresh_token=stolen)

    assert_problem(answer, 401, "refresh_reused")
    assert not await person.is_in()
    assert_problem(await person.refresh(), 401, "unauthorized")
    assert_problem(
        await post(host, "/v1/sessions/refresh", refresh_token=stolen), 401, "unauthorized"
    )
    assert await other.is_in()
    assert "refresh_reused" in [event["event"] for event in host.events()]


async def test_only_our_refresh_tokens_are_looked_at(host: RunningHost) -> None:
    """Altered, cut, invented, of another kind: 401, and the session goes on."""
    person = await sign_up(host)
    good = person.grant["refresh_token"]
    raw = base64.urlsafe_b64decode(good + "==")
    position = json.loads(raw[16:])
    position[1] += 1
    forged = base64.urlsafe_b64encode(raw[:16] + json.dumps(position).encode()).decode()

    for text in (
        *("x", "é", "\ud800", good[:-1], good[1:], good + "A", good.swapcase(), forged),
        *(forged.rstrip("="), person.grant["token"], "A" * 15_000, good + "\n", " " + good),
    ):
        body = json.dumps({"refresh_token": text}).encode()
        answer = await host.ask("POST", "/v1/sessions/refresh", data=body)
        assert_problem(answer, 401, "unauthorized")
    assert (await host.ask("POST", "/v1/sessions/refresh")).status == 401
    assert (await post(host, "/v1/sessions/refresh", refresh_token=5)).status == 400
    assert (await person.refresh()).status == 200


async def test_sign_out_ends_this_session_at_once(host: RunningHost) -> None:
    """Its tokens are refused with the next request; other sessions go on; again is no harm."""
    here = await sign_up(host)
    there = await sign_in(host)

    assert (await here.ask("DELETE", "/v1/sessions")).status == 204

    assert not await here.is_in()
    assert await _refresh(host, here.grant["refresh_token"]) == 401
    assert await there.is_in()
    assert (await here.ask("DELETE", "/v1/sessions")).status == 401
    assert (await host.ask("DELETE", "/v1/sessions")).status == 204
    assert (await there.ask("POST", "/api/auth/signout")).status == 204
    assert not await there.is_in()


async def test_sign_out_everywhere(host: RunningHost) -> None:
    """All sessions of the account and nobody else's."""
    people = [await sign_up(host), await sign_in(host), await sign_in(host, audience="relay")]
    other = await sign_up(host, "bob")

    bad = await people[0].ask("DELETE", "/v1/sessions?everywhere=1")
    assert_problem(bad, 400, "bad_request")
    assert_problem(await host.ask("DELETE", "/v1/sessions?everywhere=true"), 401, "unauthorized")
    # A token of another audience is enough to leave.
    assert (await people[2].ask("DELETE", "/v1/sessions?everywhere=true")).status == 204

    for person in people:
        assert not await person.is_in()
        assert await _refresh(host, person.grant["refresh_token"]) == 401
    assert await other.is_in()


async def test_a_lost_device_is_signed_out_from_another(host: RunningHost) -> None:
    """The list says which is which; ending one again is fine; other people's are not found."""
    here = await sign_up(host, label="here")
    lost = await sign_in(host, label="lost")
    other = await sign_up(host, "bob")
    items = (await here.get("/v1/sessions")).json()["items"]
    assert {(item["label"], item["current"]) for item in items} == {("here", True), ("lost", False)}
    by_label = {item["label"]: item for item in items}
    path = f"/v1/sessions/{by_label['lost']['id']}"

    assert_problem(await other.ask("DELETE", path), 404, "not_found")
    assert await lost.is_in()
    assert (await here.ask("DELETE", path)).status == 204
    assert (await here.ask("DELETE", path)).status == 204

    assert not await lost.is_in()
    assert [item["label"] for item in (await here.get("/v1/sessions")).json()["items"]] == ["here"]
    for unknown in ("x", "%00", "%2e%2e", "é", by_label["lost"]["id"].upper()):
        answer = await here.ask("DELETE", f"/v1/sessions/{unknown}")
        assert_problem(answer, 404, "not_found")


async def test_the_list_of_sessions_comes_in_pages(host: RunningHost) -> None:
    """Each once, the one used last first, also those of one millisecond; cursors are one's own."""
    person = await sign_up(host)
    for _ in range(4):
        await sign_in(host)
    await host.env.db.prepare(
        "INSERT INTO sessions SELECT sessions.id || value, account_id, method, auth_time,"
        " device_id, label, generation, refresh_hash, created_at, last_used_at, expires_at,"
        " revoked_at"
        " FROM sessions, json_each('[1,2,3,4,5,6,7,8,9]')"
    ).run()
    seen: list[dict[str, str]] = []
    query = "?limit=7"
    for _ in range(10):
        answer = (await person.get(f"/v1/sessions{query}")).json()
        seen += answer["items"]
        assert answer["list_complete"] is (answer["next_cursor"] is None)
        if answer["list_complete"]:
            break
        query = f"?limit=7&cursor={answer['next_cursor']}"
    assert len(seen) == len({item["id"] for item in seen}) == 50
    assert [item["last_used_at"] for item in seen] == sorted(
        (item["last_used_at"] for item in seen), reverse=True
    )
    assert len((await person.get("/v1/sessions")).json()["items"]) == 50
    for bad, code in (("limit=0", "bad_request"), ("cursor=x", "invalid_cursor")):
        assert_problem(await person.get(f"/v1/sessions?{bad}"), 400, code)


async def test_a_token_of_another_audience_lives_no_longer(host: RunningHost) -> None:
    """Only a refresh prolongs; and a token for one surface opens no other."""
    person = await sign_up(host)
    later(host, 600)

    answer = await person.ask("POST", "/v1/tokens", json={"audience": "relay"})

    assert answer.status == 200
    assert answer.json()["expires_at"] == person.grant["expires_at"]
    ends = [
        jwt.decode(token, options={"verify_signature": False})["exp"]
        for token in (person.grant["token"], answer.json()["token"])
    ]
    assert ends[0] == ends[1]
    relay = Person(host, {"token": answer.json()["token"]})
    assert not await relay.is_in()
    refused = await relay.ask("POST", "/v1/tokens", json={"audience": "api"})
    assert_problem(refused, 401, "unauthorized")
    for body in ({}, {"audience": "x"}, {"audience": None}):
        answer = await person.ask("POST", "/v1/tokens", json=body)
        assert_problem(answer, 400, "bad_request", members=["errors"])


async def test_machines_have_no_sessions(host: RunningHost) -> None:
    """A good token without a person behind it opens no door for people."""
    for method, path in (
        ("GET", "/v1/sessions"),
        ("DELETE", "/v1/sessions"),
        ("DELETE", "/v1/sessions/x"),
        ("POST", "/api/auth/signout"),
        ("GET", "/api/auth/session"),
        ("POST", "/v1/tokens"),
        ("POST", "/v1/tickets"),
    ):
        answer = await host.ask(method, path, headers=host.bearer(), json={"audience": "api"})
        assert_problem(answer, 403, "forbidden")
        if "sign" not in path and (method, path) != ("DELETE", "/v1/sessions"):
            assert_problem(await host.ask(method, path), 401, "unauthorized")


async def test_what_ended_is_removed_a_day_later(host: RunningHost) -> None:
    """The hourly job: spent tickets, ended and expired sessions; what lives stays."""
    person = await sign_up(host)
    ended = await sign_in(host)
    await ended.ask("DELETE", "/v1/sessions")
    await host.env.db.prepare("INSERT INTO spent_tokens VALUES ('a', 1), ('b', 99999999999)").run()

    async def rows() -> tuple[int, int]:
        sessions = await host.env.db.prepare("SELECT count(*) AS n FROM sessions").first("n")
        spent = await host.env.db.prepare("SELECT count(*) AS n FROM spent_tokens").first("n")
        return sessions, spent

    await purge(host.env)
    assert await rows() == (2, 1)
    later(host, 2 * 24 * 3600)
    await purge(host.env)
    assert await rows() == (1, 1)
    assert len(await living(host.env, person.grant["account_id"])) == 1
    later(host, 7 * 24 * 3600)
    await purge(host.env)
    assert (await rows())[0] == 0


async def test_a_refresh_moves_the_day_of_activity(host: RunningHost) -> None:
    """Kept to the day: what operators see, and nothing finer about people."""
    person = await sign_up(host)
    account = "SELECT last_active_at FROM accounts"
    first = await host.env.db.prepare(account).first("last_active_at")
    later(host, 3600)
    await person.refresh()
    assert await host.env.db.prepare(account).first("last_active_at") == first
    later(host, 24 * 3600)
    await person.refresh()
    await host.env.tools.finish()  # type: ignore[attr-defined]
    assert await host.env.db.prepare(account).first("last_active_at") > first
    assert await host.get("/api/auth/session", headers=bearer(person.grant["token"]))
