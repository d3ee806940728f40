"""The probes of golden/probe/d1.js in Python, second half: batches, refusals, sessions, meta."""

import asyncio
import dataclasses
from typing import Any

from d1_schema.contract import D1Database, D1Meta, D1Result, D1Session, D1Statement
from tests.bindings.d1_probes import UNDEFINED, add, after, first, lines, raw, run


async def _deferred(db: D1Database, *rows: str) -> Any:
    statements = ["PRAGMA defer_foreign_keys=on", *rows]
    results = await db.batch([db.prepare(sql) for sql in statements])
    return [result.success for result in results]


add(
    "defer fk in batch ok",
    lambda db: _deferred(db, "INSERT INTO ch VALUES (10)", "INSERT INTO p VALUES (10)"),
)
add("defer fk in batch unresolved", lambda db: _deferred(db, "INSERT INTO ch VALUES (11)"))
add("after unresolved", first("SELECT count(*) c FROM ch"))

SINGLE = """\
BEGIN
BEGIN TRANSACTION
COMMIT
ROLLBACK
SAVEPOINT a
RELEASE a
ATTACH ':memory:' AS z
DETACH z
VACUUM
VACUUM INTO 'x'
PRAGMA journal_mode
PRAGMA user_version
PRAGMA user_version=3
PRAGMA table_info(u)
PRAGMA table_list
PRAGMA index_list(u)
PRAGMA foreign_key_list(ch)
PRAGMA foreign_key_check
PRAGMA integrity_check
PRAGMA quick_check
PRAGMA optimize
PRAGMA compile_options
PRAGMA database_list
PRAGMA page_count
PRAGMA page_size
PRAGMA cache_size
PRAGMA recursive_triggers
PRAGMA case_sensitive_like=on
PRAGMA case_sensitive_like=off
PRAGMA encoding
ANALYZE
REINDEX
EXPLAIN QUERY PLAN SELECT * FROM u
EXPLAIN SELECT 1
SELECT sqlite_version()
SELECT load_extension('x')
SELECT last_insert_rowid() a, changes() b, total_changes() c
CREATE TEMP TABLE tt (a)
CREATE VIRTUAL TABLE ft USING fts5(x)
CREATE VIRTUAL TABLE rt USING rtree(id,a,b)
CREATE TABLE _cf_x (a)
CREATE TABLE sqlite_x (a)
CREATE TABLE d1_migrations (a)
SELECT * FROM _cf_KV
SELECT name FROM sqlite_master LIMIT 3
SELECT * FROM sqlite_schema WHERE 0
SELECT * FROM pragma_table_info('u')
SELECT * FROM json_each('[1,2]')
SELECT * FROM generate_series(1,3)
SELECT random() IS NOT NULL r, hex(zeroblob(2)) z
SELECT json_extract('{"a":1}','$.a') j
SELECT regexp('a','b')
SELECT 'a' REGEXP 'a'
SELECT unixepoch() > 0 u, datetime('now') IS NOT NULL d
SELECT sqrt(4), pow(2,3), ceil(1.2)
SELECT median(1)
SELECT soundex('a')
SELECT uuid()
SELECT iif(1,2,3), format('%d',1)
SELECT concat('a','b')
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<5) SELECT sum(x) s FROM c
DROP TABLE IF EXISTS nope
ALTER TABLE u ADD COLUMN z
SELECT "dq_string" AS x
SELECT 1 AS a, 2 AS a"""


def _four_rows(sql: str) -> Any:
    async def probe(db: D1Database) -> Any:
        return (await db.prepare(sql).all()).results[:4]

    return probe


for _sql in SINGLE.splitlines():
    add(f"sql: {_sql}", _four_rows(_sql))

add("empty sql", run(""))
add("comment only", run("-- hi"))
add("semicolon only", run(";"))
add("trailing semicolon+comment", run("SELECT 1 AS a; -- x", of="results"))
add("leading comment", run("-- x\nSELECT 1 AS a", of="results"))
add("multi stmt prepare", run("SELECT 1 AS a; SELECT 2 AS b", of="results"))
add("multi stmt w/ params", run("SELECT ? AS a; SELECT ? AS b", 1, 2))
add("multi stmt last params", run("SELECT 1 AS a; SELECT ? AS b", 2, of="results"))
add("exec multi-line", lines("SELECT 1;\nSELECT 2;\nSELECT 3"))
add("exec stmt across lines", lines("CREATE TABLE ml (\n a INT\n)"))
add("exec two on one line", lines("SELECT 1; SELECT 2"))
add("exec error line 2", lines("CREATE TABLE ee (a);\nBAD SQL;\nSELECT 3"))
add("exec rolled back?", first("SELECT count(*) c FROM sqlite_master WHERE name='ee'"))
add("exec empty", lines(""))
add("exec blank line between", lines("SELECT 1;\n\nSELECT 2;"))
add("exec comment line", lines("-- c\nSELECT 2;"))


