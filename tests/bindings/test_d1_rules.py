"""
Rules of D1 that the golden transcript does not cover (facts/bindings.md H3).

Each runs on every adapter.
"""

import asyncio

import pytest

from d1_schema.contract import D1Database, D1Error, D1TypeError


async def refusal(d1: D1Database, sql: str, *values: object) -> D1Error:
    """The error of a statement."""
    with pytest.raises(D1Error) as caught:
        await d1.prepare(sql).bind(*values).run()
    return caught.value


@pytest.mark.parametrize(
    ("sql", "value", "expected"),
    [
        ("SELECT ? / 2 x", 7, 3.5),
        ("SELECT 'x' || ? x", 1, "x1.0"),
        ("SELECT json_object('a', ?) x", 1, '{"a":1.0}'),
        ("SELECT CAST(? AS INTEGER) / 2 x", 7, 3),
        ("SELECT typeof(?) x", True, "real"),
        ("SELECT ? x", True, 1),
        ("SELECT ? x", -0.0, 0),
        ("SELECT ? x", 2**53 - 1, 2**53 - 1),
        ("SELECT CAST(? AS INTEGER) x", str(2**60), float(2**60)),
        ("SELECT 1e308 * ? x", 10, None),
        ("SELECT ? x", bytearray(b"ab"), b"ab"),
        ("SELECT ? x", "a\0é😀", "a\0é😀"),
        ("SELECT ? x", "a\ud800", "a\ufffd"),
        ("SELECT length(?) x", "", 0),
    ],
)
async def test_values_cross_as_javascript_numbers_do(
    d1: D1Database, sql: str, value: object, expected: object
) -> None:
    """Numbers bind as REAL and whole ones come back as int (bindings.md B2)."""
    found = await d1.prepare(sql).bind(value).first("x")
    assert found == expected
    assert type(found) is type(expected)


async def test_an_integer_column_keeps_a_decimal_text_exactly(d1: D1Database) -> None:
    """Ids beyond 2**53 go in as text; inside SQL they are exact."""
    await d1.exec("CREATE TABLE t (i INTEGER)")
    await d1.prepare("INSERT INTO t VALUES (?)").bind(str(2**60 + 1)).run()
    exact = await d1.prepare("SELECT CAST(i AS TEXT) x, i FROM t").first()
    assert exact == {"x": str(2**60 + 1), "i": float(2**60)}


@pytest.mark.parametrize("value", [{}, ["a"], (1,), object(), {1}, 2**53, -(2**53), [256]])
async def test_a_value_that_cannot_be_bound_never_reaches_the_database(
    d1: D1Database, value: object
) -> None:
    """bind itself raises, as a D1TypeError that is a TypeError too."""
    with pytest.raises(D1TypeError, match=r"^D1_TYPE_ERROR: Type "):
        d1.prepare("SELECT ?").bind(value)
    assert issubclass(D1TypeError, TypeError)


async def test_values_end_at_two_million_bytes(d1: D1Database) -> None:
    """Exactly 2,000,000 bytes pass, one more does not, bytes of UTF-8 counted."""
    await d1.exec("CREATE TABLE t (v)")
    insert = d1.prepare("INSERT INTO t VALUES (?)")
    await insert.bind("é" * 1_000_000).run()
    await insert.bind(bytes(2_000_000)).run()

    for value in ("é" * 1_000_000 + "x", bytes(2_000_001)):
        with pytest.raises(D1Error, match="string or blob too big: SQLITE_TOOBIG"):
            insert.bind(value)
    made = await refusal(d1, "INSERT INTO t VALUES (zeroblob(2100000))")
    assert made.code == "SQLITE_TOOBIG"
    assert await d1.prepare("SELECT length(v) l FROM t").raw() == [[1_000_000], [2_000_000]]


@pytest.mark.parametrize(
    ("sql", "values", "expected"),
    [
        ("SELECT ?1 a, ?3 b", (1, 2, 3), [1, 3]),
        ("SELECT ?3 a, ?1 b", (1, 2, 3), [3, 1]),
        ("SELECT :a x, @a y", (1, 2), [1, 2]),
        ("SELECT :a x, ? y, :a z", (1, 2), [1, 2, 1]),
        ("SELECT ? x, :n y, ?1 z", (1, 2), [1, 2, 1]),
        ("SELECT $a::b x", (1,), [1]),
        ("SELECT '?' x, \"?\" y, ? z -- ?\n", (1,), ["?", "?", 1]),
    ],
)
async def test_parameters_are_positional_whatever_their_form(
    d1: D1Database, sql: str, values: tuple[int, ...], expected: list[object]
) -> None:
    """Numbers, gaps, three kinds of names, and question marks that are none."""
    assert await d1.prepare(sql).bind(*values).raw() == [expected]


