"""
All SQL of an inbox: the messages that wait, oldest first, and the ids that were accepted lately.

What decides quickly (which ids wait, which are remembered) is kept in memory as well, read once for
each life of the instance. An inbox that never held anything has no tables, and on a laptop no file.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

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

MESSAGE: Final = 0
IDENTITY_CHANGED: Final = 1
# An id with this bit was made from the sender's client_id, so it may come again.
REPEATABLE: Final = 0x80

_TABLES = """
CREATE TABLE messages (seq INTEGER PRIMARY KEY, id BLOB NOT NULL, kind INTEGER NOT NULL,
    sender TEXT NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE remembered (row INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, ids BLOB NOT NULL);
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
_QUEUED = "SELECT seq, id FROM messages ORDER BY seq"
_SENDERS = "SELECT DISTINCT sender FROM messages WHERE kind = 0 AND seq <= ?"
_EVERYBODY = "SELECT DISTINCT sender FROM messages"
_PLACE = "SELECT max(seq) FROM messages WHERE at_ms <= ?"
_OLDEST = "SELECT min(at_ms) FROM messages"
_SIZES = "SELECT seq, length(body) FROM messages WHERE seq > ? ORDER BY seq LIMIT ?"
_UPTO = "DELETE FROM messages WHERE seq <= ?"
_ONE = "DELETE FROM messages WHERE seq = ?"
_OLD = "DELETE FROM messages WHERE at_ms <= ? RETURNING id"
_REMEMBER = "INSERT INTO remembered VALUES (?, ?, ?)"
_REMEMBERED = "SELECT row, at_ms, ids FROM remembered ORDER BY row"
_FORGET = "DELETE FROM remembered WHERE row <= ?"
_MADE = "tables"
# Which tables those are. The first ones kept names beside the ids of senders.
_FORM: Final = 2
_NAMELESS = "ALTER TABLE messages DROP COLUMN sender_name"


NameOf = Callable[[str], str]


class Waiting(NamedTuple):
    """A message that waits, with its place in the order."""

    seq: int
    event: Delivery


class InboxStore:
    """What one inbox keeps. Synchronous, so nothing comes between a look and the write after it."""

    def __init__(self, storage: ObjectStorage, now_ms: int, name_of: NameOf) -> None:
        self._storage = storage
        self._sql = storage.sql
        self._name_of = name_of
        form = storage.kv.get(_MADE)
        self._is_made = form is not None
        if form == 1:
            self._sql.exec(_NAMELESS)
            storage.kv.put(_MADE, _FORM)
        self._queued: dict[bytes, int] = {}
        self._remembered: dict[bytes, int] = {}
        self._rows: deque[tuple[int, int, int]] = deque()
        self._oldest_ms = 0
        # Places only grow, also past an empty inbox: a socket knows how far it got by them.
        self.last = now_ms * 1000
        if self._is_made:
            self._load()

    def __len__(self) -> int:
        return len(self._queued)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits and nothing is remembered."""
        return not self._queued and not self._rows

    def _load(self) -> None:
        for seq, id_ in self._sql.exec(_QUEUED).raw():
            self._queued[id_] = seq
            self.last = max(self.last, seq)
        for row, at_ms, ids in self._sql.exec(_REMEMBERED).raw():
            self._note(row, at_ms, _cut(ids))
        self._find_oldest()

    def _find_oldest(self) -> None:
        self._oldest_ms = 0
        if self._queued:
            [[oldest]] = self._sql.exec(_OLDEST).raw()
            self._oldest_ms = oldest

    # -- what comes in ---------------------------------------------------------------------------

    def accepted_at(self, id_: bytes) -> int | None:
        """When this id was accepted before, or None; ids of repeatable sends alone are known."""
        return self._remembered.get(id_)

    def add(self, events: Sequence[Delivery]) -> list[Waiting]:
        """Store *events*, all of one moment; the oldest leave when there are too many."""
        if not events:
            return []
        if not self._is_made:
            self._sql.exec(_TABLES)
            self._storage.kv.put(_MADE, _FORM)
            self._is_made = True
        if not self._queued:
            self._oldest_ms = events[0].at_ms
        first = self.last + 1
        self.last += len(events)
        added = list(map(Waiting, range(first, self.last + 1), events))
        self._sql.exec_many(_ADD, map(_row, added))
        self._queued.update({event.id: seq for seq, event in added})
        self._remember([event.id for event in events if event.id[0] & REPEATABLE], events[0].at_ms)
        excess = len(self._queued) - RELAY_INBOX_MESSAGES
        if excess > 0:
            self.remove_upto(list(self._queued.values())[excess - 1])
        return added

    def _remember(self, ids: list[bytes], at_ms: int) -> None:
        if not ids:
            return
        row = self._rows[-1][0] + 1 if self._rows else 1
        self._sql.exec(_REMEMBER, row, at_ms, b"".join(ids))
        self._note(row, at_ms, ids)
        while len(self._remembered) > RELAY_REMEMBERED and len(self._rows) > 1:
            self._forget_first()

    def _note(self, row: int, at_ms: int, ids: list[bytes]) -> None:
        self._remembered.update(dict.fromkeys(ids, at_ms))
        self._rows.append((row, at_ms, len(ids)))

    def _forget_first(self) -> None:
        row, _, count = self._rows.popleft()
        for id_ in list(self._remembered)[:count]:
            del self._remembered[id_]
        self._sql.exec(_FORGET, row)

    # -- what goes out -----------------------------------------------------------------------------

    def read(self, after: int, limit: int, max_bytes: int) -> list[Waiting]:
        """Return what waits behind the place *after*: some at least, if there is any."""
        total, count = 0, 0
        for _, size in self._sql.exec(_SIZES, after, limit).raw() if self._queued else ():
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

    def page(self, after: bytes, limit: int) -> tuple[Listed, ...]:
        """Return a page behind the id *after*; an id that does not wait is before the oldest."""
        if not self._queued:
            return ()
        rows = self._sql.exec(_LIST, self._queued.get(after, 0), limit).raw()
        return tuple(
            Listed(id_, sender, self._name_of(sender), at_ms, size)
            for id_, sender, at_ms, size in rows
        )

    def place_at(self, at_ms: int) -> int:
        """Return the place of the newest message that waits since *at_ms* or longer; 0 for none."""
        if not self._queued:
            return 0
        [[found]] = self._sql.exec(_PLACE, at_ms).raw()
        return found or 0

    def senders(self, upto: int) -> list[str]:
        """Return the accounts whose messages wait at places up to *upto*."""
        if not self._queued:
            return []
        return [sender for [sender] in self._sql.exec(_SENDERS, upto).raw()]

    def everybody(self) -> list[str]:
        """Return the accounts that something that waits tells of."""
        if not self._queued:
            return []
        return [sender for [sender] in self._sql.exec(_EVERYBODY).raw()]

    def behind(self, seq: int) -> int:
        """Return how many messages wait behind the place *seq*."""
        if seq >= self.last:
            return 0
        return sum(1 for one in self._queued.values() if one > seq)

    # -- what leaves -------------------------------------------------------------------------------

    def remove_upto(self, seq: int) -> None:
        """Remove every message up to the place *seq*."""
        gone = []
        for id_, one in self._queued.items():
            if one > seq:
                break
            gone.append(id_)
        if gone:
            for id_ in gone:
                del self._queued[id_]
            self._sql.exec(_UPTO, seq)

    def remove(self, ids: Iterable[bytes]) -> int:
        """Remove these messages; return how many there were."""
        found = [seq for id_ in ids if (seq := self._queued.pop(id_, None)) is not None]
        self._sql.exec_many(_ONE, [(seq,) for seq in found])
        return len(found)

    def remove_all(self) -> None:
        """Remove every message; what is remembered stays."""
        self.remove_upto(self.last)

    def expire(self, now_ms: int) -> None:
        """Remove what has waited too long; cheap as long as the oldest has not."""
        cutoff = now_ms - RELAY_KEEP_MS
        if not self._queued or self._oldest_ms > cutoff:
            return
        for [id_] in self._sql.exec(_OLD, cutoff).raw():
            self._queued.pop(id_, None)
        self._find_oldest()

    def forget(self, now_ms: int) -> None:
        """Forget ids that were accepted too long ago."""
        while self._rows and self._rows[0][1] <= now_ms - RELAY_REMEMBER_MS:
            self._forget_first()

    def due_ms(self) -> int | None:
        """When `expire` or `forget` has something to do, or None when both never will."""
        due = []
        if self._queued:
            due.append(self._oldest_ms + RELAY_KEEP_MS)
        if self._rows:
            due.append(self._rows[0][1] + RELAY_REMEMBER_MS)
        return min(due, default=None)

    def emptied(self) -> None:
        """Note that `delete_all` took everything."""
        self._is_made = False
        self._queued.clear()
        self._remembered.clear()
        self._rows.clear()


def _row(one: Waiting) -> tuple[int, bytes, int, str, int, bytes]:
    seq, event = one
    if type(event) is Message:
        return seq, event.id, MESSAGE, event.sender, event.at_ms, event.ciphertext
    assert isinstance(event, IdentityChanged)
    return seq, event.id, IDENTITY_CHANGED, event.user, event.at_ms, b""


def _cut(ids: bytes) -> list[bytes]:
    return [ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)]