async def _batch(db: D1Database, *texts: str) -> Any:
    return await db.batch([db.prepare(sql) for sql in texts])


_INSERT_ZZ = "INSERT INTO u (name) VALUES ('zz')"
add("batch []", lambda db: _batch(db))
add(
    "batch ok",
    lambda db: _batch(
        db,
        "INSERT INTO u (name) VALUES ('b1')",
        "SELECT count(*) c FROM u",
        "UPDATE u SET name='q' RETURNING id",
    ),
)
add("batch error rolls back", lambda db: _batch(db, _INSERT_ZZ, "BAD"))
add("batch rolled back", first("SELECT count(*) c FROM u WHERE name='zz'"))
add(
    "batch constraint err rolls back",
    lambda db: _batch(db, _INSERT_ZZ, "INSERT INTO u (id) VALUES (1)"),
)
add("batch rolled back2", first("SELECT count(*) c FROM u WHERE name='zz'"))


async def _batch_of_text(db: D1Database) -> Any:
    texts: list[Any] = ["SELECT 1"]
    return await db.batch(texts)


add("batch of non statements", _batch_of_text)
add("delete meta", run("DELETE FROM u WHERE id=1"))
add("update 0 rows meta", run("UPDATE u SET name='n' WHERE id=999", of="meta"))
add("insert or ignore dup meta", run("INSERT OR IGNORE INTO un VALUES ('a','b',1)", of="meta"))
add(
    "upsert",
    run(
        "INSERT INTO un VALUES ('a','c',1) ON CONFLICT(a) DO UPDATE SET b=excluded.b RETURNING *",
    ),
)
add("dup cols all", run("SELECT 1 AS a, 2 AS a", of="results"))
add("dup cols raw", raw("SELECT 1 AS a, 2 AS a", names=True))
add("unnamed col", first("SELECT 1+1"))
add("unicode/emoji/NUL", first("SELECT ? AS a, length(?1) l", "a\0é😀"))


async def _fresh_bookmark(db: D1Database) -> Any:
    return db.with_session().get_bookmark()


async def _session(db: D1Database) -> Any:
    session = db.with_session("first-primary")
    before = session.get_bookmark()
    await session.prepare("SELECT 1 a").all()
    read = session.get_bookmark()
    await session.prepare("INSERT INTO u (name) VALUES ('s')").run()
    written = session.get_bookmark()
    assert read is not None
    assert written is not None
    kinds = [
        "function" if hasattr(session, name) else UNDEFINED
        for name in ("exec", "with_session", "batch")
    ]
    return [before, "«read»", "«written»", written > read, *kinds]


async def _garbage_bookmark(db: D1Database) -> Any:
    session = db.with_session("garbage")
    return [await session.prepare("SELECT 1 a").first(), session.get_bookmark()]


async def _empty_constraint(db: D1Database) -> Any:
    return db.with_session("").get_bookmark()


add("withSession() bookmark before", _fresh_bookmark)
add("withSession first-primary", _session)
add("withSession('garbage')", _garbage_bookmark)
add("withSession('')", _empty_constraint)


async def _dump(db: D1Database) -> Any:
    return getattr(db, "dump")()  # noqa: B009 - that there is none is the point


async def _statement_properties(db: D1Database) -> Any:
    return [name for name in D1Statement.__slots__ if name != "runner"]


async def _prepare_number(db: D1Database) -> Any:
    number: Any = 5
    return await db.prepare(number).all()


add("dump", _dump)
add("statement props", _statement_properties)
add("prepare non-string", _prepare_number)
_TRIGGER = (
    "CREATE TRIGGER tr AFTER INSERT ON p BEGIN "
    "INSERT INTO ti VALUES (1,2,3,4); INSERT INTO ti VALUES (1,2,3,4); END"
)
add("trigger", after(_TRIGGER, run("INSERT INTO p VALUES (77)", of="meta")))


async def _concurrent(db: D1Database) -> Any:
    await db.exec("CREATE TABLE cc (n INT)")
    await db.exec("INSERT INTO cc VALUES (0)")
    await asyncio.gather(*(db.prepare("UPDATE cc SET n=n+1").run() for _ in range(20)))
    return await db.prepare("SELECT n FROM cc").first("n")


def _public(kind: type) -> list[str]:
    inherited = [name for base in kind.__mro__ for name in vars(base)]
    return sorted({n for n in inherited if not n.startswith(("_", "run_"))})


async def _meta_keys(db: D1Database) -> Any:
    return [[f.name for f in dataclasses.fields(kind)] for kind in (D1Result, D1Meta)]


async def _methods(db: D1Database) -> Any:
    fields = set(D1Statement.__slots__)
    statement = [name for name in _public(D1Statement) if name not in fields]
    return [_public(D1Database), statement, _public(D1Session)]


add("concurrent writes", _concurrent)
add("meta keys", _meta_keys)
add("d1 methods", _methods)