@pytest.mark.parametrize("sql", ["SELECT :a, :b", "SELECT ?1, ?3", "SELECT ?, ?, ?"])
@pytest.mark.parametrize("count", [0, 1, 4])
async def test_the_number_of_values_must_fit(d1: D1Database, sql: str, count: int) -> None:
    """Too few and too many are one error; SQLite's own complaint about the text comes first."""
    error = await refusal(d1, sql, *range(count))
    assert str(error) == "D1_ERROR: Wrong number of parameter bindings for SQL query."

    assert "no such table" in str(await refusal(d1, sql + " FROM nowhere", *range(count)))


async def test_a_refused_write_is_not_run_by_its_check(d1: D1Database) -> None:
    """Finding the wrong number of values does not write a row of NULLs."""
    await d1.exec("CREATE TABLE t (a, b)")
    await refusal(d1, "INSERT INTO t VALUES (?, ?)", 1)
    assert await d1.prepare("SELECT count(*) c FROM t").first("c") == 0


async def test_a_statement_of_several_keeps_all_or_nothing(d1: D1Database) -> None:
    """Two statements in one prepare are one transaction."""
    await d1.exec("CREATE TABLE t (a UNIQUE)")
    await refusal(d1, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (?)", 1)
    assert await d1.prepare("SELECT count(*) c FROM t").first("c") == 0


async def test_errors_carry_their_codes(d1: D1Database) -> None:
    """code and extended are parsed from the text."""
    await d1.exec("CREATE TABLE t (a UNIQUE, i INTEGER PRIMARY KEY)")
    await d1.exec("INSERT INTO t VALUES ('x', 1)")
    unique = await refusal(d1, "INSERT INTO t (a) VALUES ('x')")
    assert (unique.code, unique.extended) == ("SQLITE_CONSTRAINT", "SQLITE_CONSTRAINT_UNIQUE")
    mismatch = await refusal(d1, "INSERT INTO t (i) VALUES (?)", 10.5)
    assert str(mismatch) == "D1_ERROR: datatype mismatch: SQLITE_MISMATCH"
    assert (mismatch.code, mismatch.extended) == ("SQLITE_MISMATCH", "")


async def test_changes_count_triggers_and_cascades(d1: D1Database) -> None:
    """meta.changes is what changed in the database, not in the named table."""
    await d1.exec(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)\n"
        "CREATE TABLE c (p INTEGER REFERENCES p (id) ON DELETE CASCADE)\n"
        "INSERT INTO p VALUES (1)\nINSERT INTO c VALUES (1)"
    )
    result = await d1.prepare("DELETE FROM p").run()
    assert result.meta.changes == 2


async def test_size_grows_by_whole_pages(d1: D1Database) -> None:
    """And is known to reads as well."""
    before = (await d1.prepare("CREATE TABLE t (v)").run()).meta.size_after
    after = (await d1.prepare("INSERT INTO t VALUES (zeroblob(100000))").run()).meta.size_after
    assert after - before >= 96 * 1024
    assert before % 4096 == after % 4096 == 0
    assert (await d1.prepare("SELECT 1").run()).meta.size_after == after


