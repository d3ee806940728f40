"""
Many entries by one statement of SQL, for the embedded store.

All keys, values and metadata go in as one blob, and a statement that runs in C from
end to end cuts them apart again.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from kv.values import KVRow

HEAVY_BYTES: Final = 128 * 1024
"""More bytes in one write go to the writer lane at once."""
PART_ROWS: Final = 64
"""Rows that `put_many` writes by one statement, on the loop: well below a millisecond."""

REPLACING = (
    " ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, "
    "metadata = excluded.metadata, value = excluded.value"
)

# Many rows by one statement, which runs in C from end to end: all keys, values and
# metadata come as one blob, behind each other, and :sizes holds five numbers of ten
# digits for each row: start, end of key, end of metadata, end of value, expiry (0
# for none). Text and binary values alike; no escapes as with JSON and json_each.
# It runs on the loop, 64 rows at a time. In a thread it would take Python's lock
# some twenty times, and wait for it up to 5 ms each time while the loop parses the
# rest of an import; executemany takes it once a row. Measured, rows of 1 KB per
# second, loop idle / loop busy with JSON (uvloop): thread 40,000 / 3,300, inline
# 55,000 / 30,000.
PUT_MANY = (
    """
WITH RECURSIVE
  number (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM number WHERE i + 1 < :rows),
  place (at, key_end, metadata_end, value_end, expires_at) AS (
    SELECT CAST(CAST(substr(:sizes, 1 + 50 * i, 10) AS TEXT) AS INTEGER),
           CAST(CAST(substr(:sizes, 11 + 50 * i, 10) AS TEXT) AS INTEGER),
           CAST(CAST(substr(:sizes, 21 + 50 * i, 10) AS TEXT) AS INTEGER),
           CAST(CAST(substr(:sizes, 31 + 50 * i, 10) AS TEXT) AS INTEGER),
           CAST(CAST(substr(:sizes, 41 + 50 * i, 10) AS TEXT) AS INTEGER)
    FROM number)
INSERT INTO entries (key, expires_at, metadata, value)
SELECT substr(:data, at + 1, key_end - at), nullif(expires_at, 0),
       CAST(nullif(substr(:data, key_end + 1, metadata_end - key_end), x'') AS TEXT),
       substr(:data, metadata_end + 1, value_end - metadata_end)
FROM place WHERE true
"""  # noqa: S608
    + REPLACING
)


_SIZES: Final = "%010d" * 5


def parts(rows: Sequence[KVRow]) -> Iterator[list[KVRow]]:
    """Cut *rows* into parts that are light enough for the loop, where they can be."""
    part: list[KVRow] = []
    size = 0
    for row in rows:
        added = len(row.key) + len(row.value)
        if part and (len(part) >= PART_ROWS or size + added > HEAVY_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += added
    if part:
        yield part


def packed(rows: Sequence[KVRow]) -> tuple[dict[str, Any], int]:
    """Put *rows* into the parameters of `PUT_MANY`; return them and their size."""
    parts: list[bytes] = []
    sizes: list[str] = []
    at = 0
    for name, value, expires_at, text in rows:
        key = name.encode()
        metadata = text.encode() if text is not None else b""
        key_end = at + len(key)
        metadata_end = key_end + len(metadata)
        value_end = metadata_end + len(value)
        parts += (key, metadata, value)
        sizes.append(_SIZES % (at, key_end, metadata_end, value_end, expires_at or 0))
        at = value_end
    return {"rows": len(rows), "data": b"".join(parts), "sizes": "".join(sizes).encode()}, at
