"""Registration: one account a name, whatever way the name is typed, and nothing but good input."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.accounts import PASSWORD, bearer, post, sign_in, sign_up
from tests.support.prekeys import Device, register
from tests.support.problems import assert_problem
from tests.support.running_host import RunningHost
from worker.accounts import sign_in as sign_in_slice
from worker.accounts import store as accounts
from worker.accounts.model import Way
from worker.identity import sessions
from worker.identity.usernames import is_reserved
from worker.routes import ROUTES

DEVICE = "0f8fad5b-d9cb-469f-a165-70867728950e"


async def test_an_account_is_made_and_signed_in(host: RunningHost) -> None:
    """201 with the account, its folded name and tokens that open doors; nothing may be cached."""
    answer = await post(host, "/v1/users", username="Ada_L", password=PASSWORD)

    assert answer.status == 201
    assert answer.headers["Cache-Control"] == "no-store"
    grant = answer.json()
    assert set(grant) == {
        *("account_id", "username", "session_id", "token", "token_type", "expires_at"),
        *("refresh_token", "refresh_expires_at"),
    }
    assert (grant["username"], grant["token_type"]) == ("ada_l", "Bearer")
    me = await host.get("/api/auth/session", headers={"Authorization": f"Bearer {grant['token']}"})
    assert me.json() | {"auth_time": "", "expires_at": ""} == {
        "account_id": grant["account_id"],
        "username": "ada_l",
        "role": "owner",
        "scopes": [],
        "session_id": grant["session_id"],
        "auth_time": "",
        "expires_at": "",
        "identities": ["password"],
    }
    assert me.json()["expires_at"] == grant["expires_at"]


async def test_the_day_one_names_answer_200_with_a_token_for_the_relay(host: RunningHost) -> None:
    """/auth/register and /auth/login: their token opens no door of the API, and the other way."""
    made = await register(host, "bob", **Device().upload())
    found = await post(host, "/auth/login", username="bob", password=PASSWORD)

    assert (made.status, found.status) == (200, 200)
    for answer in (made, found):
        token = {"Authorization": f"Bearer {answer.json()['token']}"}
        assert_problem(await host.get("/v1/sessions", headers=token), 401, "unauthorized")
    chosen = await sign_in(host, "bob", audience="api")
    assert await chosen.is_in()
    relay = await sign_in(host, "bob", audience="relay")
    assert not await relay.is_in()


async def test_of_twenty_parallel_registrations_one_wins(host: RunningHost) -> None:
    """One 201, nineteen 409, one account, whichever way the name was spelt."""
    spellings = ["carol", "CAROL", "Carol", "ｃａｒｏｌ"] * 5
    answers = await asyncio.gather(
        *(post(host, "/v1/users", username=name, password=PASSWORD) for name in spellings)
    )

    assert sorted(answer.status for answer in answers) == [201] + [409] * 19
    for answer in answers:
        if answer.status == 409:
            assert_problem(answer, 409, "username_taken")
    count = await host.env.db.prepare("SELECT count(*) AS n FROM accounts").first("n")
    assert count == 1


@pytest.mark.parametrize(
    "name",
    [
        "admin",
        "ADMIN",
        " Admin ",
        "ａｄｍｉｎ",
        "_admin_",
        "ad_min",
        "postmaster",
        "no_reply",
        "count",
    ],
)
async def test_some_names_nobody_may_choose(host: RunningHost, name: str) -> None:
    """Neither by signing up, at either door, nor as a second way in."""
    plain = await post(host, "/v1/users", username=name, password=PASSWORD)
    for refused in (plain, await register(host, name, **Device().upload())):
        problem = assert_problem(refused, 422, "unprocessable", members=["errors"])
        assert [one["error_code"] for one in problem["errors"]] == ["reserved"]
    env = host.env
    made = await accounts.account_for(env, Way("email", [("k", "hash")], "hash"))
    grant = await sessions.begin(env, sessions.SignIn(made.account_id, "email", secret="hash"))
    answer = await host.ask(
        "POST",
        "/v1/identities/password",
        json={"username": name, "password": PASSWORD},
        headers=bearer(grant.token),
    )
    assert_problem(answer, 422, "unprocessable", members=["errors"])


async def test_every_word_of_our_paths_is_reserved(host: RunningHost) -> None:
    """From the table of doors, so that a new door needs no thought."""
    for route in ROUTES:
        for part in route.path.split("/"):
            word = part.replace("-", "_").partition(".")[0]
            if word and "{" not in word:
                assert is_reserved(host.env, word), route.path


async def test_who_has_a_reserved_name_goes_on(host: RunningHost) -> None:
    """Operators may give one, and older versions did."""
    await sign_in_slice.make(
        host.env, sign_in_slice.new_account_id(host.env), "admin", PASSWORD, role="admin"
    )
    person = await sign_in(host, "Admin")
    assert await person.is_in()
    assert (await person.refresh()).status == 200
    taken = await post(host, "/v1/users", username="admin", password=PASSWORD)
    assert taken.status == 422


@pytest.mark.parametrize("typed", ["ada ", " ada", "\tADA\t", "\u3000ada\u00a0"])
async def test_blanks_around_a_name_are_taken_away(host: RunningHost, typed: str) -> None:
    """A keyboard adds one: as for e-mail addresses, when signing up and in."""
    made = await post(host, "/v1/users", username=typed, password=PASSWORD)
    assert (made.status, made.json()["username"]) == (201, "ada")
    for again in (typed, "ada"):
        assert (await post(host, "/v1/sessions", username=again, password=PASSWORD)).status == 200
    inside = await post(host, "/v1/users", username="a da", password=PASSWORD)
    assert inside.status == 422


async def test_the_same_person_is_found_by_every_spelling(host: RunningHost) -> None:
    """Case, width and compatibility forms of a name are one name (X41)."""
    account_id = (await sign_up(host, "mike_5")).grant["account_id"]

    for spelling in ("MIKE_5", "Ｍike_5", "𝐦𝐢𝐤𝐞_𝟓", "mike＿5", "Mike_⑤"):
        found = await sign_in(host, spelling)
        assert found.grant["account_id"] == account_id
        assert found.grant["username"] == "mike_5"


_NAMES = (
    *("", "ab", "a" * 51, "a b c", "a-b-c", "a.b.c", "abc\n", "a bc", "abc\0", "a@b.c", "../abc"),
    *("аlice", "alıce", "ɑlice", "αlice", "al\u200bice", "al\u00adice", "é" * 5),
    *("\ud800abc", "a" * 5000, "\ufdfa" * 200, "名前です"),
)


async def test_a_name_that_could_pass_for_another_or_is_none_is_refused(host: RunningHost) -> None:
    """422 names the member and quotes nothing: other scripts, hidden characters, wrong lengths."""
    for name in _NAMES:
        body = json.dumps({"username": name, "password": PASSWORD}).encode()
        answer = await host.ask("POST", "/v1/users", data=body)
        problem = assert_problem(answer, 422, "unprocessable", members=["errors"])
        assert [error["field"] for error in problem["errors"]] == ["username"]


_WRONG: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "nothing": ({}, [("username", "required"), ("password", "required")]),
    "numbers": ({"username": 1, "password": 2.5}, [("username", "type"), ("password", "type")]),
    "lists": ({"username": ["a"], "password": {}}, [("username", "type"), ("password", "type")]),
    "null": ({"username": None, "password": PASSWORD}, [("username", "required")]),
    "a flag in words": ({"cookies": "yes"}, [("cookies", "type")]),
    "an audience nobody knows": ({"audience": "admin"}, [("audience", "enum")]),
    "an audience that is a list": ({"audience": ["api"]}, [("audience", "enum")]),
    "another audience in cookies": (
        {"cookies": True, "audience": "relay"},
        [("audience", "enum")],
    ),
    "a device that is no UUID": ({"device_id": "phone"}, [("device_id", "format")]),
    "a device with a line end": ({"device_id": DEVICE + "\n"}, [("device_id", "format")]),
    "a long label": ({"label": "x" * 101}, [("label", "format")]),
    "a label of two lines": ({"label": "a\nb"}, [("label", "format")]),
    "half a pair of surrogates": ({"label": "\ud83d"}, [("label", "format")]),
    "a label that is a number": ({"label": 5}, [("label", "type")]),
}


@pytest.mark.parametrize("door", ["/v1/users", "/v1/sessions", "/auth/register", "/auth/login"])
async def test_a_member_of_the_wrong_kind_is_named(host: RunningHost, door: str) -> None:
    """400 with each member that will not do; never a trace."""
    for name, (members, faults) in _WRONG.items():
        body = {} if name == "nothing" else {"username": "dave", "password": PASSWORD, **members}

        answer = await post(host, door, **body)

        problem = assert_problem(answer, 400, "bad_request", members=["errors"])
        found = [(error["field"], error["error_code"]) for error in problem["errors"]]
        assert found == faults, name


async def test_a_body_that_is_no_object_is_refused(host: RunningHost) -> None:
    """400, and 413 for more than anybody needs."""
    for door in ("/v1/users", "/v1/sessions"):
        for body in (b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 9000, b'{"a":' * 3000):
            assert_problem(await host.ask("POST", door, data=body), 400, "bad_request")
        large = await host.ask("POST", door, data=b"{" + b" " * 20_000 + b"}")
        assert_problem(large, 413, "payload_too_large")


async def test_unknown_members_are_ignored_and_a_device_is_kept(host: RunningHost) -> None:
    """A newer client may send more; what the list of sessions shows is kept."""
    person = await sign_up(host, "erin", device_id=DEVICE.upper(), label="Laptop ✓", role="admin")

    [session] = (await person.get("/v1/sessions")).json()["items"]
    assert (session["device_id"], session["label"]) == (DEVICE, "Laptop ✓")
    assert (await person.get("/api/auth/session")).json()["role"] == "owner"


async def test_nothing_of_a_registration_reaches_the_log(host: RunningHost) -> None:
    """Neither the name nor the password nor a token."""
    person = await sign_up(host, "canary_name")
    await sign_in(host, "canary_name")
    await post(host, "/v1/sessions", username="canary_name", password="canary-password-2")
    await post(host, "/v1/users", username="canary_name", password="canary-password-2")

    host.env.log.flush()
    text = "".join(host.log)
    assert "canary" not in text
    assert PASSWORD not in text
    assert person.grant["token"] not in text
    assert person.grant["refresh_token"] not in text
