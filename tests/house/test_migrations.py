"""Migrations: one slice a file, numbers that were reserved, and nothing landed ever changes."""

import hashlib
import re
from contextlib import closing
from datetime import date

import apsw

from d1_schema.migrate import migration_names
from d1_schema.sqlite.engine import Connection, connect
from tests.house.sources import ROOT

FOLDER = ROOT / "d1_schema" / "migrations"
# Reserved before the slices were written, so that they could be written side by side. Later
# migrations begin with their date, which sorts behind: YYYYMMDD_slice_what.sql.
NUMBERS = {
    "0001": "profiles",
    "0002": "accounts",
    "0003": "backup",
    "0004": "relay",
    "0005": "privacy",
    "0006": "user_storage",
    "0007": "library",
    "0008": "chats",
}
# What is no slice has no number.
OWNERS = (*NUMBERS.values(), "quotas")
# Tables in which each slice counts its own kind: its migration counts what there is.
COUNTED = {"held": "quotas"}
# A database knows a migration by its name alone: who changes one changes new databases only. A new
# migration adds its line here (the first half of its sha256sum).
LANDED = {
    "0001_profiles_create_table.sql": "a5a1e427c8c049236ac783f28629843f",
    "0002_accounts_create_tables.sql": "0b9822d9483fc2e248d34049d358597a",
    "0003_backup_create_tables.sql": "b0ec2115a4a5369bfd6005f57e633b0a",
    "0004_relay_create_tables.sql": "b28280bd2abc1bb70594d942ac4fac5e",
    "20261127_quotas_create_tables.sql": "2d8ec7ee2c54099e3b4a20da69b69393",
    "20261128_backup_count_what_is_held.sql": "8e22735dafa30946f66e066dbe612cfd",
    "20261128_accounts_create_counters.sql": "fb62fca5955d2d117a485974495ae0b2",
    "20261128_profiles_create_count.sql": "7c1b7364aba15d06e6950f2e3a62b2f9",
    "20261128_relay_prekeys_once.sql": "9f080bfab2514a9de5999b0be4535c5f",
    "20261128_relay_prekeys_waiting.sql": "c6ecdf6b4372005f452dee5ed5369737",
}
NAME = re.compile(rf"(\d{{4}}|\d{{8}})_({'|'.join(OWNERS)})_[a-z0-9_]+\.sql")
# What changes a table, by SQLite's action code: which of its two names is the table's.
TOUCHES = {
    apsw.SQLITE_CREATE_TABLE: 0,
    apsw.SQLITE_DROP_TABLE: 0,
    apsw.SQLITE_INSERT: 0,
    apsw.SQLITE_UPDATE: 0,
    apsw.SQLITE_DELETE: 0,
    apsw.SQLITE_ALTER_TABLE: 1,
    apsw.SQLITE_CREATE_INDEX: 1,
    apsw.SQLITE_DROP_INDEX: 1,
    apsw.SQLITE_CREATE_TRIGGER: 1,
    apsw.SQLITE_DROP_TRIGGER: 1,
}


def test_every_name_says_whose_it_is() -> None:
    """The number that was reserved for the slice, or the date; then the slice, then what."""
    for name in migration_names(FOLDER):
        found = NAME.fullmatch(name)
        assert found, name
        number, owner = found.groups()
        if len(number) == 4:
            assert NUMBERS.get(number) == owner, name
        else:
            assert date.fromisoformat(number).year >= 2026, name


def test_no_two_slices_write_one_file() -> None:
    """Each migration touches tables of its own slice alone: those that the slice has created."""
    owners: dict[str, str] = {}
    with closing(connect(":memory:")) as db:
        for name in migration_names(FOLDER):
            found = NAME.fullmatch(name)
            assert found, name
            for table in touched(db, (FOLDER / name).read_text(encoding="utf-8")):
                allowed = {found[2], COUNTED.get(table, found[2])}
                assert owners.setdefault(table, found[2]) in allowed, f"{name}: {table}"
    assert len(owners) > len(LANDED)


def touched(db: Connection, sql: str) -> set[str]:
    """Run *sql*; return the tables that it made, changed or wrote."""
    found: set[str] = set()

    def note(action: int, first: str | None, second: str | None, *_: object) -> int:
        place = TOUCHES.get(action)
        table = None if place is None else (first, second)[place]
        if table and not table.startswith("sqlite_"):
            found.add(table)
        return apsw.SQLITE_OK

    db.set_authorizer(note)
    db.execute(sql)
    db.set_authorizer(None)
    return found


def test_a_file_of_two_slices_would_be_noticed() -> None:
    """Whatever way it takes: a column, an index, a trigger, a row, a table that goes."""
    with closing(connect(":memory:")) as db:
        assert touched(db, "CREATE TABLE a (x); CREATE TABLE b (x)") == {"a", "b"}
        for sql in (
            "ALTER TABLE a ADD COLUMN y",
            "CREATE INDEX i ON a (x)",
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END",
            "INSERT INTO a (x) VALUES (1)",
            "UPDATE a SET x = 2",
            "DROP TRIGGER t",
            "DROP TABLE a",
        ):
            assert touched(db, sql) == {"a"}, sql


def test_what_has_landed_never_changes() -> None:
    """Byte for byte; and a new file is added to the list."""
    found = {
        name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:32]
        for name in migration_names(FOLDER)
    }
    assert found == LANDED
