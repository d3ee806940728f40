"""The benchmarks of KV on Redis: a profile by id, and the import, each beside its reference."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import edgekeep_server, servers
from benchmarks.doors import ITEM, STORED
from benchmarks.figures import Figure
from benchmarks.load import alternate
from benchmarks.plan import Plan
from benchmarks.profiles_file import profile_id, write_file
from tests.support.redis_server import RedisServer


@contextmanager
def redis(directory: Path) -> Iterator[RedisServer]:
    """Run a redis-server that writes its append-only file below `directory`, as users should."""
    folder = directory / "redis"
    folder.mkdir()
    server = RedisServer(folder, "--save", "", "--appendonly", "yes")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def redis_profile_get(plan: Plan) -> list[Figure]:
    """GET a profile by id out of Redis, beside the bare handler with the same bytes."""
    with servers.scratch() as directory, redis(directory) as store:
        state = directory / "state"
        source = directory / "profiles.ndjson"
        write_file(source, STORED)
        with edgekeep_server.dev(directory, state, EDGEKEEP_KV=store.url) as ours:
            edgekeep_server.import_file(ours, edgekeep_server.token(state), source)
            body = edgekeep_server.fetch(ours.port, f"/api/profiles/item?id={profile_id(0)}")
            bare = servers.bare(directory, body, uvloop=edgekeep_server.host_uses_uvloop())
            with bare as plain:
                rounds = alternate(
                    {"bare": (plain, ITEM), "ours": (ours, ITEM)},
                    seconds=plan.seconds,
                    rounds=plan.rounds,
                    warm_up=plan.warm_up,
                )
    return [
        Figure(
            benchmark="redis_profile_get",
            what="GET profile by id, KV on Redis",
            ours=rounds.median("ours"),
            unit="requests/s",
            target=0.5,
            reference=rounds.median("bare"),
            against="bare aiohttp handler",
            ratio=rounds.ratio("ours", "bare"),
            note=(
                f"p99 {rounds.p99_ms('ours'):.1f} ms, bare {rounds.p99_ms('bare'):.1f} ms; CPU "
                f"{rounds.cpu_us('ours'):.0f} µs (without Redis'), {rounds.cpu_us('bare'):.0f} µs "
                "a request"
            ),
        )
    ]


def redis_import(plan: Plan) -> list[Figure]:
    """Rows per second of an import into Redis, beside the same into the embedded store."""
    with servers.scratch() as directory, redis(directory) as store:
        source = directory / "profiles.ndjson"
        write_file(source, plan.import_rows)
        embedded, ours = [], []
        for turn in range(plan.rounds):
            embedded.append(_rate(source, directory, directory / f"embedded-{turn}"))
            # A prefix of its own makes the namespaces empty ones.
            url = f"{store.url}?prefix=turn-{turn}"
            ours.append(_rate(source, directory, directory / f"redis-{turn}", EDGEKEEP_KV=url))
    return [
        Figure(
            benchmark="redis_import",
            what=f"import of {plan.import_rows:,} profiles of 1 KB, KV on Redis",
            ours=statistics.median(ours),
            unit="rows/s",
            target=0.5,
            reference=statistics.median(embedded),
            against="the same import, embedded KV",
            ratio=statistics.median(one / two for one, two in zip(ours, embedded, strict=True)),
        )
    ]


def _rate(source: Path, directory: Path, state: Path, **variables: str) -> float:
    """Import into a fresh state, after a small import that warms the server up."""
    small = directory / "small.ndjson"
    write_file(small, 500)
    rows = sum(1 for _ in source.open("rb"))
    with edgekeep_server.dev(directory, state, **variables) as server:
        bearer = edgekeep_server.token(state)
        edgekeep_server.import_file(server, bearer, small)
        return rows / edgekeep_server.import_file(server, bearer, source).seconds
