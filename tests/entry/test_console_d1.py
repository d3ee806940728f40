"""The console's D1 pages: tables, rows, migrations; a SQL box that reads unless told to write."""

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from d1_schema.sqlite.engine import connect
from tests.support.console_visit import PROBES, Visitor, assert_tame, visit, words
from tests.support.running_host import RunningHost

SQL = "/d1/DB/sql"


async def run(visitor: Visitor, sql: str, **fields: str) -> tuple[int, str]:
    """Send *sql* from the box; return status and page."""
    answer = await visitor.post(SQL, **{"sql": sql, "mode": "read", **fields})
    return answer.status, answer.body.decode()


async def write(visitor: Visitor, sql: str) -> tuple[int, str]:
    """Send *sql* with writes allowed."""
    return await run(visitor, sql, mode="write", allow_writes="yes")


async def make(host: RunningHost, *statements: str) -> None:
    """Change the database beside the console."""
    await host.env.db.batch([host.env.db.prepare(statement) for statement in statements])


async def test_the_list_leads_to_tables_with_bounded_counts(host: RunningHost) -> None:
    """Databases lead to their tables; of many rows only "more than" is said."""
    await make(
        host,
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001) "
        "INSERT INTO notes SELECT i, 'n' FROM n",
        "CREATE VIEW short AS SELECT body FROM notes",
    )
    visitor = Visitor(host)

    listing = await visitor.get("/d1")
    page = await visitor.get("/d1/DB")

    assert 'href="/_console/d1/DB"' in listing
    assert "more than 10,000" in page
    assert "short" in words(page)
    assert "view" in words(page)
    assert "sqlite_" not in page
    assert "_cf_" not in page


async def test_a_table_tells_columns_indexes_triggers_and_its_create_text(
    host: RunningHost,
) -> None:
    """Everything that CREATE said can be read."""
    await make(
        host,
        "CREATE TABLE t (a TEXT PRIMARY KEY, b REAL NOT NULL DEFAULT 1.5, UNIQUE (b))",
        "CREATE INDEX t_by_sum ON t (b, a || 'x')",
        "CREATE TRIGGER t_guard BEFORE DELETE ON t BEGIN SELECT RAISE(FAIL, 'kept'); END",
    )

    page = words(await Visitor(host).get("/d1/DB/table?name=t"))

    for text in ("NOT NULL", "1.5", "primary key", "t_by_sum", "b, (expression)", "unique"):
        assert text in page
    assert "CREATE TRIGGER t_guard" in page
    assert "CREATE TABLE t (a TEXT PRIMARY KEY" in page


@pytest.mark.parametrize(
    "create",
    [
        "CREATE TABLE t (n INTEGER, v TEXT)",
        "CREATE TABLE t (n INTEGER PRIMARY KEY, v TEXT) WITHOUT ROWID",
        "CREATE TABLE t (n INTEGER, v TEXT, PRIMARY KEY (v, n)) WITHOUT ROWID",
        "CREATE TABLE t (rowid TEXT, _rowid_ TEXT, oid TEXT, n INTEGER, v TEXT)",
        "CREATE TABLE t (rowid TEXT, n INTEGER, v TEXT)",
    ],
)
async def test_pages_of_rows_hold_every_row_once(host: RunningHost, create: str) -> None:
    """Following "Next page" shows all rows, whatever the key of the table."""
    await make(
        host,
        create,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120) "
        "INSERT INTO t (n, v) SELECT i, 'row-' || i || '.' FROM n",
    )
    visitor = Visitor(host)
    seen: list[str] = []
    path = "/d1/DB/table?name=t"

    while path:
        page = await visitor.get(path)
        seen += [word for word in words(page).split() if word.startswith("row-")]
        _, _, rest = page.partition('rel="next"')
        before = page[: len(page) - len(rest)] if rest else ""
        link = before.rpartition('href="')[2].partition('"')[0]
        path = link.replace("&amp;", "&").removeprefix("/_console") if rest else ""

    assert sorted(seen) == sorted(f"row-{n}." for n in range(1, 121))


