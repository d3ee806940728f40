"""Profile acceptance in real workerd: the seed's journey over HTTP, profiles in KV and in D1."""

import gzip
import itertools
import json
import secrets

from tests.edge.edge_host import EdgeHost
from tests.slices.test_profiles_read import walk
from tests.support.problems import assert_problem
from tests.support.profiles import ids, line, many, ndjson, profile

_GZIP = {"Content-Type": "application/gzip"}


def _id() -> str:
    return f"imp_20261121080000_{secrets.token_hex(8)}"


async def test_500_profiles_are_imported_and_read_back(either: EdgeHost) -> None:
    """Import 500 lines: 200, counted, listed over several cursors, exported, each readable."""
    answer = await either.send_profiles(many(500))

    assert answer.status == 200, answer.body
    told = answer.json()
    assert (told["lines_total"], told["lines_valid"], told["profiles_stored"]) == (500, 500, 500)
    assert await either.total() == 500
    pages = await walk(either, 120)
    assert len(pages) == 5
    assert list(itertools.chain(*pages)) == ids(500)
    assert [one["profile_id"] for one in await either.stored()] == ids(500)
    item = await either.get(
        "/api/profiles/item?id=usr_000007", headers=either.bearer("profiles:read")
    )
    assert item.json() == profile("usr_000007")


async def test_bad_lines_are_named_and_the_good_ones_stored(either: EdgeHost) -> None:
    """207: two of four lines are refused, each with its number, path and rule."""
    body = ndjson(
        [line("usr_aaaaaa"), b"{nonsense", line("usr_bbbbbb", age=-1), line("usr_cccccc")]
    )

    answer = await either.send_profiles(body)

    assert answer.status == 207, answer.body
    told = answer.json()
    assert (told["lines_valid"], told["lines_invalid"], told["profiles_stored"]) == (2, 2, 2)
    assert [error["line_no"] for error in told["errors_sample"]] == [2, 3]
    assert await either.total() == 2


async def test_nothing_good_is_refused_and_atomic_stores_nothing(either: EdgeHost) -> None:
    """422 when no line is valid, and in atomic mode when one is not; nothing is stored."""
    refused = await either.send_profiles(b"{}\n")
    atomic = await either.send_profiles(ndjson([line(), b"{}"]), "?mode=atomic")

    assert (refused.status, atomic.status) == (422, 422)
    assert await either.total() == 0


async def test_an_atomic_import_of_good_lines_is_stored_at_the_end(either: EdgeHost) -> None:
    """Staged in the room's SQL storage, then stored as a whole."""
    answer = await either.send_profiles(many(300), "?mode=atomic")

    assert answer.status == 200, answer.body
    assert await either.total() == 300


async def test_gzip_is_unfolded(either: EdgeHost) -> None:
    """A compressed body counts as what it unfolds to."""
    answer = await either.send_profiles(gzip.compress(many(20)), headers=_GZIP)

    assert answer.status == 200, answer.body
    assert answer.json()["profiles_stored"] == 20


async def test_a_key_used_again_gets_the_first_answer(either: EdgeHost) -> None:
    """Same key and body: the kept answer, marked; another body: refused."""
    key = {"Idempotency-Key": secrets.token_hex(8)}

    first = await either.send_profiles(many(3), headers=key)
    again = await either.send_profiles(many(3), headers=key)
    other = await either.send_profiles(many(4), headers=key)

    assert first.status == again.status == 200
    assert again.body == first.body
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert_problem(other, 422, "idempotency_key_reused")


async def test_a_report_is_kept(either: EdgeHost) -> None:
    """The report of a finished import says what its answer said; an unknown one is not found."""
    import_id = _id()
    answer = await either.send_profiles(ndjson([line(), b"{}"]), f"?id={import_id}")

    report = await either.report(import_id)

    assert answer.status == 207
    assert report["import_id"] == import_id
    assert report["lines_invalid"] == 1
    assert report["state"] == "done"
    missing = await either.get(
        f"/api/profiles/import/report?id={_id()}", headers=either.bearer("profiles:import")
    )
    assert_problem(missing, 404, "not_found")


async def test_a_long_body_streams_through(host: EdgeHost) -> None:
    """Long lines: the body comes in many chunks and the export in many pieces."""
    biography = "lorem " * 130
    lines = [line(profile_id, biography=biography) for profile_id in ids(300)]

    answer = await host.send_profiles(ndjson(lines))

    assert answer.status == 200, answer.body
    exported = await host.stored()
    assert [one["profile"]["intent"]["biography"] for one in exported] == [biography] * 300


async def test_refusals_are_problem_documents(host: EdgeHost) -> None:
    """No token 401, wrong scope 403, no such path 404, wrong method 405, HEAD without a body."""
    assert_problem(await host.ask("POST", "/api/profiles/import", data=b"{}"), 401, "unauthorized")
    wrong = await host.ask("POST", "/api/profiles/import", headers=host.bearer("x"))
    assert_problem(wrong, 403, "forbidden")
    assert_problem(await host.get("/nowhere"), 404, "not_found")
    assert_problem(await host.ask("DELETE", "/api/profiles"), 405, "method_not_allowed")
    head = await host.ask("HEAD", "/api/profiles/count")
    assert (head.status, head.body) == (200, b"")


async def test_the_deployment_is_ready(either: EdgeHost) -> None:
    """/healthz and /readyz answer."""
    assert (await either.get("/healthz")).json() == {"ok": True}
    assert json.loads((await either.get("/readyz")).body) == {"ok": True}
