"""
All SQL of an inbox: the messages that wait, oldest first, and the ids that were accepted lately.

What waits stands in the table alone, where an id is unique; what is remembered is kept in memory as
well, read once for each life of the instance. An inbox that never held anything has no tables, and
on a laptop no file.
"""

import hashlib
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from durable.contract import ObjectStorage
from worker.relay.inbox.model import (
    ID_BYTES,
    RELAY_INBOX_MESSAGES,
    RELAY_REMEMBER_MS,
    Delivery,
    IdentityChanged,
    Listed,
    Message,
)

# Messages are kept for so long (FR-009).
RELAY_KEEP_MS = 30 * 24 * 3600 * 1000
# Ids of sends that may be repeated: so many of one inbox.
RELAY_REMEMBERED = 2048

# Of what was accepted this much of a hash is kept, to tell a repeat from another message.
_DIGEST_BYTES: Final = 8

MESSAGE: Final = 0
IDENTITY_CHANGED: Final = 1
# An id with this bit was made from the sender's client_id, so it may come again.
REPEATABLE: Final = 0x80

_MESSAGES = """
CREATE TABLE messages (seq INTEGER PRIMARY KEY, id BLOB NOT NULL, kind INTEGER NOT NULL,
    sender TEXT NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL);
"""
_REMEMBERED = """
CREATE TABLE remembered (row INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, ids BLOB NOT NULL,
    digests BLOB NOT NULL);
"""
_INDEXES = """
CREATE UNIQUE INDEX messages_id ON messages (id);
CREATE INDEX messages_sender ON messages (sender);
"""
_ADD = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)"
_READ = """
SELECT seq, id, kind, sender, at_ms, body FROM messages WHERE seq > ?
ORDER BY seq LIMIT ?
"""
_LIST = """
SELECT id, sender, at_ms, length(body) FROM messages WHERE seq > ?
ORDER BY seq LIMIT ?
"""
_COUNT = "SELECT count(*) FROM messages"
_BEHIND = "SELECT count(*) FROM messages WHERE seq > ?"
_NEWEST = "SELECT max(seq) FROM messages"
_WAITS = "SELECT at_ms, body FROM messages WHERE id = ?"
_SEQ_OF = "SELECT seq FROM messages WHERE id = ?"
_SENDERS = "SELECT DISTINCT sender FROM messages WHERE kind = 0 AND seq <= ?"
_EVERYBODY = "SELECT DISTINCT sender FROM messages"
_SHARES = "SELECT sender, count(*), min(seq) FROM messages GROUP BY sender"
_CUT = """
DELETE FROM messages WHERE seq IN
    (SELECT seq FROM messages WHERE sender = ? ORDER BY seq LIMIT ?)
"""
_PLACE = "SELECT max(seq) FROM messages WHERE at_ms <= ?"
_OLDEST = "SELECT min(at_ms) FROM messages"
_SIZES = "SELECT seq, length(body) FROM messages WHERE seq > ? ORDER BY seq LIMIT ?"
_UPTO = "DELETE FROM messages WHERE seq > ? AND seq <= ?"
_ONE = "DELETE FROM messages WHERE id = ?"
_OLD = "DELETE FROM messages WHERE at_ms <= ?"
_REMEMBER = "INSERT INTO remembered VALUES (?, ?, ?, ?)"
_ALL_REMEMBERED = "SELECT row, at_ms, ids, digests FROM remembered ORDER BY row"
_FORGET = "DELETE FROM remembered WHERE row <= ?"
_MADE = "tables"
# Which tables those are. Those of form 1 kept names beside the ids of senders; in forms 1 and 2 an
# id could wait twice, and what was accepted was remembered without its digest.
_FORM: Final = 3
_NAMELESS = "ALTER TABLE messages DROP COLUMN sender_name"
_ONCE_EACH = "DELETE FROM messages WHERE seq NOT IN (SELECT min(seq) FROM messages GROUP BY id)"
_DIGESTS = "ALTER TABLE remembered ADD COLUMN digests BLOB NOT NULL DEFAULT x''"
# Up to which place messages were sent to sockets with ack=1.
_HELD = "held"


