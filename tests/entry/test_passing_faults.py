"""Bindings that fail for a moment: 503 with Retry-After at every door, and never a 500."""

import pickle
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from d1_schema.contract import D1Error
from durable.contract import (
    ActorsClosedError,
    DurableObject,
    ObjectResetError,
    OverloadedError,
    RemoteError,
    SqlError,
)
from durable.edge_calls import answer_call, unpack_answer
from durable.errors import remote_copy
from kv.checks import KVUnavailable
from kv.contract import KVError
from r2.contract import R2Error, R2Unavailable
from tests.support.clock import Clock
from tests.support.problems import assert_problem
from tests.support.profiles import line
from tests.support.running_host import RunningHost, running_host
from worker.entry.host_tools import HostTools
from worker.env import Env
from worker.identity.caller import ANYONE, Caller
from worker.passing import passes
from worker.route_table import Route
from worker.routes import ROUTES
from worker.web import Request, Response

_PASSING = (
    KVUnavailable("PUT"),
    KVError("PUT", 500, "database or disk is full"),
    KVError("PUT", 429, "Too Many Requests"),
    R2Unavailable("put"),
    R2Error("get", "We encountered an internal error. Please try again.", 10001),
    D1Error("D1_ERROR: D1 DB is overloaded. Too many requests queued."),
    D1Error("D1_ERROR: database or disk is full: SQLITE_FULL"),
    ObjectResetError("Durable Object reset because its code was updated."),
    OverloadedError("Durable Object is overloaded. Too many requests queued."),
    ActorsClosedError("The local runtime is shutting down."),
    SqlError("database or disk is full: SQLITE_FULL"),
)
_LASTING = (
    KVError("PUT", 414, "UTF-8 encoded length of 513 exceeds key length limit of 512."),
    R2Error("put", "The specified object name is not valid.", 10020),
    D1Error("D1_ERROR: no such table: t: SQLITE_ERROR"),
    SqlError("no such table: t: SQLITE_ERROR"),
    RemoteError("Surprise", "what nobody expected"),
    ValueError("ours"),
)


@pytest.mark.parametrize("error", [*_PASSING, *_LASTING], ids=repr)
async def test_an_error_is_the_same_behind_a_call_and_a_pickle(error: Exception) -> None:
    """What an object's method raised is told apart by its caller as if it were the binding's."""

    class Raising(DurableObject):
        async def work(self) -> None:
            raise error

    raising = object.__new__(Raising)
    with pytest.raises(type(error)) as raised:
        unpack_answer(await answer_call(raising, '["work",[]]'))
    again = [remote_copy(error), raised.value]
    if not isinstance(error, RemoteError):
        again.append(pickle.loads(pickle.dumps(error)))
    for one in again:
        assert (type(one), str(one)) == (type(error), str(error))
        assert passes(one) is passes(error) is (error in _PASSING)


@pytest.mark.parametrize("error", [*_PASSING, *_LASTING], ids=repr)
async def test_what_passes_is_503_and_what_does_not_is_500(
    tmp_path: Path, error: Exception
) -> None:
    """One place says so for every door; the answer tells nothing of the store."""

    async def broken(request: Request, caller: Caller, env: Env) -> Response:
        raise error

    async with running_host(tmp_path / "state", [Route("GET", "/broken", broken, ANYONE)]) as host:
        answer = await host.get("/broken")
    if error in _PASSING:
        assert_problem(answer, 503, "storage_unavailable")
        assert answer.headers["Retry-After"] == "2"
    else:
        assert_problem(answer, 500, "internal_error")
        assert "Retry-After" not in answer.headers
    assert str(error).encode() not in answer.body


async def test_no_door_answers_500_while_objects_are_reset(tmp_path: Path) -> None:
    """Every commit of an object fails: doors that need one say 503 with Retry-After."""
    async with _resetting(tmp_path / "state") as host:
        scopes = {route.who.scope for route in ROUTES if route.who.scope}
        asker = host.bearer(*scopes, "profiles:read")
        answers = {
            (route.method, route.path): await host.ask(
                route.method, _filled(route.path), json={}, headers=asker
            )
            for route in ROUTES
            if route.method != "DELETE"
        }
        stored = await host.send_profiles(line(), headers={"Idempotency-Key": "k"})
        signed_up = await host.ask(
            "POST", "/v1/users", json={"username": "somebody", "password": "long enough 1!"}
        )
        answers |= {("import", ""): stored, ("sign up", ""): signed_up}
    for door, answer in answers.items():
        assert answer.status != 500, door
        if answer.status == 503 and answer.json()["error"] == "storage_unavailable":
            assert answer.headers["Retry-After"] == "2", door
    assert_problem(stored, 503, "storage_unavailable")


def _filled(path: str) -> str:
    return path.replace("{", "").replace("}", "") + "?id=imp_20261121080000_a1b2c3"


def _resetting(state: Path) -> AbstractAsyncContextManager[RunningHost]:
    """A host whose dice always fall on the fault."""
    tools = HostTools(now=Clock(), random_bytes=bytes)
    return running_host(state, tools=tools, FAULTS="object-reset")
