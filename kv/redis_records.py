"""
How a namespace lies in Redis: its key names, its records, and the commands on them. Pure.

A namespace PROFILES_KV with the prefix "edgekeep" has three kinds of keys:

    edgekeep:{PROFILES_KV}:v:<key>   a string: the record of one entry
    edgekeep:{PROFILES_KV}:names     a sorted set of all keys, every score 0: byte order
    edgekeep:{PROFILES_KV}:ends      a sorted set of the keys that end, by the second they end

A record is one string, so that a read is one command: "1", the end in ten digits (0 for none), the
length of the metadata in four, the length of the value in eight, metadata, value. One transaction
writes record and both sets, so that a crash leaves all of it or nothing.
"""

from collections.abc import Sequence
from typing import Final

from kv.checks import MAX_METADATA_BYTES
from kv.values import KVRow, KVStored

HEAD_BYTES: Final = 23
SHORT_VALUE: Final = 256 * 1024
"""Bytes of a value that the first read brings at most; a longer one is fetched apart."""
_SHORT_RECORD: Final = HEAD_BYTES + MAX_METADATA_BYTES + SHORT_VALUE
_PLAIN: Final = b"1" + b"0" * 14
"""How a record begins that has neither end nor metadata."""

WORK_ROWS: Final = 4000
"""A page looks at so many names at most; the rest comes with the next one."""
SWEEP_ROWS: Final = 200
SWEEP_GRACE: Final = 60
"""Seconds that an ended entry stays for other hosts, whose clocks may be late."""

# Keys of one namespace share a hash tag, so the records may be named inside the scripts.
_PAGE_SCRIPT: Final = b"""
local after, now, wanted, work = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local found, last, seen = {}, '', 0
while #found / 3 < wanted and seen < work do
  local asked = math.min(wanted - #found / 3, work - seen)
  local names = redis.call('ZRANGEBYLEX', KEYS[1], after, ARGV[2], 'LIMIT', 0, asked)
  for _, name in ipairs(names) do
    local head = redis.call('GETRANGE', ARGV[6] .. name, 0, 22)
    local ends = tonumber(string.sub(head, 2, 11))
    if ends and (ends == 0 or now < ends) then
      local size = tonumber(string.sub(head, 12, 15))
      local metadata = ''
      if size > 0 then metadata = redis.call('GETRANGE', ARGV[6] .. name, 23, 22 + size) end
      found[#found + 1] = name
      found[#found + 1] = ends
      found[#found + 1] = metadata
    end
    last = name
  end
  seen = seen + #names
  if #names < asked then return {1, last, found} end
  after = '(' .. last
end
return {0, last, found}
"""
# A script and not a transaction: when its memory is full, Redis lets nothing into a transaction.
_DELETE_SCRIPT: Final = b"""
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return redis.call('UNLINK', KEYS[1])
"""
_SWEEP_SCRIPT: Final = b"""
local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, tonumber(ARGV[2]))
for _, name in ipairs(ended) do
  local head = redis.call('GETRANGE', ARGV[3] .. name, 0, 22)
  local ends = tonumber(string.sub(head, 2, 11))
  if head == '' or (ends and ends > 0 and ends <= tonumber(ARGV[1])) then
    redis.call('UNLINK', ARGV[3] .. name)
    redis.call('ZREM', KEYS[1], name)
  end
  redis.call('ZREM', KEYS[2], name)
end
return #ended
"""


class ForeignRecordError(ValueError):
    """Under a key of ours lies something that we did not write."""


def packed(*words: bytes) -> bytes:
    """Return one command of the Redis protocol (RESP, redis.io/docs/reference/protocol-spec)."""
    return b"*%d\r\n%b" % (
        len(words),
        b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]),
    )


def read_record(raw: bytes, now: float) -> KVStored | int | None:
    """
    Read the record *raw*, or the beginning of one; None when there is none or it has ended.

    An integer is the length of a value that is longer than what was read of it.

    Raises:
        ForeignRecordError: it is none of ours.
    """
    if not raw:
        return None
    try:
        length = int(raw[15:HEAD_BYTES])
        start = HEAD_BYTES
        metadata = None
        if not raw.startswith(_PLAIN):
            ends = int(raw[1:11])
            if ends and now >= ends:
                return None
            start += int(raw[11:15])
            if start > HEAD_BYTES:
                metadata = raw[HEAD_BYTES:start].decode()
    except ValueError:
        raise ForeignRecordError from None
    if raw[0] != 49 or len(raw) > start + length or len(raw) < min(start + length, _SHORT_RECORD):
        raise ForeignRecordError
    if len(raw) < start + length:
        return length
    return KVStored(raw[start:], metadata)


