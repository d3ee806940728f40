"""Fault modes: each fault is met as docs/faults.md tells, and what was acknowledged is kept."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from d1_schema.contract import D1Error
from d1_schema.embedded import open_database
from d1_schema.faults import FaultyDatabase
from kv.checks import KVError
from kv.contract import KVPut
from kv.embedded import open_namespace
from kv.faults import KINDS, ONE_WRITE, SHORT_PAGES, FaultyNamespace
from tests.support.profiles import encode, ndjson, profile
from tests.support.running_host import running_host
from worker.entry.faults import KINDS as ALL_KINDS
from worker.setting_kinds import SettingError


class Clock:
    """A clock that stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The time of a test."""
    return Clock()


@pytest.fixture
async def kv(tmp_path: Path, clock: Clock) -> AsyncIterator[FaultyNamespace]:
    """A namespace with every fault of KV."""
    inner = await open_namespace(tmp_path / "kv.sqlite", clock)
    faulty = FaultyNamespace(inner, KINDS, clock)
    yield faulty
    await faulty.close()


async def test_a_value_that_was_read_stays_for_a_minute(kv: FaultyNamespace, clock: Clock) -> None:
    """kv-stale: a read repeats itself until its minute is over, then tells the news."""
    await kv.put("a", "1")
    assert await kv.get("a") == "1"
    clock.now += 30
    await kv.put("a", "2")
    assert await kv.get("a") == "1"
    assert (await kv.get_many(["a"])) == {"a": "1"}

    clock.now += 30

    assert await kv.get("a") == "2"


async def test_a_miss_stays_too(kv: FaultyNamespace, clock: Clock) -> None:
    """kv-stale: what was missing when it was read first stays missing for a minute."""
    assert await kv.get("a") is None
    await kv.put("a", "1")
    assert await kv.get("a") is None
    clock.now += 60
    assert await kv.get("a") == "1"


async def test_one_write_to_a_key_in_a_second(kv: FaultyNamespace, clock: Clock) -> None:
    """kv-one-write: the second write within a second gets 429 and changes nothing."""
    await kv.put("a", "1")
    await kv.put("b", "1")
    with pytest.raises(KVError, match=r"^KV PUT failed: 429 "):
        await kv.put("a", "2")
    with pytest.raises(KVError, match=r"^KV PUT failed: 429 "):
        await kv.put_many([KVPut("b", "2")])

    assert await kv.get_many(["a", "b"]) == {"a": "1", "b": "1"}
    clock.now += 1
    await kv.put("a", "2")


async def test_short_and_empty_pages_lead_to_every_key(tmp_path: Path, clock: Clock) -> None:
    """kv-short-pages: who loops until list_complete sees each key once; some pages are empty."""
    inner = await open_namespace(tmp_path / "kv.sqlite", clock)
    kv = FaultyNamespace(inner, frozenset({SHORT_PAGES}), clock)
    keys = [f"k{number:03d}" for number in range(50)]
    await kv.put_many([KVPut(key, "") for key in keys])

    seen: list[str] = []
    sizes: list[int] = []
    cursor = None
    while True:
        page = await kv.list(limit=9, cursor=cursor)
        seen += [key.name for key in page.keys]
        sizes.append(len(page.keys))
        if page.list_complete:
            break
        cursor = page.cursor

    assert seen == keys
    assert max(sizes) <= 3
    assert 0 in sizes
    await kv.close()


async def test_only_the_named_faults_are_on(tmp_path: Path, clock: Clock) -> None:
    """A namespace with one fault behaves otherwise."""
    inner = await open_namespace(tmp_path / "kv.sqlite", clock)
    kv = FaultyNamespace(inner, frozenset({ONE_WRITE}), clock)
    await kv.put("a", "1")
    assert await kv.get("a") == "1"
    clock.now += 1
    await kv.put("a", "2")
    assert await kv.get("a") == "2"
    await kv.close()


async def test_an_overloaded_database_did_nothing(tmp_path: Path) -> None:
    """d1-overload: a refused call left no trace, the next one works."""
    throws = iter([0.5, 0.05, 0.5])
    db = FaultyDatabase(await open_database(tmp_path / "d1.sqlite"), lambda: next(throws))
    await db.prepare("CREATE TABLE t (a)").run()
    with pytest.raises(D1Error, match="overloaded"):
        await db.prepare("INSERT INTO t VALUES (1)").run()
    assert await db.prepare("SELECT count(*) AS n FROM t").first("n") == 0
    await db.close()


async def test_an_import_works_on_stores_that_behave_badly(tmp_path: Path) -> None:
    """
    With every fault of KV, an import stores all its lines, its report is found, the list is whole.

    The import asks KV nothing that must be fresh: the room and the box know.
    """
    documents = [profile(f"usr_fault{number:03d}") for number in range(120)]
    body = ndjson(map(encode, documents))
    kinds = ",".join(sorted(KINDS))
    async with running_host(tmp_path / "state", FAULTS=kinds) as host:
        missing = "/api/profiles/import/report?id=imp_20260101000000_abcdef"
        read = host.bearer("profiles:import")
        assert (await host.get(missing, headers=read)).status == 404

        answer = await host.send_profiles(
            body, "?id=imp_20260101000000_abcdef", headers={"Idempotency-Key": "k"}
        )
        again = await host.send_profiles(body, headers={"Idempotency-Key": "k"})

        assert answer.status == 200, answer.body
        assert again.body == answer.body
        assert (await host.report("imp_20260101000000_abcdef"))["state"] == "done"
        assert await host.total() == len(documents)
        assert len(await host.stored()) == len(documents)


async def test_an_overload_is_told_as_503_and_a_retry_completes(tmp_path: Path) -> None:
    """With d1-overload imports fail honestly now and then, and repeating them completes them."""
    documents = [profile(f"usr_over{number:04d}") for number in range(1200)]
    body = ndjson(map(encode, documents))
    async with running_host(tmp_path / "state", FAULTS="d1-overload", PROFILE_STORE="d1") as host:
        statuses = set()
        for _ in range(60):
            answer = await host.send_profiles(body, headers={"Idempotency-Key": "k"})
            statuses.add(answer.status)
            if answer.status == 200:
                break
            assert answer.status == 503
            assert answer.json()["error"] == "storage_unavailable"
        assert 200 in statuses


@pytest.mark.parametrize(
    ("faults", "environment", "told"),
    [("kv-rot", "development", "FAULTS names kv-rot"), ("kv-stale", "production", "production")],
)
async def test_unknown_faults_and_production_are_refused(
    tmp_path: Path, faults: str, environment: str, told: str
) -> None:
    """A start with a fault that does not exist, or in production, says so."""
    with pytest.raises(SettingError, match=told):
        async with running_host(tmp_path / "state", FAULTS=faults, ENVIRONMENT=environment):
            pass


def test_every_fault_is_documented() -> None:
    """docs/faults.md has a row for each fault."""
    text = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
    assert {kind for kind in ALL_KINDS if f"| `{kind}` |" in text} == ALL_KINDS
