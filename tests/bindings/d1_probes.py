"""
The probes of golden/probe/d1.js in Python: the same calls, in the same order.

They build on each other (one database for all), so they are replayed as a whole.
A probe returns what the JavaScript one returned, in golden notation.
"""

import dataclasses
from array import array
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from d1_schema.contract import D1Database, D1ExecResult, D1Meta, D1Result

Probe = Callable[[D1Database], Awaitable[Any]]
PROBES: dict[str, Probe] = {}
UNDEFINED = "undefined"

NOT_COMPARED = ("served_by", "duration", "size_after", "rows_read", "rows_written")
"""Differs with the machine, the engine or its way of counting; the contract does not promise it."""


def add(name: str, probe: Probe) -> None:
    """Register *probe* under its golden name."""
    assert name not in PROBES, name
    PROBES[name] = probe


def write(answer: Any) -> Any:
    """
    Put an answer of the contract into golden notation.

    Settled here once: a blob is bytes in Python and an array of numbers in
    JavaScript; and long texts are cut as the transcript cuts them.
    """
    if isinstance(answer, (D1Result, D1Meta, D1ExecResult)):
        return write({f.name: getattr(answer, f.name) for f in dataclasses.fields(answer)})
    if isinstance(answer, dict):
        return {key: write(value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [write(each) for each in answer]
    return list(answer) if isinstance(answer, bytes) else answer


def masked(answer: Any) -> Any:
    """Put "…" in the place of what is not compared."""
    if isinstance(answer, dict):
        return {k: "…" if k in NOT_COMPARED else masked(v) for k, v in answer.items()}
    return [masked(each) for each in answer] if isinstance(answer, list) else answer


async def replay(db: D1Database) -> dict[str, Any]:
    """Run every probe; return the answers by name."""
    answers: dict[str, Any] = {}
    for name, probe in PROBES.items():
        try:
            answers[name] = write(await probe(db))
        except Exception as error:
            kind = type(error).__name__
            # At Cloudflare every error of D1 is a plain Error.
            answers[name] = ["ERR", "Error" if kind.startswith("D1") else kind, str(error)]
    return answers


def first(sql: str, *values: Any, column: str | None = None) -> Probe:
    """A probe that asks for the first row, or its column."""

    async def probe(db: D1Database) -> Any:
        statement = db.prepare(sql)
        return await (statement.bind(*values) if values else statement).first(column)

    return probe


def run(sql: str, *values: Any, of: str | None = None) -> Probe:
    """A probe that runs a statement and returns all of the answer, or a part."""

    async def probe(db: D1Database) -> Any:
        statement = db.prepare(sql)
        result = await (statement.bind(*values) if values else statement).run()
        return result if of is None else getattr(result, of)

    return probe


def raw(sql: str, *values: Any, names: bool = False) -> Probe:
    """A probe that asks for rows as lists."""

    async def probe(db: D1Database) -> Any:
        statement = db.prepare(sql)
        bound = statement.bind(*values) if values else statement
        return await bound.raw(column_names=names)

    return probe


def lines(sql: str) -> Probe:
    """A probe that runs lines; how long they took is not compared."""

    async def probe(db: D1Database) -> Any:
        return await db.exec(sql)

    return probe


def after(setup: str, probe: Probe) -> Probe:
    """*probe* after some lines that make its tables."""

    async def both(db: D1Database) -> Any:
        await db.exec(setup)
        return await probe(db)

    return both


add("exec create", lines("CREATE TABLE u (id INTEGER PRIMARY KEY, name TEXT, b BLOB, r REAL)"))
add("run insert", run("INSERT INTO u (name) VALUES (?)", "x"))
add("all select", run("SELECT * FROM u"))
add("run select", run("SELECT * FROM u"))
add("raw", raw("SELECT * FROM u"))
add("raw columnNames", raw("SELECT * FROM u", names=True))
add("raw columnNames empty result", raw("SELECT * FROM u WHERE 0", names=True))
add("first", first("SELECT * FROM u"))
add("first col", first("SELECT * FROM u", column="name"))
add("first bad col", first("SELECT * FROM u", column="zzz"))
add("first bad col, no rows", first("SELECT * FROM u WHERE 0", column="zzz"))
add("first no rows", first("SELECT * FROM u WHERE 0"))
add("first null col value", first("SELECT NULL AS n", column="n"))

add("bind undefined", run("SELECT ?", None, of="results"))
add("bind object", run("SELECT ?", {"a": 1}))
add("bind bigint", run("SELECT ?", 2**53))
add("bind Date", run("SELECT ?", datetime(1970, 1, 1, tzinfo=UTC)))
add("bind symbol/function", run("SELECT ?", print))
add("bind bool", first("SELECT ? AS a, ? AS b, typeof(?1) AS t", True, False))
_SHOW = "SELECT ? AS a, typeof(?1) AS t"
add("bind null", first(_SHOW, None))
add("bind int", first(_SHOW, 42))
add("bind float", first(_SHOW, 1.5))
add("bind 1.0", first(_SHOW, 1.0))
add("bind NaN", first(_SHOW, float("nan")))
add("bind Infinity", first(_SHOW, float("inf")))
add("bind 2^53", first(_SHOW, float(2**53)))
add("bind 2^53+big", first(_SHOW, 1e18))


async def _int_columns(db: D1Database) -> Any:
    await db.exec("CREATE TABLE ti (i INTEGER, t TEXT, n NUMERIC, x)")
    await db.prepare("INSERT INTO ti VALUES (?,?,?,?)").bind(7, 7, 7, 7).run()
    sql = "SELECT *, typeof(i) a, typeof(t) b, typeof(n) c, typeof(x) d FROM ti"
    return await db.prepare(sql).first()


async def _strict(db: D1Database) -> Any:
    await db.exec("CREATE TABLE st (i INTEGER, t TEXT) STRICT")
    await db.prepare("INSERT INTO st VALUES (?,?)").bind(5, "x").run()
    return await db.prepare("SELECT *, typeof(i) a FROM st").first()


add("int into INTEGER col", _int_columns)
add("strict INTEGER with bound 5", _strict)
add("strict INTEGER with bound 5.5", run("INSERT INTO st VALUES (?,?)", 5.5, "x"))
add("int64 literal", first("SELECT 9223372036854775807 AS a"))
_BLOB = "SELECT ? AS a, typeof(?1) t"
add("bind Uint8Array", first(_BLOB + ", length(?1) l", bytes([1, 2, 255])))
add("bind ArrayBuffer", first(_BLOB, memoryview(bytes([1, 2]))))
add("bind empty Uint8Array", first(_BLOB, b""))
add("bind int array", first(_BLOB, [1, 2]))
add("bind array >255", first(_BLOB, [1, 256]))
add("bind array strings", first("SELECT ? AS a", ["a"]))
add("bind Int16Array", first(_BLOB + ", hex(?1) h", memoryview(array("h", [1, 300]))))
add("select blob", first("SELECT x'00ff' AS a"))

add("too few params", run("SELECT ?, ?", 1))
add("too many params", run("SELECT ?", 1, 2))
add("no bind w/ param", run("SELECT ?"))
add("?1 ?3 gaps", run("SELECT ?1 a, ?3 b", 1, 2, 3))
add("named :a", run("SELECT :a AS x", 1))
add("named @a $b", run("SELECT @a AS x, $b AS y", 1, 2))


async def _rebind(db: D1Database) -> Any:
    statement = db.prepare("SELECT ? AS a")
    return [await statement.bind(1).bind(2).first(), await statement.bind(3).first()]


add("rebind replaces", _rebind)
add("100 params", raw("SELECT " + "+".join("?" * 100), *[1] * 100))
add("101 params", raw("SELECT " + ",".join("?" * 101), *[1] * 101))


def _long(length: int) -> Probe:
    async def probe(db: D1Database) -> Any:
        rows = await db.prepare("SELECT '" + "x" * (length - 9) + "'").raw()
        return len(rows[0][0])

    return probe


def _stored(length: int) -> Probe:
    async def probe(db: D1Database) -> Any:
        await db.prepare("INSERT INTO big VALUES (?)").bind("x" * length).run()
        return "stored"

    return probe


async def _two_megabytes(db: D1Database) -> Any:
    await db.exec("CREATE TABLE big (v TEXT)")
    await _stored(2_000_000)(db)
    return await db.prepare("SELECT length(v) l FROM big").first("l")


for _length in (100_000, 100_001, 100_010):
    add(f"sql {_length} bytes", _long(_length))
add("string 2MB", _two_megabytes)
add("string 2.1MB", _stored(2_100_000))
add("string 4.2MB", _stored(4_200_000))
add("zeroblob 5MB", first("SELECT length(zeroblob(5000000)) l"))
add("like 50", first("SELECT 'a' LIKE ? AS x", "a" * 50))
add("like 51", first("SELECT 'a' LIKE ? AS x", "a" * 51))
for _count in (100, 101):
    _columns = ",".join(f"c{i}" for i in range(_count))
    add(f"{_count} columns", lines(f"CREATE TABLE c{_count} ({_columns})"))


def _compound(terms: int) -> Probe:
    async def probe(db: D1Database) -> Any:
        return len((await db.prepare(" UNION ALL ".join(["SELECT 1"] * terms)).all()).results)

    return probe


add("compound 5", _compound(5))
add("compound 6", _compound(6))
_rows = ",".join(["(1)"] * 600)
add("values 600 rows", first(f"SELECT count(*) c FROM (VALUES {_rows})"))
add("expr depth 101", raw("SELECT " + "1+" * 101 + "1"))
add("function args 127 max()", first(f"SELECT max({','.join('1' * 127)}) m"))
add("function args 128", first(f"SELECT max({','.join('1' * 128)}) m"))
add("function args 33 json_array", first(f"SELECT json_array({','.join('1' * 33)}) m"))

add("syntax error", run("SELEC 1"))
add("no such table", run("SELECT * FROM nope"))
add("no such column", run("SELECT zz FROM u"))
_UN = "CREATE TABLE un (a TEXT UNIQUE, b TEXT NOT NULL, c INT CHECK (c > 0))"
_UN_ROW = "INSERT INTO un VALUES ('a','b',1)"
add("unique violation", after(_UN + "\n" + _UN_ROW, run(_UN_ROW)))
add("notnull violation", run("INSERT INTO un VALUES ('q',NULL,1)"))
add("check violation", run("INSERT INTO un VALUES ('q','b',0)"))
add("pk violation", run("INSERT INTO u (id) VALUES (1)"))
_KEYS = "CREATE TABLE p (id INTEGER PRIMARY KEY)\nCREATE TABLE ch (pid INTEGER REFERENCES p(id))"
add("FK default on", after(_KEYS, run("INSERT INTO ch VALUES (9)")))
add("pragma foreign_keys read", run("PRAGMA foreign_keys", of="results"))
add("pragma foreign_keys=off", run("PRAGMA foreign_keys=off", of="results"))
add("pragma foreign_keys after", run("PRAGMA foreign_keys", of="results"))
add("FK after off", run("INSERT INTO ch VALUES (9)"))