async def test_values_are_shown_as_what_they_are(host: RunningHost) -> None:
    """NULL, blobs, long texts, empty texts and large numbers each tell themselves."""
    await make(
        host,
        "CREATE TABLE t (a, b, c, d, e)",
        "INSERT INTO t VALUES (NULL, x'00ff' || zeroblob(100), "
        "replace(hex(zeroblob(1000)), '0', 'z'), '', 9007199254740993)",
    )

    page = words(await Visitor(host).get("/d1/DB/table?name=t"))

    assert "NULL" in page
    assert "2,000 characters, 400 shown" in page
    assert "empty" in page
    assert "9007199254740993 a Worker sees it rounded" in page


async def test_what_people_stored_never_becomes_markup(host: RunningHost) -> None:
    """Names, values, SQL and errors that hold HTML are shown as text, everywhere."""
    visitor = await visit(host, SQL)
    for number, probe in enumerate(PROBES):
        name = f"t{number} {probe}"
        quoted = '"' + name.replace('"', '""') + '"'
        text = "'" + probe.replace("'", "''") + "'"
        await make(
            host,
            f"CREATE TABLE {quoted} ({quoted} TEXT DEFAULT {text})",
            f'CREATE INDEX {quoted[:-1]}i" ON {quoted} ({quoted})',
            f"INSERT INTO {quoted} VALUES ({text})",
        )
        for path in ("/d1/DB", f"/d1/DB/table?name={quote(name)}", f"{SQL}?sql={quote(probe)}"):
            page = await visitor.get(path)
            assert_tame(page)
        for sql in (f"SELECT {text} AS {quoted}", f'SELECT * FROM {quoted[:-1]}gone"', probe):
            assert_tame((await run(visitor, sql))[1])


WRITES = [
    "INSERT INTO t VALUES (2)",
    "UPDATE t SET n = 5",
    "DELETE FROM t",
    "REPLACE INTO t VALUES (3)",
    "DROP TABLE t",
    "CREATE TABLE u (x)",
    "CREATE TEMP TABLE u (x)",
    "ALTER TABLE t RENAME TO u",
    "WITH x AS (SELECT 9 AS n) INSERT INTO t SELECT n FROM x",
    "WITH x AS (SELECT 1) DELETE FROM t",
    "SELECT 1; DELETE FROM t",
    "INSERT INTO t VALUES (7) RETURNING n",
    "UPDATE sqlite_master SET type = 'view'",
    "PRAGMA writable_schema = ON; DELETE FROM sqlite_master",
    "PRAGMA query_only = OFF; DELETE FROM t",
    "PRAGMA user_version = 7",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA optimize",
    "ATTACH 'beside.sqlite' AS beside",
    "VACUUM",
    "VACUUM INTO 'copy.sqlite'",
    "REINDEX",
    "ANALYZE",
    "BEGIN; DELETE FROM t; COMMIT",
    "SELECT load_extension('x')",
    "SELECT writefile('x', 'y')",
    "EXPLAIN DELETE FROM t",
    "SELECT * FROM sqlite_dbpage",
    "SELECT * FROM _cf_KV",
]


async def test_reading_only_is_only_reading(host: RunningHost) -> None:
    """Whatever writes is refused by the engine, with D1's words, and nothing changes."""
    await make(host, "CREATE TABLE t (n)", "INSERT INTO t VALUES (1)")
    visitor = await visit(host, SQL)
    before = list(Path.cwd().iterdir())
    schema = await host.env.db.prepare("SELECT * FROM sqlite_master").raw()

    for sql in WRITES:
        status, page = await run(visitor, sql)

        assert status == 400, sql
        assert "D1_ERROR" in page, sql
        assert await host.env.db.prepare("SELECT n FROM t").raw() == [[1]], sql
        assert await host.env.db.prepare("SELECT * FROM sqlite_master").raw() == schema, sql
    assert list(Path.cwd().iterdir()) == before