NameOf = Callable[[str], str]


class Waiting(NamedTuple):
    """A message that waits, with its place in the order."""

    seq: int
    event: Delivery


class Accepted(NamedTuple):
    """What is known of an id: when it was accepted, and what of its message's hash is kept."""

    at_ms: int
    digest: bytes

    def is_of(self, body: bytes) -> bool:
        """Whether it was accepted for *body*; of what older versions accepted nobody can tell."""
        return not self.digest or self.digest == digest_of(body)


def digest_of(body: bytes) -> bytes:
    """Return what is kept of a message's hash."""
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()


def fair_cut(shares: Iterable[Sequence[Any]], excess: int) -> dict[str, int]:
    """
    Return how many of whose oldest messages make room for *excess*.

    *shares*: sender, number and oldest place. One after the other leaves from whoever has most by
    then; of equals, from who has waited longest.
    """
    heap = [(-count, oldest, sender) for sender, count, oldest in shares]
    heapq.heapify(heap)
    cut: dict[str, int] = {}
    for _ in range(excess):
        most, oldest, sender = heap[0]
        cut[sender] = cut.get(sender, 0) + 1
        heapq.heapreplace(heap, (most + 1, oldest, sender))
    return cut


class InboxStore:
    """What one inbox keeps. Synchronous, so nothing comes between a look and the write after it."""

    def __init__(self, storage: ObjectStorage, now_ms: int, name_of: NameOf) -> None:
        self._storage = storage
        self._sql = storage.sql
        self._name_of = name_of
        form = storage.kv.get(_MADE)
        self._is_made = form is not None
        self._count: int | None = 0
        self._remembered: dict[bytes, Accepted] = {}
        self._rows: deque[tuple[int, int, int]] = deque()
        self._horizon_ms = 0
        """What was accepted later is remembered; of what was before, ids may be forgotten."""
        self._oldest_ms = 0
        """Nothing that waits is older."""
        self._removed_upto = 0
        self._held = 0
        # Places only grow, also past an empty inbox: a socket knows how far it got by them.
        self.last = now_ms * 1000
        if form is not None:
            self._load(form, now_ms)

    def __len__(self) -> int:
        if self._count is None:
            [[self._count]] = self._sql.exec(_COUNT).raw()
        return self._count

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits and nothing is remembered."""
        return not len(self) and not self._rows

    def _load(self, form: int, now_ms: int) -> None:
        self._count = None
        if form < _FORM:
            self._renew(form)
        [[newest]] = self._sql.exec(_NEWEST).raw()
        self.last = max(self.last, newest or 0)
        for row, at_ms, ids, digests in self._sql.exec(_ALL_REMEMBERED).raw():
            self._note(row, at_ms, _cut(ids, ID_BYTES), _cut(digests, _DIGEST_BYTES))
        # What was forgotten before this life is not known: all of it may be.
        self._horizon_ms = now_ms
        self._held = self._storage.kv.get(_HELD) or 0
        self._find_oldest()

    def _renew(self, form: int) -> None:
        """Bring the tables of an older version to today's form, and heal what they held twice."""
        if form == 1:
            self._sql.exec(_NAMELESS)
        self._sql.exec(_ONCE_EACH)
        self._sql.exec(_INDEXES)
        self._sql.exec(_DIGESTS)
        self._storage.kv.put(_MADE, _FORM)
        self._make_room()

    def _find_oldest(self) -> None:
        self._oldest_ms = 0
        if len(self):
            [[oldest]] = self._sql.exec(_OLDEST).raw()
            self._oldest_ms = oldest

    # -- what comes in ---------------------------------------------------------------------------

    def accepted(self, id_: bytes) -> Accepted | None:
        """Return what is known of a repeatable send's id: it waits or was accepted; else None."""
        known = self._remembered.get(id_)
        if known is None and len(self) and self._oldest_ms <= self._horizon_ms:
            for at_ms, body in self._sql.exec(_WAITS, id_).raw():
                known = Accepted(at_ms, digest_of(body))
        return known

    def add(self, events: Sequence[Delivery]) -> list[Waiting]:
        """Store *events*, all of one moment; when there are too many, see `fair_cut`."""
        if not events:
            return []
        if not self._is_made:
            self._sql.exec(_MESSAGES + _INDEXES + _REMEMBERED)
            self._storage.kv.put(_MADE, _FORM)
            self._is_made = True
        count, at_ms = len(self), events[0].at_ms
        self._oldest_ms = min(self._oldest_ms, at_ms) if count else at_ms
        first = self.last + 1
        self.last += len(events)
        added = list(map(Waiting, range(first, self.last + 1), events))
        self._sql.exec_many(_ADD, map(_row, added))
        self._count = count + len(added)
        repeatable = [event for event in events if event.id[0] & REPEATABLE]
        if repeatable:
            digests = [digest_of(one.ciphertext) for one in repeatable if isinstance(one, Message)]
            self._remember([event.id for event in repeatable], digests, at_ms)
        self._make_room()
        return added

    def _make_room(self) -> None:
        """Let the oldest of those leave who have most, until no more wait than may."""
        excess = len(self) - RELAY_INBOX_MESSAGES
        if excess > 0:
            cut = fair_cut(self._sql.exec(_SHARES).raw(), excess)
            for sender, count in cut.items():
                self._sql.exec(_CUT, sender, count)
            self._count = None

    def _remember(self, ids: list[bytes], digests: list[bytes], at_ms: int) -> None:
        row = self._rows[-1][0] + 1 if self._rows else 1
        self._sql.exec(_REMEMBER, row, at_ms, b"".join(ids), b"".join(digests))
        self._note(row, at_ms, ids, digests)
        while len(self._remembered) > RELAY_REMEMBERED and len(self._rows) > 1:
            self._forget_first()

    def _note(self, row: int, at_ms: int, ids: list[bytes], digests: list[bytes]) -> None:
        kept = digests or [b""] * len(ids)
        self._remembered.update(
            (id_, Accepted(at_ms, digest)) for id_, digest in zip(ids, kept, strict=True)
        )
        self._rows.append((row, at_ms, len(ids)))

    def _forget_first(self) -> None:
        row, at_ms, count = self._rows.popleft()
        self._horizon_ms = max(self._horizon_ms, at_ms)
        for id_ in list(self._remembered)[:count]:
            del self._remembered[id_]
        self._sql.exec(_FORGET, row)

    # -- what goes out -----------------------------------------------------------------------------

    def read(self, after: int, limit: int, max_bytes: int) -> list[Waiting]:
        """Return what waits behind the place *after*: some at least, if there is any."""
        total, count = 0, 0
        for _, size in self._sql.exec(_SIZES, after, limit).raw() if len(self) else ():
            total += size
            if count and total > max_bytes:
                break
            count += 1
        if not count:
            return []
        return [self._waiting(*row) for row in self._sql.exec(_READ, after, count).raw()]

    def _waiting(
        self, seq: int, id_: bytes, kind: int, sender: str, at_ms: int, body: bytes
    ) -> Waiting:
        if kind == IDENTITY_CHANGED:
            return Waiting(seq, IdentityChanged(id_, sender, self._name_of(sender), at_ms))
        return Waiting(seq, Message(id_, sender, self._name_of(sender), at_ms, body))

    def page(self, after: bytes, limit: int) -> tuple[Listed, ...] | None:
        """Return a page behind the id *after* (b"": from the oldest); None: no such id waits."""
        place = 0
        if after:
            found = [seq for [seq] in self._sql.exec(_SEQ_OF, after).raw()] if len(self) else []
            if not found:
                return None
            [place] = found
        rows = self._sql.exec(_LIST, place, limit).raw() if len(self) else ()
        return tuple(
            Listed(id_, sender, self._name_of(sender), at_ms, size)
            for id_, sender, at_ms, size in rows
        )

    def place_at(self, at_ms: int) -> int:
        """Return the place of the newest message that waits since *at_ms* or longer; 0 for none."""
        if not len(self):
            return 0
        [[found]] = self._sql.exec(_PLACE, at_ms).raw()
        return found or 0

    def senders(self, upto: int) -> list[str]:
        """Return the accounts whose messages wait at places up to *upto*."""
        if not len(self):
            return []
        return [sender for [sender] in self._sql.exec(_SENDERS, upto).raw()]

    def everybody(self) -> list[str]:
        """Return the accounts that something that waits tells of."""
        if not len(self):
            return []
        return [sender for [sender] in self._sql.exec(_EVERYBODY).raw()]

    def behind(self, seq: int) -> int:
        """Return how many messages wait behind the place *seq*."""
        if seq >= self.last or not len(self):
            return 0
        [[count]] = self._sql.exec(_BEHIND, seq).raw()
        return int(count)

    # -- what leaves -------------------------------------------------------------------------------

    def hold(self, upto: int) -> None:
        """Note that all up to the place *upto* was sent to a socket with ack=1."""
        if upto > self._held:
            self._held = upto
            self._storage.kv.put(_HELD, upto)

    def remove_upto(self, seq: int) -> None:
        """Remove what was taken up to the place *seq*, but for what an acknowledgement removes."""
        if seq > max(self._removed_upto, self._held):
            self._removed_upto = seq
            self._remove(_UPTO, self._held, seq)

    def drop_upto(self, seq: int) -> None:
        """Remove every message up to the place *seq*."""
        self._remove(_UPTO, 0, seq)

    def remove(self, ids: Iterable[bytes]) -> int:
        """Remove these messages; return how many there were."""
        before = len(self)
        if before:
            self._sql.exec_many(_ONE, [(id_,) for id_ in ids])
            self._count = None
        return before - len(self)

    def _remove(self, statement: str, *values: int) -> None:
        if len(self):
            self._sql.exec(statement, *values)
            self._count = None

    def expire(self, now_ms: int) -> None:
        """Remove what has waited too long; cheap as long as the oldest has not."""
        cutoff = now_ms - RELAY_KEEP_MS
        if len(self) and self._oldest_ms <= cutoff:
            self._remove(_OLD, cutoff)
            self._find_oldest()

    def forget(self, now_ms: int) -> None:
        """Forget ids that were accepted too long ago."""
        while self._rows and self._rows[0][1] <= now_ms - RELAY_REMEMBER_MS:
            self._forget_first()

    def due_ms(self) -> int | None:
        """When `expire` or `forget` has something to do, or None when both never will."""
        due = []
        if len(self):
            due.append(self._oldest_ms + RELAY_KEEP_MS)
        if self._rows:
            due.append(self._rows[0][1] + RELAY_REMEMBER_MS)
        return min(due, default=None)

    def emptied(self) -> None:
        """Note that `delete_all` took everything."""
        self._is_made = False
        self._count = self._held = 0
        self._remembered.clear()
        self._rows.clear()


def _row(one: Waiting) -> tuple[int, bytes, int, str, int, bytes]:
    seq, event = one
    if type(event) is Message:
        return seq, event.id, MESSAGE, event.sender, event.at_ms, event.ciphertext
    assert isinstance(event, IdentityChanged)
    return seq, event.id, IDENTITY_CHANGED, event.user, event.at_ms, b""


def _cut(joined: bytes, size: int) -> list[bytes]:
    return [joined[at : at + size] for at in range(0, len(joined), size)]