async def test_a_failure_does_not_undo_its_neighbours(d1: D1Database) -> None:
    """Writes of one moment share a transaction that nobody notices."""
    await d1.exec("CREATE TABLE t (i INTEGER PRIMARY KEY)")

    insert = d1.prepare("INSERT INTO t VALUES (?)")
    results = await asyncio.gather(
        *(insert.bind(i // 2).run() for i in range(200)), return_exceptions=True
    )
    errors = [result for result in results if isinstance(result, D1Error)]
    assert {error.extended for error in errors} == {"SQLITE_CONSTRAINT_PRIMARYKEY"}
    assert len(errors) == 100
    assert await d1.prepare("SELECT count(*) c FROM t").first("c") == 100


async def test_a_deferred_violation_hits_only_its_own_batch(d1: D1Database) -> None:
    """A constraint that fails at the commit must not take neighbours with it."""
    await d1.exec(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)\n"
        "CREATE TABLE c (p INTEGER REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)"
    )
    results = await asyncio.gather(
        d1.prepare("INSERT INTO p VALUES (1)").run(),
        d1.prepare("INSERT INTO c VALUES (99)").run(),
        d1.prepare("INSERT INTO p VALUES (2)").run(),
        return_exceptions=True,
    )
    assert [isinstance(result, D1Error) for result in results] == [False, True, False]
    assert await d1.prepare("SELECT id FROM p").raw() == [[1], [2]]
    assert await d1.prepare("SELECT count(*) c FROM c").first("c") == 0


async def test_half_a_statement_is_never_kept(d1: D1Database) -> None:
    """RAISE(FAIL), OR FAIL and OR ROLLBACK leave rows behind in SQLite; D1 undoes them."""
    await d1.exec("CREATE TABLE t (a UNIQUE)\nCREATE TABLE other (a)")
    for how in ("FAIL", "ROLLBACK", "ABORT"):
        results = await asyncio.gather(
            d1.prepare(f"INSERT INTO other VALUES ('{how}')").run(),
            d1.prepare(f"INSERT OR {how} INTO t VALUES (1), (2), (1)").run(),
            d1.prepare(f"INSERT INTO other VALUES ('{how}')").run(),
            return_exceptions=True,
        )
        assert isinstance(results[1], D1Error), how
        assert await d1.prepare("SELECT count(*) c FROM t").first("c") == 0, how
    assert await d1.prepare("SELECT count(*) c FROM other").first("c") == 6


async def test_a_users_begin_is_refused_however_often(d1: D1Database) -> None:
    """Also after the store's own BEGIN ran, also behind a comment (facts B4, the trap)."""
    await d1.exec("CREATE TABLE t (a)")
    for sql in ("BEGIN", "begin immediate", "/* x */ COMMIT", "BEGIN IMMEDIATE /* edgekeep */"):
        for _ in range(2):
            text = str(await refusal(d1, sql))
            assert text.startswith("D1_ERROR: To execute a transaction, please use")
    await d1.prepare("INSERT INTO t VALUES (1)").run()


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE t RENAME TO _cf_t",
        "CREATE TABLE _CF_t (a)",
        "CREATE TEMP VIEW v AS SELECT 1",
        "SELECT * FROM pragma_function_list",
        "PRAGMA writable_schema = on",
        "SELECT * FROM pragma_database_list",
    ],
)
async def test_back_doors_are_shut(d1: D1Database, sql: str) -> None:
    """Hidden names, temporary objects, tables and pragmas of SQLite's inside."""
    await d1.exec("CREATE TABLE t (a)")
    assert (await refusal(d1, sql)).code == "SQLITE_AUTH"


async def test_a_setting_holds_for_the_whole_database(d1: D1Database) -> None:
    """Reads and writes follow a pragma, whichever connection they come to."""
    like = d1.prepare("SELECT 'A' LIKE 'a' x")
    assert await like.first("x") == 1
    await d1.prepare("PRAGMA case_sensitive_like = on").run()
    assert await like.first("x") == 0
    await d1.prepare("PRAGMA case_sensitive_like = off").run()
    assert await like.first("x") == 1


async def test_text_that_is_not_utf8_reads_with_replacement_characters(d1: D1Database) -> None:
    """Such text can come of CAST; it must not make a row unreadable."""
    await d1.exec("CREATE TABLE t (v TEXT)")
    assert await d1.prepare("SELECT CAST(x'61ff' AS TEXT) x").first("x") == "a\ufffd"
    await d1.prepare("INSERT INTO t VALUES (CAST(x'61ff' AS TEXT)), ('b')").run()
    assert await d1.prepare("SELECT v, 1 n FROM t ORDER BY v").raw() == [["a\ufffd", 1], ["b", 1]]


async def test_bookmarks_grow_with_every_write(d1: D1Database) -> None:
    """As text, and a session continues from the bookmark it is given."""
    await d1.exec("CREATE TABLE t (a)")
    seen = []
    for i in range(20):
        session = d1.with_session(seen[-1] if seen else None)
        await session.batch([session.prepare("INSERT INTO t VALUES (?)").bind(i)])
        seen.append(session.get_bookmark() or "")
    assert seen == sorted(set(seen))


async def test_close_may_be_repeated_and_ends_all_work(d1: D1Database) -> None:
    """Afterwards every call is a D1Error."""
    await d1.close()
    await d1.close()
    for sql in ("SELECT 1", "CREATE TABLE t (a)"):
        assert "closed" in str(await refusal(d1, sql)).lower()


async def test_deferred_keys_do_not_reach_the_neighbours(d1: D1Database) -> None:
    """The pragma holds for its own batch, also when others write in the same moment."""
    await d1.exec(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)\nCREATE TABLE c (p INTEGER REFERENCES p (id))"
    )
    deferring = [
        d1.prepare("PRAGMA defer_foreign_keys = on"),
        d1.prepare("INSERT INTO c VALUES (1)"),
        d1.prepare("INSERT INTO p VALUES (1)"),
    ]
    results = await asyncio.gather(
        d1.batch(deferring),
        d1.prepare("INSERT INTO c VALUES (2)").run(),
        d1.prepare("INSERT INTO p VALUES (2)").run(),
        return_exceptions=True,
    )
    assert [isinstance(result, D1Error) for result in results] == [False, True, False]
