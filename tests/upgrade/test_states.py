"""
A state of each schema version opens whole.

states/NNNN was made by the last version whose newest migration was NNNN, through its doors; that
host was ended by kill -9, so its logs are there too.
"""

import json
import tarfile
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.relay import JSON, JsonPeer
from tests.support.running_host import RunningHost, running_host
from worker.entry.host_tools import HostTools

STATES = sorted((Path(__file__).parent / "states").iterdir())


@pytest.fixture(params=STATES, ids=[each.name for each in STATES])
async def old(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[RunningHost, dict[str, Any]]]:
    """A host of today over a state of then, a minute later; and what its people hold."""
    held = json.loads((request.param / "held.json").read_text())
    state = tmp_path / "state"
    with tarfile.open(request.param / "state.tar.xz") as file:
        file.extractall(state, filter="data")
    clock = Clock()
    clock.forward(held["made_at"] + 60 - time.time())
    async with running_host(state, tools=HostTools(now=clock)) as host:
        yield host, held


async def _token(host: RunningHost, refresh_token: str, audience: str) -> dict[str, str]:
    """Go on with a session of then; return the header of a token for *audience*."""
    answer = await host.ask("POST", "/v1/sessions/refresh", json={"refresh_token": refresh_token})
    assert answer.status == 200, answer.body
    bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
    other = await host.ask("POST", "/v1/tokens", json={"audience": audience}, headers=bearer)
    assert other.status in (200, 201), other.body
    return {"Authorization": f"Bearer {other.json()['token']}"}


async def test_sessions_passwords_and_backups_hold(
    old: tuple[RunningHost, dict[str, Any]],
) -> None:
    """Who was signed in still is, a password signs in, and each backup is as it was stored."""
    host, held = old
    for name in ("ada", "bob"):
        person = held[name]
        bearer = await _token(host, person["refresh_token"], "backup")
        backup = await host.get("/v1/backup", headers=bearer)
        assert (backup.body.decode(), backup.headers["ETag"]) == (person["backup"], person["etag"])
        body = {"username": name, "password": person["password"]}
        again = await host.ask("POST", "/v1/sessions", json=body)
        assert again.json()["account_id"] == person["account_id"]


async def test_keys_and_waiting_messages_hold(old: tuple[RunningHost, dict[str, Any]]) -> None:
    """As many keys wait, none that was taken comes again, and what waits arrives in order."""
    host, held = old
    bob = await _token(host, held["bob"]["refresh_token"], "relay")
    ada = await _token(host, held["ada"]["refresh_token"], "relay")
    count = (await host.get("/v1/keys/count", headers=bob)).json()
    assert count["one_time_pre_keys"] == held["keys_left"]
    taken = set()
    for _ in range(held["keys_left"]):
        bundle = (await host.get("/v1/keys/bob", headers=ada)).json()
        assert bundle["identity_key"] == held["identity_key"]
        taken.add(bundle["one_time_pre_key"]["key"])
    assert len(taken) == held["keys_left"]
    assert held["taken_key"] not in taken
    url = f"{host.url}/ws"
    peer = JsonPeer(await host.session.ws_connect(url, protocols=[JSON], headers=bob))
    await peer.say({"seq": 1, "fetch": {}})
    told = []
    while "fetched" not in (frame := await peer.hear()):
        if "message" in frame:
            told.append(frame["message"])
    assert [b64decode(one["ciphertext"]).decode() for one in told] == held["messages"]
    assert {one["sender_name"] for one in told} == {"ada"}
    await peer.ws.close()


async def test_profiles_and_the_report_hold(old: tuple[RunningHost, dict[str, Any]]) -> None:
    """What was imported is there, counted and shown; its report tells what was stored."""
    host, held = old
    stored = held["import"]["profiles_stored"]
    assert len(await host.stored()) == stored
    assert (await host.get("/api/profiles/count")).json()["total"] == stored
    asked = f"/api/profiles/import/report?id={held['import']['import_id']}"
    report = (await host.get(asked, headers=host.bearer("profiles:audit"))).json()
    assert report["profiles_stored"] == stored
