"""
Accounts in real workerd: WebCrypto through the crypto port, D1 through its adapter.

A few requests only, because each hash is six calls of 100,000 iterations there.
"""

import hashlib

import jwt

from tests.edge.edge_host import EdgeHost
from tests.edge.remote import RemoteDatabase
from tests.edge.workerd import Workerd
from tests.support.accounts import PASSWORD, Person, bearer, post, set_cookies
from tests.support.problems import assert_problem
from worker.crypto import read_chained


async def test_an_account_is_made_found_and_left(host: EdgeHost, workerd: Workerd) -> None:
    """Registration, sign-in, wrong password, unknown name, refresh, lost answer, replay, end."""
    made = await post(host, "/v1/users", username="Ｅdge_1", password=PASSWORD)
    assert made.status == 201, made.body
    found = await post(host, "/v1/sessions", username="EDGE_1", password=PASSWORD)
    assert found.status == 200, found.body
    assert found.json()["account_id"] == made.json()["account_id"]
    for name, password in (("edge_1", PASSWORD + "!"), ("nobody", PASSWORD)):
        refused = await post(host, "/v1/sessions", username=name, password=password)
        assert_problem(refused, 401, "unauthorized")
    taken = await post(host, "/v1/users", username="edge_1", password=PASSWORD)
    assert_problem(taken, 409, "username_taken")

    one, two = Person(host, made.json()), Person(host, found.json())
    spent = one.grant["refresh_token"]
    assert (await one.refresh()).status == 200
    assert jwt.get_unverified_header(one.grant["token"])["kid"] == "new"
    items = (await two.get("/v1/sessions")).json()["items"]
    assert [item["current"] for item in items].count(True) == 1
    assert len(items) == 2
    again = await post(host, "/v1/sessions/refresh", refresh_token=spent)
    assert again.json()["refresh_token"] == one.grant["refresh_token"]
    assert (await one.refresh()).status == 200
    replay = await post(host, "/v1/sessions/refresh", refresh_token=spent)
    assert_problem(replay, 401, "refresh_reused")
    assert not await one.is_in()
    assert await two.is_in()
    assert (await two.ask("DELETE", "/v1/sessions")).status == 204
    assert not await two.is_in()
    await _is_the_hash_we_say(workerd)


async def _is_the_hash_we_say(workerd: Workerd) -> None:
    """What the edge stored is what hashlib computes, so a host judges it too."""
    db = RemoteDatabase(workerd, "DB")
    stored = read_chained(await db.prepare("SELECT secret FROM identities").first("secret"))
    assert stored.is_current
    link = stored.salt
    for _ in range(stored.rounds):
        link = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), link, stored.iterations)
    assert link == stored.digest


async def test_a_page_and_a_socket_at_the_edge(host: EdgeHost) -> None:
    """Three cookies, each in a field of its own; a ticket of another audience."""
    body = {"username": "page", "password": PASSWORD, "cookies": True}
    made = await host.ask("POST", "/v1/users", json=body)
    assert made.status == 201, made.body
    pairs = [line.partition(";")[0] for line in set_cookies(made)]
    assert [pair.partition("=")[0] for pair in pairs] == [
        "__Host-session",
        "__Host-refresh",
        "__Host-csrf",
    ]
    csrf = pairs[2].partition("=")[2]
    headers = {"Cookie": "; ".join(pairs), "X-CSRF-Token": csrf}
    audience = {"audience": "relay"}

    answer = await host.ask("POST", "/v1/tickets", json=audience, headers=headers)
    assert answer.status == 200, answer.body
    without = {"Cookie": headers["Cookie"]}
    refused = await host.ask("POST", "/v1/tickets", json=audience, headers=without)
    assert_problem(refused, 403, "csrf_failed")
    ticket = answer.json()["ticket"]
    assert (await host.get("/v1/sessions", headers=bearer(ticket))).status == 401
