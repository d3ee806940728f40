"""
How long a connection may keep this host waiting, and how many there may be.

A connection waits for a head, or has a request under way. For its first head it gets HEAD_SECONDS,
for each later one IDLE_SECONDS from the last answer on, however slowly bytes trickle in. A body has
deadlines of its own (`host_http`). An answer must move: who takes nothing of it for BODY_SECONDS is
dropped. A WebSocket is a request under way; its heartbeat looks after it (`host_sockets`).

One address may have CONNECTIONS_PER_ADDRESS, all together as many as half of the files that this
process may have open, for the other half is the stores'. When there are as many, whoever has waited
longest for a head makes room; when all have a request under way, the new one is refused. Proxies of
ours, and who is spared by the rate limits, count among all only.
"""

import asyncio
import resource
from typing import Final

from aiohttp import web

from worker.entry.client_address import TrustedProxies
from worker.env import Env
from worker.errors import Busy, Problem, RateLimited
from worker.limiter.counting import address_key, spared

# More open files than this no host of ours needs; some systems refuse to be asked for more.
_MOST_FILES: Final = 65_536


def raise_file_limit() -> None:
    """Let this process open as many files as the system allows it (often 256 or 1024 before)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            # macOS has a bound that getrlimit does not tell; what there was is what there is.
            return


def file_limit() -> int:
    """Return how many files this process may have open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST_FILES if soft == resource.RLIM_INFINITY else min(soft, _MOST_FILES)


class _Crowd:
    """Connections under one bound: those of an address, or all."""

    __slots__ = ("_most", "_told", "name", "number", "waiting")

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self._most = most
        self._told = False
        self.number = 0
        # Who waits for a head, the longest first.
        self.waiting: dict[Line, None] = {}

    def make_room(self, env: Env) -> bool:
        """Whether one more may come, if need be after the one that has waited longest."""
        if self.number < self._most:
            self._told = self._told and self.number > self._most // 2
            return True
        if not self._told:
            # Once, not for each of a flood.
            self._told = True
            env.log.event("warning", "connections_crowded", of=self.name, most=self._most)
        longest = next(iter(self.waiting), None)
        if longest is None:
            return False
        longest.drop()
        return True


class Switchboard:
    """The connections of one host."""

    def __init__(self, env: Env, files: int) -> None:
        settings = env.settings
        self.env = env
        self.head = settings.head_seconds
        self.idle = settings.idle_seconds
        self.body = settings.body_seconds
        self._proxies = TrustedProxies.of(settings.trusted_proxies)
        most = max(files // 2, 1)
        self._all = _Crowd("all", most)
        self._per_address = min(settings.connections_per_address, most)
        self._by_address: dict[str, _Crowd] = {}

    def connect(self, line: "Line", peer: str) -> Problem | None:
        """Take *line* in, or return why not."""
        crowds = [self._all]
        if (own := self._crowd_of(peer)) is not None:
            if not own.make_room(self.env):
                return RateLimited("This address has too many connections.")
            crowds.append(own)
        if not self._all.make_room(self.env):
            return Busy("There are too many connections.")
        if own is not None:
            self._by_address[own.name] = own
        line.enter(crowds)
        return None

    def _crowd_of(self, peer: str) -> _Crowd | None:
        trusted = self._proxies is not None and self._proxies.trusts(peer)
        if trusted or spared(self.env.settings, peer):
            return None
        key = address_key(peer)
        return self._by_address.get(key) or _Crowd(key, self._per_address)

    def left(self, crowd: _Crowd) -> None:
        """Forget an address that has no connection any more."""
        if not crowd.number:
            self._by_address.pop(crowd.name, None)


class Line:
    """One connection: what it does, since when, and to which crowds it belongs."""

    __slots__ = (
        *("_asked", "_crowds", "_board", "_loop", "_moved", "_request", "_since", "_timer"),
        "_transport",
    )

    def __init__(self, board: Switchboard, transport: asyncio.Transport) -> None:
        self._board = board
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._crowds: list[_Crowd] = []
        self._request: web.BaseRequest | None = None
        self._asked = False
        self._since = 0.0
        self._moved = (0, 0)
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, crowds: list[_Crowd]) -> None:
        """Begin to wait for a head."""
        self._crowds = crowds
        for crowd in crowds:
            crowd.number += 1
            crowd.waiting[self] = None
        self._since = self._loop.time()
        self._look()

    def began(self, request: web.BaseRequest) -> None:
        """Note that a head has come."""
        self._request = request
        self._asked = True
        for crowd in self._crowds:
            crowd.waiting.pop(self, None)

    def ended(self) -> None:
        """Note that the request is answered, but for what is still on its way out."""
        self._request = None
        self._since = self._loop.time()
        self._moved = (0, 0)
        for crowd in self._crowds:
            crowd.waiting[self] = None

    def leave(self) -> None:
        """Count no more; done again, it changes nothing."""
        crowds, self._crowds = self._crowds, []
        for crowd in crowds:
            crowd.number -= 1
            crowd.waiting.pop(self, None)
            self._board.left(crowd)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def drop(self) -> None:
        """Close the connection, without waiting for a reader who does not read."""
        self.leave()
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    def _look(self) -> None:
        """Drop a connection that has kept us waiting, or look again later."""
        board, request, now = self._board, self._request, self._loop.time()
        unsent = self._transport.get_write_buffer_size()
        moved = (0 if request is None else request.writer.output_size, unsent)
        # With nothing to send, a request under way waits for us or has a deadline for its body.
        if moved != self._moved if unsent else request is not None:
            self._moved, self._since = moved, now
        still = unsent or request is not None
        until = self._since + (board.body if still else board.idle if self._asked else board.head)
        if now < until:
            # What it does may change meanwhile: never later than the shortest deadline.
            until = min(until, now + min(board.head, board.idle, board.body))
            self._timer = self._loop.call_at(until, self._look)
            return
        if still or not self._asked:
            waited_for = "reader" if still else "head"
            board.env.log.event("info", "connection_timed_out", waited_for=waited_for)
        self.drop()
