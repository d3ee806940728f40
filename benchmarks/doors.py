"""The benchmarks of single HTTP doors: profile by id, D1 point query, KV write, object counter."""

from __future__ import annotations

from pathlib import Path

from benchmarks import edgekeep_server, servers
from benchmarks.figures import Figure
from benchmarks.load import Door, Rounds, alternate
from benchmarks.plan import Plan
from benchmarks.profiles_file import lines, profile_id, write_file
from benchmarks.servers import Server

STORED = 1000
KEY_FORMAT = "usr_%08d"
ITEM = Door("/api/profiles/item?id={key}", keys=STORED, key_format=KEY_FORMAT)
ROW = Door("/bench/d1?id={key}", keys=STORED, key_format=KEY_FORMAT)
COUNTER = Door("/bench/counter", method="POST")
WRITTEN_KEYS = 5000


def _measure(plan: Plan, doors: dict[str, tuple[Server, Door]]) -> Rounds:
    return alternate(doors, seconds=plan.seconds, rounds=plan.rounds, warm_up=plan.warm_up)


def _figure(name: str, what: str, rounds: Rounds, against: str, target: float) -> Figure:
    other = {"bare": "bare aiohttp handler", "miniflare": "miniflare 4"}[against]
    return Figure(
        benchmark=name,
        what=what,
        ours=rounds.median("ours"),
        unit="requests/s",
        target=target,
        reference=rounds.median(against),
        against=other,
        ratio=rounds.ratio("ours", against),
        note=(
            f"p99 {rounds.p99_ms('ours'):.1f} ms, {other} {rounds.p99_ms(against):.1f} ms; "
            f"CPU {rounds.cpu_us('ours'):.0f} µs, {rounds.cpu_us(against):.0f} µs a request"
        ),
    )


def profile_get(plan: Plan) -> list[Figure]:
    """GET a profile by id beside the bare handler with the same bytes and miniflare's KV."""
    with servers.scratch() as directory:
        state = directory / "state"
        source = directory / "profiles.ndjson"
        write_file(source, STORED)
        stored = [
            ("PUT", f"/bench/kv?key=profile:{profile_id(number)}", line.encode())
            for number, line in enumerate(lines(STORED))
        ]
        with edgekeep_server.dev(directory, state) as ours:
            edgekeep_server.import_file(ours, edgekeep_server.token(state), source)
            body = edgekeep_server.fetch(ours.port, f"/api/profiles/item?id={profile_id(0)}")
            bare = servers.bare(directory, body, uvloop=edgekeep_server.host_uses_uvloop())
            with bare as plain, servers.miniflare(directory) as twin:
                edgekeep_server.send(twin.port, stored)
                doors = {"bare": (plain, ITEM), "ours": (ours, ITEM), "miniflare": (twin, ITEM)}
                rounds = _measure(plan, doors)
    what = "GET profile by id"
    return [
        _figure("profile_get", what, rounds, "bare", 0.6),
        _figure("profile_get", what, rounds, "miniflare", 6),
    ]


def d1_point_query(plan: Plan) -> list[Figure]:
    """SELECT one row of D1 by its primary key, beside the bare handler with the same bytes."""
    rows = [
        ("PUT", f"/bench/d1?id={profile_id(number)}", line.encode())
        for number, line in enumerate(lines(STORED))
    ]
    with (
        servers.scratch() as directory,
        edgekeep_server.with_doors(directory, directory / "state") as ours,
        servers.miniflare(directory) as twin,
    ):
        edgekeep_server.send(ours.port, rows)
        edgekeep_server.send(twin.port, rows)
        body = edgekeep_server.fetch(ours.port, f"/bench/d1?id={profile_id(0)}")
        with servers.bare(directory, body, uvloop=edgekeep_server.host_uses_uvloop()) as plain:
            doors = {"bare": (plain, ITEM), "ours": (ours, ROW), "miniflare": (twin, ROW)}
            rounds = _measure(plan, doors)
    return [_figure("d1_point_query", "D1 point query over HTTP", rounds, "bare", 0.5)]


def kv_write(plan: Plan) -> list[Figure]:
    """PUT 1 KB into KV under changing keys, each durable when it is answered."""
    with servers.scratch() as directory:
        value = directory / "value"
        value.write_bytes(next(lines(1)).encode())
        door = _write_door(value)
        with (
            edgekeep_server.with_doors(directory, directory / "state") as ours,
            servers.miniflare(directory) as twin,
        ):
            rounds = _measure(plan, {"ours": (ours, door), "miniflare": (twin, door)})
    return [_figure("kv_write", "KV write of 1 KB over HTTP", rounds, "miniflare", 6)]


def _write_door(value: Path) -> Door:
    return Door("/bench/kv?key=k{key}", method="PUT", keys=WRITTEN_KEYS, body=value)


def object_counter(plan: Plan) -> list[Figure]:
    """Read, add one and write in one Durable Object, durable when it is answered."""
    with (
        servers.scratch() as directory,
        edgekeep_server.with_doors(directory, directory / "state") as ours,
        servers.miniflare(directory) as twin,
    ):
        rounds = _measure(plan, {"ours": (ours, COUNTER), "miniflare": (twin, COUNTER)})
    return [_figure("object_counter", "Durable Object counter over HTTP", rounds, "miniflare", 3)]
