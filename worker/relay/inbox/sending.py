"""
What an account's sockets send: recipients are looked up, messages of one turn travel together.

Frames that arrive in one turn of the loop become one call of each recipient's inbox, so one
transaction there; while it is under way the next ones gather. Every sender hears the outcomes in
the order of its frames.
"""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from worker.env import Env
from worker.identity.usernames import account_named, name_key
from worker.limiter.counting import step_bucket
from worker.limits import MIB, RELAY_SEND
from worker.quotas import has_room
from worker.relay.inbox.listeners import Listener
from worker.relay.inbox.model import ID_BYTES, RELAY_NAME_MS, Event, Refused, Send, Sent
from worker.relay.inbox.store import REPEATABLE

RELAY_CLIENT_ID_CHARS = 100
# What one sender may have under way.
RELAY_BATCH_MESSAGES = 256
RELAY_BATCH_BYTES = 1 * MIB
# How long a sender's inbox goes by a name that nobody has, and how many names it remembers.
RELAY_UNKNOWN_MS = 2 * 1000
RELAY_NAMES = 256

_UNAVAILABLE = Refused("unavailable", "It could not be stored; send it again.", 1000)
_FULL = Refused("storage_full", "The disk of this deployment is full.")
_UNKNOWN = Refused("unknown_recipient", "Nobody here has this name.")
_CONFLICT = Refused("conflict", "Another message was accepted under this client_id.")


class _Frame(NamedTuple):
    """One frame: who waits for which answer, and where in the batch its message is."""

    listener: Listener
    seq: int
    recipient: str
    position: int
    refused: Refused | None = None


class _Bodies:
    """The messages of a batch for one recipient."""

    __slots__ = ("bodies", "ids")

    def __init__(self) -> None:
        self.ids: list[bytes] = []
        self.bodies: list[bytes] = []


