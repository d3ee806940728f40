"""Whether a name exists shows in no answer: status, text, headers and limits (time: …_timing)."""

from pathlib import Path
from typing import Any

from tests.core.test_rate_limits import freeze
from tests.support.accounts import OTHER_PASSWORD, PASSWORD, sign_in, sign_up
from tests.support.running_host import Answer, RunningHost, running_host
from worker.accounts import store

_TRIES = 9


def seen(answer: Answer) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return all of an answer that an attacker can compare, but for ids and moments."""
    passing = ("date", "x-request-id", "content-length", "retry-after", "ratelimit")
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in passing}
    body = answer.json()
    body.pop("request_id")
    return answer.status, body, headers


async def test_known_and_unknown_names_are_slowed_down_alike(tmp_path: Path) -> None:
    """Guessing at a known, an unknown, a malformed and a closed name looks the same to the end."""
    async with running_host(
        tmp_path / "state", RATE_LIMITS="on", TRUSTED_PROXIES="127.0.0.1"
    ) as host:
        freeze(host)
        known = await sign_up(host, "alice")
        # Its owner signs in elsewhere meanwhile: nobody else may see that either.
        await sign_in(host, "alice")
        closed = await sign_up(host, "closed")
        await store.disable(host.env, closed.grant["account_id"])
        told: dict[str, list[Any]] = {}
        for number, name in enumerate(("alice", "nobody_here", "no such name!", "closed")):
            for _ in range(_TRIES):
                answer = await host.ask(
                    "POST",
                    "/v1/sessions",
                    json={"username": name, "password": OTHER_PASSWORD},
                    headers={"X-Forwarded-For": f"203.0.113.{number}"},
                )
                told.setdefault(name, []).append(seen(answer))
        first = told["alice"]
        assert {status for status, *_ in first} == {401, 429}
        for name, answers in told.items():
            assert answers == first, name
        assert await known.is_in()


async def test_doors_of_strangers_say_nothing_of_accounts(host: RunningHost) -> None:
    """Sign-in by both names of the door, in body and cookies: one refusal for who is and is not."""
    await sign_up(host, "alice")
    for door in ("/v1/sessions", "/auth/login"):
        for more in ({}, {"cookies": True, "audience": "api"}, {"audience": "backup"}):
            answers = []
            for name in ("alice", "nobody_here"):
                body = {"username": name, "password": OTHER_PASSWORD, **more}
                answers.append(seen(await host.ask("POST", door, json=body)))
            assert answers[0] == answers[1], (door, more)
            assert answers[0][0] == 401


async def test_a_forged_address_buys_no_further_tries(tmp_path: Path) -> None:
    """X-Forwarded-For and its relatives count for nothing without a proxy that we trust."""
    async with running_host(tmp_path / "state", RATE_LIMITS="on") as host:
        freeze(host)
        await sign_up(host, "alice")
        statuses = []
        for number in range(_TRIES):
            forged = f"198.51.100.{number}"
            answer = await host.ask(
                "POST",
                "/v1/sessions",
                json={"username": "alice", "password": PASSWORD + "x"},
                headers={
                    "X-Forwarded-For": forged,
                    "X-Real-IP": forged,
                    "Forwarded": f"for={forged}",
                    "CF-Connecting-IP": forged,
                    "True-Client-IP": forged,
                    "X-Client-IP": forged,
                },
            )
            statuses.append(answer.status)
        assert statuses[-1] == 429, statuses
