"""Migrations: the order, the table and the refusals that wrangler users know."""

from pathlib import Path

import pytest

from d1_schema.contract import D1Database
from d1_schema.migrate import MigrationError, apply_migrations, list_migrations
from d1_schema.sql_file import statements_of


def write(folder: Path, **files: str) -> Path:
    """Write migration files; a double underscore in a name stands for a slash."""
    for name, sql in files.items():
        path = folder / (name.replace("__", "/") + ".sql")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sql, "utf-8")
    return folder


async def tables(db: D1Database) -> list[str]:
    """Names of the tables that migrations made."""
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 't%' ORDER BY name"
    return [row["name"] for row in (await db.prepare(sql).all()).results]


async def recorded(db: D1Database, table: str = "d1_migrations") -> list[str]:
    """Names in the table, in the order in which they were applied."""
    rows = await db.prepare(f"SELECT name FROM {table} ORDER BY id").raw()
    return [name for (name,) in rows]


async def test_files_apply_by_number_then_by_name(d1: D1Database, tmp_path: Path) -> None:
    """1, 2, 10, then files without a number; a second run applies nothing."""
    folder = write(
        tmp_path / "m",
        **{"10_c": "CREATE TABLE t10 (a)", "2_b": "CREATE TABLE t2 (a)"},
        **{"1_a": "CREATE TABLE t1 (a)", "x_d": "CREATE TABLE tx (a)"},
    )

    applied = await apply_migrations(d1, folder)

    assert applied == ["1_a.sql", "2_b.sql", "10_c.sql", "x_d.sql"]
    assert await recorded(d1) == applied
    assert await apply_migrations(d1, folder) == []


async def test_the_table_is_the_one_that_wrangler_makes(d1: D1Database, tmp_path: Path) -> None:
    """Column for column and default for default, so that either tool continues the other."""
    await apply_migrations(d1, write(tmp_path / "m", **{"1_a": "CREATE TABLE t (a)"}))

    columns = (await d1.prepare("PRAGMA table_info(d1_migrations)").all()).results
    assert [(c["name"], c["type"], c["notnull"], c["dflt_value"], c["pk"]) for c in columns] == [
        ("id", "INTEGER", 0, None, 1),
        ("name", "TEXT", 0, None, 0),
        ("applied_at", "TIMESTAMP", 1, "CURRENT_TIMESTAMP", 0),
    ]
    row = await d1.prepare("SELECT *, typeof(id) kind FROM d1_migrations").first()
    assert (row["id"], row["name"], row["kind"]) == (1, "1_a.sql", "integer")
    assert len(row["applied_at"]) == len("2026-11-20 23:18:23")


async def test_what_wrangler_applied_is_not_applied_again(d1: D1Database, tmp_path: Path) -> None:
    """A table written by wrangler 4 (its own DDL) is taken over as it is."""
    await d1.prepare(
        "CREATE TABLE IF NOT EXISTS d1_migrations(\n"
        "\t\tid         INTEGER PRIMARY KEY AUTOINCREMENT,\n"
        "\t\tname       TEXT UNIQUE,\n"
        "\t\tapplied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL\n)"
    ).run()
    await d1.prepare("INSERT INTO d1_migrations (name) VALUES ('0001_a.sql')").run()
    folder = write(tmp_path / "m", **{"0001_a": "nonsense", "0002_b": "CREATE TABLE t2 (a)"})

    assert await apply_migrations(d1, folder) == ["0002_b.sql"]
    assert await recorded(d1) == ["0001_a.sql", "0002_b.sql"]


async def test_a_failure_stops_and_earlier_files_stay(d1: D1Database, tmp_path: Path) -> None:
    """The failing file leaves nothing behind, and names itself."""
    folder = write(
        tmp_path / "m",
        **{"1_a": "CREATE TABLE t1 (a)", "3_c": "CREATE TABLE t3 (a)"},
        **{"2_b": "CREATE TABLE t2 (a); INSERT INTO nowhere VALUES (1);"},
    )

    with pytest.raises(MigrationError, match=r"^2_b\.sql: D1_ERROR: no such table") as caught:
        await apply_migrations(d1, folder)

    assert caught.value.name == "2_b.sql"
    assert caught.value.code == "SQLITE_ERROR"
    assert await recorded(d1) == ["1_a.sql"]
    assert await tables(d1) == ["t1"]