class Sending:
    """The sending half of an inbox. *start* runs work that outlives the event that began it."""

    def __init__(self, env: Env, account_id: str, start: Callable[[Any], None]) -> None:
        self._env = env
        self._account_id = account_id
        self._start = start
        self._name = ""
        self._dice = b""
        self._names: dict[str, tuple[str | None, int]] = {}
        self._frames: list[_Frame] = []
        self._batches: dict[str, _Bodies] = {}
        self._bytes = 0
        self._is_running = False
        self._room: asyncio.Event | None = None
        self._full_at = 0.0

    async def take(self, listener: Listener, seq: int, send: Send, now_ms: int) -> None:
        """Check one frame and put it into the next batch; returns when there is room for more."""
        refused = self._refused(listener, send, now_ms)
        if refused is None:
            recipient = await self._recipient(send.to, now_ms)
            if recipient is None:
                refused = _UNKNOWN
            else:
                self._add(listener, seq, recipient, send)
        if refused is not None:
            self.answer(listener, seq, refused)
        if self._bytes > RELAY_BATCH_BYTES or len(self._frames) >= RELAY_BATCH_MESSAGES:
            await self._wait_for_room()

    def answer(self, listener: Listener, seq: int, refused: Refused) -> None:
        """Refuse a frame, after the answers to those before it."""
        if self._is_running:
            self._frames.append(_Frame(listener, seq, "", 0, refused))
        else:
            listener.tell(seq, refused)

    def _refused(self, listener: Listener, send: Send, now_ms: int) -> Refused | None:
        if not send.ciphertext:
            return Refused("empty", "A message has at least one byte.")
        if len(send.ciphertext) > self._env.settings.relay_max_bytes:
            most = self._env.settings.relay_max_bytes
            return Refused("too_large", f"A message may have at most {most} bytes.")
        if len(send.client_id) > RELAY_CLIENT_ID_CHARS:
            most = RELAY_CLIENT_ID_CHARS
            return Refused("bad_frame", f"client_id has at most {most} characters.")
        if not listener.kept["spared"]:
            # All sockets of the account send from here, so counting here counts them all.
            wait, self._full_at = step_bucket(RELAY_SEND, self._full_at, now_ms / 1000)
            if wait:
                return Refused("rate_limited", "Too many messages.", int(wait * 1000) + 1)
        return None

    async def _recipient(self, to: str, now_ms: int) -> str | None:
        found = self._names.get(to)
        if found is None or found[1] <= now_ms:
            # Remembered by the one short spelling: what nobody can be called takes no memory.
            key = name_key(to)
            if key is None:
                return None
            found = self._names.get(key)
            if found is None or found[1] <= now_ms:
                found = await self._look_up(key, now_ms)
        return found[0]

    async def _look_up(self, key: str, now_ms: int) -> tuple[str | None, int]:
        account_id = await account_named(self._env, key)
        if len(self._names) >= RELAY_NAMES:
            self._names.clear()
        until = now_ms + (RELAY_UNKNOWN_MS if account_id is None else RELAY_NAME_MS)
        found = self._names[key] = (account_id, until)
        return found

    def _add(self, listener: Listener, seq: int, recipient: str, send: Send) -> None:
        batch = self._batches.get(recipient)
        if batch is None:
            batch = self._batches[recipient] = _Bodies()
        self._frames.append(_Frame(listener, seq, recipient, len(batch.ids)))
        batch.ids.append(self._id_of(recipient, send.client_id))
        batch.bodies.append(send.ciphertext)
        self._bytes += len(send.ciphertext)
        self._name = listener.kept["name"]
        if not self._is_running:
            self._is_running = True
            self._start(self._run())

    def _id_of(self, recipient: str, client_id: str) -> bytes:
        """
        Return a new id; with a *client_id* always the same one, also after years.

        So a repeat is recognised as long as the inbox remembers, and by the recipient for ever.
        """
        if not client_id:
            if len(self._dice) < ID_BYTES:
                self._dice = self._env.tools.random_bytes(64 * ID_BYTES)
            made, self._dice = self._dice[:ID_BYTES], self._dice[ID_BYTES:]
            return bytes((made[0] & ~REPEATABLE,)) + made[1:]
        text = f"{self._account_id}\n{recipient}\n{client_id}"
        made = hashlib.sha256(text.encode()).digest()[:ID_BYTES]
        return bytes((made[0] | REPEATABLE,)) + made[1:]

    async def _wait_for_room(self) -> None:
        if self._room is None:
            self._room = asyncio.Event()
        await self._room.wait()

    async def _run(self) -> None:
        try:
            while self._frames:
                frames, self._frames = self._frames, []
                batches, self._batches = self._batches, {}
                self._bytes = 0
                if self._room is not None:
                    self._room.set()
                    self._room = None
                done = await asyncio.gather(*(self._hand_over(*one) for one in batches.items()))
                outcomes = dict(zip(batches, done, strict=True))
                answers: dict[Listener, list[tuple[int, Event]]] = {}
                for listener, seq, recipient, position, refused in frames:
                    answer = refused or outcomes[recipient][position]
                    answers.setdefault(listener, []).append((seq, answer))
                for listener, its in answers.items():
                    listener.tell_all(its)
        finally:
            self._is_running = False

    async def _hand_over(self, recipient: str, batch: _Bodies) -> list[Sent | Refused]:
        """Store a batch in its recipient's inbox; return what to tell about each message."""
        if not has_room(self._env):
            return [_FULL] * len(batch.ids)
        try:
            at_ms, known = await self._env.inbox.get_by_name(recipient).call(
                "deliver", self._account_id, self._name, b"".join(batch.ids), batch.bodies
            )
        except Exception as error:
            self._env.log.error("relay_not_stored", error)
            return [_UNAVAILABLE] * len(batch.ids)
        outcomes: list[Sent | Refused] = [Sent(id_, at_ms) for id_ in batch.ids]
        for position, accepted_ms, is_same in known:
            again = Sent(batch.ids[position], accepted_ms, duplicate=True)
            outcomes[position] = again if is_same else _CONFLICT
        return outcomes