READS = [
    "SELECT n FROM t",
    "WITH x AS (SELECT n FROM t) SELECT * FROM x",
    "VALUES (41 + 1)",
    "PRAGMA table_info(t)",
    "SELECT name FROM pragma_table_list",
    "SELECT value FROM json_each('[1]')",
    "EXPLAIN QUERY PLAN SELECT n FROM t",
    "-- a note\nSELECT 'INSERT INTO t; DELETE' AS text",
]


async def test_reading_reads(host: RunningHost) -> None:
    """What only asks is answered, also when its text looks like a write."""
    await make(host, "CREATE TABLE t (n)", "INSERT INTO t VALUES (1)")
    visitor = await visit(host, SQL)

    for sql in READS:
        status, page = await run(visitor, sql)

        assert status == 200, sql
        assert re.search(r"[1-9]\d* rows? in", page), sql


async def test_writing_takes_the_button_and_the_tick_and_forgets_both(host: RunningHost) -> None:
    """The button alone runs nothing; with the tick the batch is kept, and the tick is gone."""
    await make(host, "CREATE TABLE t (n)")
    visitor = await visit(host, SQL)

    alone = await run(visitor, "INSERT INTO t VALUES (1)", mode="write")
    ticked_only = await run(visitor, "INSERT INTO t VALUES (2)", allow_writes="yes")
    both = await write(visitor, "INSERT INTO t VALUES (3); SELECT n FROM t")

    assert alone[0] == 400
    assert ticked_only[0] == 400
    assert both[0] == 200
    assert "1 written" in both[1]
    assert await host.env.db.prepare("SELECT n FROM t").raw() == [[3]]
    assert "checked" not in both[1]


async def test_a_batch_that_fails_keeps_nothing(host: RunningHost) -> None:
    """Writing runs as one batch: the page tells D1's error, and nothing was kept."""
    await make(host, "CREATE TABLE t (n UNIQUE)")

    status, page = await write(
        await visit(host, SQL), "INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)"
    )

    assert status == 400
    assert "UNIQUE constraint failed: t.n: SQLITE_CONSTRAINT" in words(page)
    assert await host.env.db.prepare("SELECT count(*) AS n FROM t").first("n") == 0


async def test_long_results_are_cut_and_say_so(host: RunningHost) -> None:
    """500 rows are shown of 1000, and the page says that there are more."""
    sql = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
        "SELECT i FROM n"
    )
    visitor = await visit(host, SQL)

    _, reading = await run(visitor, sql)
    _, writing = await write(visitor, sql)

    assert "The first 500 rows; there are more." in reading
    assert "The first 500 rows of 1,000." in writing