class Layout:
    """The commands on one namespace, ready to be sent."""

    def __init__(self, prefix: str, name: str) -> None:
        stem = b"%b:{%b}:" % (prefix.encode(), name.encode())
        self._record = stem + b"v:"
        self._names = stem + b"names"
        self._ends = stem + b"ends"
        self.probe = packed(b"EXISTS", self._names)
        """Answers a number when the server is ready and we may use it."""

    def get_short(self, key: str) -> bytes:
        """Read a record, at most as much of it as a short value has."""
        name = self._record + key.encode()
        return b"*4\r\n$8\r\nGETRANGE\r\n$%d\r\n%b\r\n$1\r\n0\r\n$6\r\n%d\r\n" % (
            len(name),
            name,
            _SHORT_RECORD - 1,
        )

    def get_whole(self, key: str) -> bytes:
        """Read a record of any length."""
        return packed(b"GET", self._record + key.encode())

    def put(self, rows: Sequence[KVRow]) -> tuple[list[bytes], int]:
        """
        Return the commands of one transaction that stores *rows*, and how many answers they get.

        The pieces belong behind each other; long values are pieces of their own, not copies. The
        last of equal keys wins.
        """
        pieces = [b"*1\r\n$5\r\nMULTI\r\n*%d\r\n$4\r\nMSET\r\n" % (1 + 2 * len(rows))]
        ends: dict[bytes, int | None] = {}
        for key, value, expires_at, text in rows:
            name = key.encode()
            metadata = b"" if text is None else text.encode()
            ends[name] = expires_at
            pieces.append(
                b"$%d\r\n%b%b\r\n$%d\r\n1%010d%04d%08d%b"
                % (
                    len(self._record) + len(name),
                    self._record,
                    name,
                    HEAD_BYTES + len(metadata) + len(value),
                    expires_at or 0,
                    len(metadata),
                    len(value),
                    metadata,
                )
            )
            pieces += (value, b"\r\n")
        pieces.append(
            packed(b"ZADD", self._names, *[word for name in ends for word in (b"0", name)])
        )
        commands = self._ends_of(ends)
        return _joined([*pieces, *commands, b"*1\r\n$4\r\nEXEC\r\n"]), 4 + len(commands)

    def _ends_of(self, ends: dict[bytes, int | None]) -> list[bytes]:
        commands = []
        if endless := [name for name, at in ends.items() if at is None]:
            commands.append(packed(b"ZREM", self._ends, *endless))
        if ending := [word for name, at in ends.items() if at for word in (b"%d" % at, name)]:
            commands.append(packed(b"ZADD", self._ends, *ending))
        return commands

    def delete(self, key: str) -> bytes:
        """Remove an entry."""
        name = key.encode()
        keys = (b"3", self._record + name, self._names, self._ends)
        return packed(b"EVAL", _DELETE_SCRIPT, *keys, name)

    def page(self, start: bytes, end: bytes, now: float, count: int) -> bytes:
        """
        Read up to *count* living entries from *start* on ("[…" or "(…" or "-") up to *end*.

        Answers [whether the names are at their end, last name looked at, [name, end, metadata, …]].
        """
        limits = (b"%d" % count, b"%d" % WORK_ROWS)
        arguments = (start, end, repr(now).encode(), *limits, self._record)
        return packed(b"EVAL", _PAGE_SCRIPT, b"1", self._names, *arguments)

    def sweep(self, now: float) -> bytes:
        """Remove some of the entries that ended a while ago; answers how many were looked at."""
        before = repr(now - SWEEP_GRACE).encode()
        arguments = (before, b"%d" % SWEEP_ROWS, self._record)
        return packed(b"EVAL", _SWEEP_SCRIPT, b"2", self._names, self._ends, *arguments)


def _joined(pieces: list[bytes]) -> list[bytes]:
    """Join what is short, so that few pieces go out; what is long is not copied."""
    joined: list[bytes] = []
    short: list[bytes] = []
    for piece in pieces:
        if len(piece) < 64 * 1024:
            short.append(piece)
            continue
        joined += (b"".join(short), piece)
        short = []
    return [*joined, b"".join(short)]
