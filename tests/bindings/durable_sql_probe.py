"""The SQL calls of golden/probe/do.js in Python, registered with the other cases."""

from typing import Any

from tests.bindings.durable_probe import buffer, case


@case
async def sql_shapes(c: Any, s: Any) -> Any:
    q = s.sql.exec("SELECT 1 a, 'x' b, NULL c, x'01' d, 1.5 e")
    return [q.column_names, [buffer(r) for r in q.to_array()], q.rows_read, q.rows_written]


@case
async def sql_one0(c: Any, s: Any) -> Any:
    return s.sql.exec("SELECT 1 WHERE 0").one()


@case
async def sql_one2(c: Any, s: Any) -> Any:
    return s.sql.exec("SELECT 1 UNION ALL SELECT 2").one()


@case
async def sql_raw(c: Any, s: Any) -> Any:
    return [*s.sql.exec("SELECT 1 a, 2 a").raw()]


@case
async def sql_dup(c: Any, s: Any) -> Any:
    return s.sql.exec("SELECT 1 a, 2 a").to_array()


@case
async def sql_next(c: Any, s: Any) -> Any:
    q = s.sql.exec("SELECT 1 a")
    return [q.next(), q.next()]


async def _bound(s: Any, value: Any, sql: str = "SELECT ? a") -> Any:
    return buffer(s.sql.exec(sql, value).one())


@case
async def sql_bind_bool(c: Any, s: Any) -> Any:
    return await _bound(s, True, "SELECT ? a, typeof(?1) t")


@case
async def sql_bind_undef(c: Any, s: Any) -> Any:
    return await _bound(s, None)


@case
async def sql_bind_big(c: Any, s: Any) -> Any:
    return await _bound(s, 2**60)


@case
async def sql_bind_obj(c: Any, s: Any) -> Any:
    return await _bound(s, {})


@case
async def sql_bind_arr(c: Any, s: Any) -> Any:
    return await _bound(s, [1, 2])


@case
async def sql_bind_int(c: Any, s: Any) -> Any:
    return await _bound(s, 7, "SELECT ? a, typeof(?1) t, ?1/2 h")


@case
async def sql_bind_u8(c: Any, s: Any) -> Any:
    return await _bound(s, b"\x01\x02", "SELECT ? a, typeof(?1) t")


@case
async def sql_too_few(c: Any, s: Any) -> Any:
    return s.sql.exec("SELECT ?, ?", 1).one()


@case
async def sql_multi(c: Any, s: Any) -> Any:
    script = "CREATE TABLE IF NOT EXISTS mm(a); INSERT INTO mm VALUES (1); "
    return s.sql.exec(script + "SELECT count(*) c FROM mm WHERE a = ?", 1).one()


@case
async def sql_begin(c: Any, s: Any) -> Any:
    s.sql.exec("BEGIN")


@case
async def sql_cf_table(c: Any, s: Any) -> Any:
    return s.sql.exec("SELECT * FROM _cf_KV").to_array()


@case
async def sql_syntax(c: Any, s: Any) -> Any:
    s.sql.exec("SELEC")


@case
async def sql_size(c: Any, s: Any) -> Any:
    s.sql.exec("CREATE TABLE t(a)")
    return s.sql.database_size > 0


@case
async def sql_fk(c: Any, s: Any) -> Any:
    s.sql.exec("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE ch(p REFERENCES p(id))")
    s.sql.exec("INSERT INTO ch VALUES (9)")


@case
async def sql_trailing_comment(c: Any, s: Any) -> Any:
    return s.sql.exec("SELECT 1; -- c").to_array()
