"""The benchmarks of the encrypted backup: how fast 2 MB go up and down, and in how much memory."""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import edgekeep_server, servers
from benchmarks.figures import Figure
from benchmarks.imports import MEGABYTE, Watch
from benchmarks.plan import Plan

SIZE = 2_000_000
LARGE = 100_000_000
PARALLEL = 50
WARM_UPS = 5
_PIECE = 1 << 16


class Client:
    """One keep-alive connection that moves bodies with next to no work of its own."""

    def __init__(self, port: int, token: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._fields = f"Host: localhost\r\nAuthorization: Bearer {token}\r\n"
        self._buffer = memoryview(bytearray(1 << 18))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def begin(self, length: int, version: int | None = None) -> None:
        """Send the head of an upload of *length* bytes over *version*."""
        match = "" if version is None else f"If-Match: {version}\r\n"
        head = f"POST /v1/backup HTTP/1.1\r\n{self._fields}{match}Content-Length: {length}\r\n\r\n"
        self._socket.sendall(head.encode())

    def send(self, data: bytes | memoryview) -> None:
        """Send a part of the body."""
        self._socket.sendall(data)

    def upload(self, body: bytes, version: int | None) -> None:
        """Upload *body*; raise ServerError unless it is stored."""
        self.begin(len(body), version)
        self._socket.sendall(body)
        self.answer()

    def download(self) -> int:
        """Read the backup; return how many bytes it has."""
        self._socket.sendall(f"GET /v1/backup HTTP/1.1\r\n{self._fields}\r\n".encode())
        return self.answer()

    def answer(self) -> int:
        """Read one answer to its end; return the bytes of its body. Raises ServerError."""
        found = b""
        while b"\r\n\r\n" not in found:
            piece = self._socket.recv(_PIECE)
            if not piece:
                raise servers.ServerError("the server closed the connection")
            found += piece
        head, _, rest = found.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        lengths = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")]
        if not lines[0].startswith(b"http/1.1 20"):
            raise servers.ServerError(f"it answered {found[:300]!r}")
        left = lengths[0] - len(rest)
        while left > 0:
            left -= self._socket.recv_into(self._buffer)
        return lengths[0]


def sign_up(port: int, name: str) -> str:
    """Make an account; return its token for backups."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = {"username": name, "password": "tangerine velocity 9", "audience": "backup"}
    fields = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/users", json.dumps(body), fields)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    if answer.status != 201:
        raise servers.ServerError(f"POST /v1/users answered {answer.status}: {told}")
    return str(told["token"])


@contextmanager
def bare(directory: Path, *, sync: bool) -> Iterator[servers.Server]:
    """Run the bare handler before a file, which it syncs or leaves to the system."""
    port = servers.free_port()
    command = [sys.executable, "-m", "benchmarks.reference_file", f"--port={port}"]
    command.append(f"--file={directory / f'bare-{sync}.bin'}")
    if sync:
        command.append("--sync")
    if edgekeep_server.host_uses_uvloop():
        command.append("--uvloop")
    with servers.running(command, port, directory) as server:
        yield server


def backup_transfer(plan: Plan) -> list[Figure]:
    """Upload and download 2 MB in turns with the bare handler; compare the medians."""
    with (
        servers.scratch() as directory,
        edgekeep_server.dev(directory, directory / "state") as ours,
        bare(directory, sync=True) as synced,
        bare(directory, sync=False) as unsynced,
    ):
        clients = {
            "ours": Client(ours.port, sign_up(ours.port, "ada")),
            "synced": Client(synced.port),
            "unsynced": Client(unsynced.port),
        }
        ups, downs = _in_turns(clients, plan)
        for client in clients.values():
            client.close()
    both = {name: _median_sum(ups[name], downs[name]) for name in clients}
    note = ", ".join(
        f"{what} {_ms(found['ours'])} ms (bare {_ms(found['synced'])}, without sync"
        f" {_ms(found['unsynced'])})"
        for what, found in (("up", ups), ("down", downs))
    )
    return [
        Figure(
            "backup_transfer",
            "backup of 2 MB up and down",
            1 / both["ours"],
            "round trips/s",
            0.7,
            reference=1 / both["synced"],
            against="bare aiohttp handler before a file, synced",
            ratio=both["synced"] / both["ours"],
            note=f"{note}; to the bare one without sync {both['unsynced'] / both['ours']:.2f}",
        )
    ]


def _in_turns(
    clients: dict[str, Client], plan: Plan
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the seconds of each upload and of each download, by server."""
    bodies = [os.urandom(SIZE) for _ in range(4)]
    ups: dict[str, list[float]] = {name: [] for name in clients}
    downs: dict[str, list[float]] = {name: [] for name in clients}
    end = time.monotonic() + plan.warm_up + plan.seconds * plan.rounds
    turn = 0
    while time.monotonic() < end or turn < 2 * WARM_UPS:
        for name, client in clients.items():
            version = turn if turn and name == "ours" else None
            up = _timed(partial(client.upload, bodies[turn % len(bodies)], version))
            down = _timed(client.download)
            if turn >= WARM_UPS:
                ups[name].append(up)
                downs[name].append(down)
        turn += 1
    return ups, downs


def _ms(found: list[float]) -> str:
    return f"{statistics.median(found) * 1000:.1f}"


def _timed(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _median_sum(ups: list[float], downs: list[float]) -> float:
    return statistics.median(up + down for up, down in zip(ups, downs, strict=True))


def backup_memory(plan: Plan) -> list[Figure]:
    """Resident memory above idle: fifty uploads of 2 MB at once, and one of 100 MB, up and down."""
    large = LARGE if plan.memory_bytes > LARGE else LARGE // 5
    with servers.scratch() as directory:
        limit = str(LARGE)
        state = directory / "state"
        with edgekeep_server.dev(directory, state, BACKUP_MAX_BYTES=limit) as server:
            tokens = [sign_up(server.port, f"person_{number}") for number in range(PARALLEL)]
            # What the password hashes and a first upload take is not the uploads'.
            first = Client(server.port, sign_up(server.port, "first"))
            first.upload(os.urandom(SIZE), None)
            first.close()
            time.sleep(1)
            many = _highest(server, lambda: _parallel(server.port, tokens))
            alone = _highest(server, lambda: _one(server.port, tokens[0], large))
    return [
        _memory_figure(f"{PARALLEL} parallel uploads of 2 MB", many),
        _memory_figure(f"one backup of {large // MEGABYTE} MB up and down", alone),
    ]


def _memory_figure(what: str, above: float) -> Figure:
    what = f"memory above idle, {what}"
    # The fifty bodies together would be 100 MB, the large one too.
    return Figure("backup_memory", what, above / MEGABYTE, "MB", 80, at_least=False)


def _highest(server: servers.Server, work: Callable[[], None]) -> float:
    idle = server.resident_bytes()
    with Watch(server) as watch:
        work()
    return watch.highest - idle


def _parallel(port: int, tokens: list[str]) -> None:
    """Upload from every account at once, in step: all are under way until the last piece."""
    body = memoryview(os.urandom(SIZE))
    clients = [Client(port, token) for token in tokens]
    for client in clients:
        client.begin(SIZE)
    for start in range(0, SIZE, _PIECE):
        for client in clients:
            client.send(body[start : start + _PIECE])
    for client in clients:
        client.answer()
    for client in clients:
        client.close()


def _one(port: int, token: str, size: int) -> None:
    piece = os.urandom(MEGABYTE)
    client = Client(port, token)
    client.begin(size, 1)
    for _ in range(size // MEGABYTE):
        client.send(piece)
    client.answer()
    if client.download() != size:
        raise servers.ServerError("the large backup came back with another length")
    client.close()