async def test_an_endless_query_is_stopped_and_holds_nobody_up(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query without end stops after its seconds; the loop goes on meanwhile (the host checks)."""
    monkeypatch.setattr("worker.entry.console.sql_look.SECONDS", 0.3)

    status, page = await run(
        await visit(host, SQL),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    )

    assert status == 400
    assert "interrupted" in page
    assert "It was stopped after 0.3 seconds." in page


MISTAKES = [
    ("", "did not contain a statement"),
    ("-- nothing", "did not contain a statement"),
    ("SELEC 1", "syntax error"),
    ("SELECT ?", "Wrong number of parameter bindings"),
    ("SELECT * FROM nowhere", "no such table: nowhere"),
    ("SELECT 1;" * 21, "at most 20 statements"),
    ("SELECT '" + "x" * 100_001 + "'", "statement too long"),
]


async def test_mistakes_are_told_in_the_words_of_d1(host: RunningHost) -> None:
    """What cannot run answers 400 with the error beside the box, which keeps the text."""
    visitor = await visit(host, SQL)

    for sql, text in MISTAKES:
        status, page = await run(visitor, sql)

        assert status == 400, sql
        assert text in words(page), sql


async def test_statements_before_a_mistake_are_still_shown(host: RunningHost) -> None:
    """Reading shows what worked, then the error."""
    _, page = await run(await visit(host, SQL), "SELECT 42 AS answer; SELECT nope")

    assert "42" in words(page)
    assert "no such column: nope" in words(page)


async def test_migrations_tell_when_they_were_applied(host: RunningHost) -> None:
    """Applied ones have a time; one whose file is gone stays visible; looking makes no table."""
    await make(host, "INSERT INTO d1_migrations (name) VALUES ('9999_gone.sql')")

    page = words(await Visitor(host).get("/d1/DB/migrations"))

    assert "0001_" in page
    assert page.count("pending") == 1, "only the sentence above the table"
    assert "9999_gone.sql" in page
    assert "its file is gone" in page


async def test_a_missing_migrations_table_is_pending_and_stays_missing(host: RunningHost) -> None:
    """GET changes nothing: the table is not made by looking."""
    await make(host, "DROP TABLE d1_migrations")

    page = words(await Visitor(host).get("/d1/DB/migrations"))

    assert "pending" in page
    with pytest.raises(Exception, match="no such table"):
        await host.env.db.prepare("SELECT * FROM d1_migrations").all()


UNKNOWN = [
    ("/d1/NOPE", 404),
    ("/d1/NOPE/sql", 404),
    ("/d1/DB/table", 404),
    ("/d1/DB/table?name=nope", 404),
    ("/d1/DB/table?name=sqlite_master", 404),
    ("/d1/DB/table?name=profiles&after=abc", 400),
    ("/d1/DB/table?name=profiles&after=%00%FF", 400),
    ("/d1/DB/nothing", 404),
]


async def test_unknown_names_and_altered_addresses_get_clear_pages(host: RunningHost) -> None:
    """404 for what is not there, 400 for a position that the console never made."""
    for path, status in UNKNOWN:
        assert "<h1>" in await Visitor(host).get(path, status), path


async def test_a_position_of_another_table_leads_nowhere(host: RunningHost) -> None:
    """A sealed position is good for its own list only."""
    await make(
        host,
        "CREATE TABLE one (n)",
        "CREATE TABLE two (n)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60) "
        "INSERT INTO one SELECT i FROM n",
    )
    visitor = Visitor(host)
    page = await visitor.get("/d1/DB/table?name=one")
    after = page.partition("after=")[2].partition('"')[0]

    await visitor.get(f"/d1/DB/table?name=one&after={after}")
    await visitor.get(f"/d1/DB/table?name=two&after={after}", 400)


async def test_no_sql_runs_without_the_token(host: RunningHost) -> None:
    """A form from elsewhere is refused before its SQL is looked at."""
    await make(host, "CREATE TABLE t (n)")
    visitor = await visit(host, SQL)
    visitor.token = "forged"

    status, _ = await write(visitor, "DROP TABLE t")

    assert status == 403
    assert await host.env.db.prepare("SELECT count(*) AS n FROM t").first("n") == 0


async def test_looking_leaves_the_locks_of_the_host_alone(
    host: RunningHost, tmp_path: Path
) -> None:
    """After many looks the host still holds its file: another process may not tear its log away."""
    visitor = await visit(host, SQL)
    for _ in range(5):
        await visitor.get("/d1/DB")
        await run(visitor, "SELECT count(*) FROM profiles")

    await make(host, "CREATE TABLE t (n)", "INSERT INTO t VALUES (1)")

    outside = connect(tmp_path / "state" / "d1" / "edgekeep.sqlite")
    assert outside.execute("SELECT n FROM t").fetchall() == [(1,)]
    outside.close()
    assert await host.env.db.prepare("SELECT n FROM t").first("n") == 1
