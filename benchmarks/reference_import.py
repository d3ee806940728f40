"""The yardstick for the NDJSON import: the least that any correct import has to do.

``python -m benchmarks.reference_import FILE DATABASE``: json.loads of each line, validation with
the library that the host uses (and its native formats), and one SQLite executemany of all rows
into a file in WAL mode with one commit. No HTTP, no report, no upgrade of old versions. Prints
one JSON object with the rows, the seconds and the rows per second.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs

SCHEMA = Path(__file__).parent.parent / "d1_schema" / "json" / "user_profile.v1.json"
UPSERT = (
    "INSERT INTO profiles (id, document) VALUES (?, ?) "
    "ON CONFLICT (id) DO UPDATE SET document = excluded.document"
)


def valid_rows(source: Path, schema: Path) -> Iterator[tuple[str, str]]:
    """Yield (id, text) of each line of `source`; raise ValueError at the first invalid one."""
    accepts = jsonschema_rs.validator_for(
        json.loads(schema.read_text()), validate_formats=True
    ).is_valid
    with source.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            document = json.loads(line)
            if not accepts(document):
                raise ValueError(f"line {number} is not valid")
            yield document["profile_id"], line


def import_file(source: Path, database: Path, schema: Path = SCHEMA) -> tuple[int, float]:
    """Import `source` into the table profiles of `database`; return (rows, seconds)."""
    began = time.perf_counter()
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS profiles (id TEXT PRIMARY KEY, document TEXT)")
    connection.execute("BEGIN")
    rows = connection.executemany(UPSERT, valid_rows(source, schema)).rowcount
    connection.execute("COMMIT")
    seconds = time.perf_counter() - began
    connection.close()
    return rows, seconds


def main() -> None:
    """Command line: see the module text."""
    parser = argparse.ArgumentParser(description="Import NDJSON into SQLite the short way.")
    parser.add_argument("file", type=Path)
    parser.add_argument("database", type=Path)
    parser.add_argument("--schema", type=Path, default=SCHEMA)
    options = parser.parse_args()
    rows, seconds = import_file(options.file, options.database, options.schema)
    print(json.dumps({"rows": rows, "seconds": seconds, "rows_per_second": rows / seconds}))


if __name__ == "__main__":
    main()
