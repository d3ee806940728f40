"""The benchmarks of accounts: the price of a session, of a refresh, and of others signing in."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import edgekeep_server, servers
from benchmarks.doors import ITEM, STORED
from benchmarks.figures import Figure
from benchmarks.load import Door, Rate, Rounds, alternate, hammer
from benchmarks.plan import Plan
from benchmarks.profiles_file import write_file
from benchmarks.servers import Server, ServerError

REFRESH = Door("/v1/sessions/refresh", "POST", script=Path(__file__).parent / "refresh.lua")
# More than connections, so that one is always there to be spent.
TOKENS = 128
LOGINS_PER_SECOND = 20
# Readers who do not fill the machine: about 1,500 requests a second.
READERS = replace(ITEM, delay_ms=20)
_PERSON = {"username": "bench_person", "password": "tangerine velocity 9"}


@contextmanager
def _with_profiles() -> Iterator[tuple[Server, str]]:
    """Run our server with profiles and one account; give it and an access token."""
    with servers.scratch() as directory:
        state, source = directory / "state", directory / "profiles.ndjson"
        write_file(source, STORED)
        with edgekeep_server.dev(directory, state) as ours:
            edgekeep_server.import_file(ours, edgekeep_server.token(state), source)
            grant = _post(ours.port, "/v1/users", _PERSON, 201)
            yield ours, grant["token"]


def _post(port: int, path: str, body: Any, wanted: int = 200) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status != wanted:
        raise ServerError(f"POST {path} answered {answer.status}: {text[:300]!r}")
    return json.loads(text) if text.startswith(b"{") else text.decode()


def session_check(plan: Plan) -> list[Figure]:
    """GET a profile with the token of a session, beside the same without."""
    with _with_profiles() as (ours, token):
        signed_in = replace(ITEM, bearer=token)
        rounds = alternate(
            {"open": (ours, ITEM), "ours": (ours, signed_in)},
            seconds=plan.seconds,
            rounds=plan.rounds,
            warm_up=plan.warm_up,
        )
    note = f"CPU {rounds.cpu_us('ours'):.0f} µs, {rounds.cpu_us('open'):.0f} µs a request"
    return [
        Figure(
            "session_check",
            "GET profile by id, signed in",
            rounds.median("ours"),
            "requests/s",
            1 / 1.15,
            reference=rounds.median("open"),
            against="without a token",
            ratio=rounds.ratio("ours", "open"),
            note=note,
        )
    ]


def token_refresh(plan: Plan) -> list[Figure]:
    """Spend refresh tokens of many sessions at once; each is a commit of D1."""
    rates: list[Rate] = []
    with (
        servers.scratch() as directory,
        edgekeep_server.with_doors(directory, directory / "state") as ours,
    ):
        _post(ours.port, "/v1/users", _PERSON, 201)
        file = directory / "tokens"
        os.environ["BENCH_TOKENS"] = str(file)
        for number in range(plan.rounds + 1):
            # Every run spends what it is given, so each gets sessions of its own.
            path = f"/bench/sessions?name={_PERSON['username']}&count={TOKENS}"
            file.write_text(_post(ours.port, path, {}))
            rates.append(hammer(ours, REFRESH, plan.seconds if number else plan.warm_up))
    rounds = Rounds({"ours": rates[1:]})
    return [
        Figure(
            "token_refresh",
            "refresh of a session",
            rounds.median("ours"),
            "requests/s",
            2000,
            note=f"p99 {rounds.p99_ms('ours'):.1f} ms; CPU {rounds.cpu_us('ours'):.0f} µs each",
        )
    ]


@dataclass
class Crowd:
    """People who sign in, so many a second, each waiting for the answer."""

    port: int
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Begin a sign-in every twentieth of a second until `stop`."""
        began, number = time.perf_counter(), 0
        threads: list[threading.Thread] = []
        while not self._stop.wait(max(0.0, began + number / LOGINS_PER_SECOND - _now())):
            number += 1
            threads.append(threading.Thread(target=self._sign_in))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        """Let nobody else begin."""
        self._stop.set()

    def _sign_in(self) -> None:
        began = _now()
        try:
            _post(self.port, "/v1/sessions", _PERSON)
        except (OSError, http.client.HTTPException, ServerError) as problem:
            self.failures.append(str(problem))
        self.seconds.append(_now() - began)


def _now() -> float:
    return time.perf_counter()


def login_latency(plan: Plan) -> list[Figure]:
    """The slowest hundredth of GET profile while twenty people a second sign in."""
    with _with_profiles() as (ours, _token):
        hammer(ours, READERS, plan.warm_up)
        quiet = hammer(ours, READERS, plan.seconds)
        crowd = Crowd(ours.port)
        thread = threading.Thread(target=crowd.run)
        thread.start()
        began = _now()
        try:
            rates = [hammer(ours, READERS, plan.seconds) for _ in range(plan.rounds)]
        finally:
            crowd.stop()
            thread.join()
        took = _now() - began
    good = len(crowd.seconds) - len(crowd.failures)
    if good == 0:
        raise ServerError(f"nobody could sign in: {crowd.failures[:1]}")
    rounds = Rounds({"ours": rates})
    seconds = sorted(crowd.seconds)
    return [
        Figure(
            "login_latency",
            f"p99 of GET profile while {LOGINS_PER_SECOND}/s sign in",
            rounds.p99_ms("ours"),
            "ms",
            50,
            at_least=False,
            note=(
                f"{rounds.median('ours'):,.0f} requests/s, without sign-ins "
                f"{quiet.per_second:,.0f} and p99 {quiet.p99_us / 1000:.1f} ms; a sign-in takes "
                f"{statistics.median(seconds) * 1000:.0f} ms, p99 "
                f"{seconds[len(seconds) * 99 // 100] * 1000:.0f} ms"
            ),
        ),
        Figure(
            "login_latency",
            "people who signed in meanwhile",
            good / took,
            "a second",
            LOGINS_PER_SECOND * 0.95,
            note=f"{len(crowd.failures)} of {len(seconds)} were asked to come back",
        ),
    ]
