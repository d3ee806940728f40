"""Ids at the end of what stores take: the schemas promise what KV and D1 both hold."""

import json
from pathlib import Path

import pytest

from d1_schema.schemas import load_schema
from tests.support.profiles import line, ndjson, profile
from tests.support.running_host import RunningHost, running_host
from worker.profiles.model import VERSIONS
from worker.profiles.store.profiles import LONGEST_ID

_LONGEST = "usr_" + "a" * (LONGEST_ID - 4)
_QUERIES = ("", "?mode=atomic")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_promise_what_kv_takes(version: str) -> None:
    """The longest valid id is the longest that has room in a key."""
    assert load_schema(version)["properties"]["profile_id"]["maxLength"] == LONGEST_ID == 504


@pytest.mark.parametrize("query", _QUERIES)
async def test_the_longest_id_is_stored_and_found(either: RunningHost, query: str) -> None:
    """504 characters pass every door."""
    answer = await either.send_profiles(line(_LONGEST), query)
    assert answer.status == 200, answer.body
    item = await either.get(f"/api/profiles/item?id={_LONGEST}")
    assert (item.status, item.json()["profile_id"]) == (200, _LONGEST)
    assert await either.stored() == [profile(_LONGEST)]


async def test_a_longer_id_is_the_fault_of_its_line(
    either: RunningHost, subtests: pytest.Subtests
) -> None:
    """One character more, or a whole line of them: 422 for that line, the others are stored."""
    for more in (1, 2, 9, 70_000):
        with subtests.test(more):
            body = ndjson([line("usr_before"), line(_LONGEST + "a" * more), line("usr_behind")])
            answer = await either.send_profiles(body)
            assert answer.status == 207, answer.body
            [error] = answer.json()["errors_sample"]
            assert (error["line_no"], error["status"]) == (2, 422)
            assert (error["path"], error["error_code"]) == ("$.profile_id", "max_length")
            assert await either.total() == 2


async def test_a_longer_id_refuses_an_atomic_import_and_gives_its_key_an_answer(
    either: RunningHost,
) -> None:
    """Nothing waits for a commit that can never end."""
    key = {"Idempotency-Key": "long"}
    body = ndjson([line(), line(_LONGEST + "a")])
    refused = await either.send_profiles(body, "?mode=atomic", headers=key)
    assert refused.status == 422
    assert (await either.report(refused.json()["import_id"]))["state"] == "refused"
    again = await either.send_profiles(body, "?mode=atomic", headers=key)
    assert (again.status, again.headers["Idempotent-Replayed"]) == (422, "true")
    assert await either.total() == 0


async def test_nobody_has_an_id_that_no_store_takes(either: RunningHost) -> None:
    """The item door looks and finds nothing: 404, never a 500."""
    for more in (1, 100, 5000):
        answer = await either.get(f"/api/profiles/item?id={_LONGEST}{'a' * more}")
        assert answer.status == 404, answer.body


async def test_a_longer_id_of_before_is_still_read_in_d1(tmp_path: Path) -> None:
    """Rows that an earlier version took stay what they are."""
    old = profile(_LONGEST + "a")
    insert = "INSERT INTO profiles VALUES (?, ?, ?, ?, 0, 'imp')"
    values = (old["profile_id"], old["schema_version"], json.dumps(old), old["created_at"])
    async with running_host(tmp_path / "state", PROFILE_STORE="d1") as d1_host:
        await d1_host.env.db.prepare(insert).bind(*values).run()
        item = await d1_host.get(f"/api/profiles/item?id={old['profile_id']}")
    assert (item.status, item.json()["profile_id"]) == (200, old["profile_id"])