async def test_migrations_are_known_by_name_only(d1: D1Database, tmp_path: Path) -> None:
    """An edited file is not run again, a renamed one is."""
    folder = write(tmp_path / "m", **{"1_a": "CREATE TABLE t1 (a)"})
    await apply_migrations(d1, folder)

    write(folder, **{"1_a": "CREATE TABLE t_edited (a)"})
    assert await apply_migrations(d1, folder) == []

    (folder / "1_a.sql").rename(folder / "1_z.sql")
    assert await apply_migrations(d1, folder) == ["1_z.sql"]


async def test_files_may_lie_in_folders(d1: D1Database, tmp_path: Path) -> None:
    """The name is the path below the directory; other files are left alone."""
    folder = write(tmp_path / "m", later__1_b="CREATE TABLE t2 (a)")
    (folder / "notes.txt").write_text("not SQL")

    assert await apply_migrations(d1, folder) == ["later/1_b.sql"]


async def test_the_table_may_have_another_name(d1: D1Database, tmp_path: Path) -> None:
    """wrangler's migrations_table; a name that needs quotes gets them."""
    folder = write(tmp_path / "m", **{"1_a": "CREATE TABLE t1 (a)"})

    await apply_migrations(d1, folder, 'my "own"')

    assert await recorded(d1, '"my ""own"""') == ["1_a.sql"]


async def test_list_tells_pending_from_applied(d1: D1Database, tmp_path: Path) -> None:
    """list_migrations changes nothing but the missing table."""
    folder = write(tmp_path / "m", **{"1_a": "CREATE TABLE t1 (a)"})
    await apply_migrations(d1, folder)
    write(folder, **{"2_b": "CREATE TABLE t2 (a)"})

    first, second = await list_migrations(d1, folder)

    assert (first.name, second.name, second.applied_at) == ("1_a.sql", "2_b.sql", None)
    assert first.applied_at is not None
    assert await tables(d1) == ["t1"]


async def test_a_missing_directory_is_said(d1: D1Database, tmp_path: Path) -> None:
    """A mistyped directory must not look like one without migrations."""
    with pytest.raises(FileNotFoundError, match="no directory of migrations"):
        await apply_migrations(d1, tmp_path / "nowhere")


async def test_our_own_migrations_apply(d1: D1Database) -> None:
    """The repository's files run on an empty database."""
    folder = Path(__file__).parents[2] / "d1_schema" / "migrations"

    applied = await apply_migrations(d1, folder)

    assert applied[0] == "0001_profiles_create_table.sql"
    columns = await d1.prepare("PRAGMA table_info(profiles)").raw()
    assert [column[1] for column in columns] == [
        *["profile_id", "schema_version", "document", "created_at", "imported_at", "import_id"]
    ]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            (
                "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; "
                "SELECT CASE WHEN 1 THEN 2 END; END; SELECT 2;"
            ),
            [
                (
                    "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; "
                    "SELECT CASE WHEN 1 THEN 2 END; END;"
                ),
                "SELECT 2;",
            ],
        ),
        ("BEGIN TRANSACTION; SELECT 1; COMMIT;", ["SELECT 1;"]),
        ("SELECT 1; -- done\n", ["SELECT 1;"]),
        ("SELECT ';' AS \"a;b\" /* ; */; SELECT 2", ["SELECT ';' AS \"a;b\" /* ; */;", "SELECT 2"]),
        ("-- nothing\n;;\n", []),
    ],
)
def test_a_file_is_cut_into_statements(sql: str, expected: list[str]) -> None:
    """Triggers are one statement, an outer transaction is taken off, comments fall away."""
    assert [one.text for one in statements_of(sql)] == expected
