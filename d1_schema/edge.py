"""
D1 at the edge: Cloudflare's own database behind the contract.

Parameters arrive from the contract as str, bytes, float and None and go over as an Array in which
None is a real null (a bare None would arrive as undefined, which D1 refuses). Rows come back in one
crossing, as JSON, where a blob is an array of numbers. Errors keep D1's texts.
"""

from collections.abc import Sequence
from typing import Any

from d1_schema.contract import (
    D1Database,
    D1Error,
    D1Meta,
    D1Rows,
    D1Runner,
    D1Session,
    D1TypeError,
)
from d1_schema.values import Parameter, Value, from_plain
from worker import interop
from worker.interop import JsError


class _EdgeRunner(D1Runner):
    """What a database and a session have in common. *binding* is the raw JavaScript object."""

    def __init__(self, binding: Any) -> None:
        self._binding = binding

    async def run_first(
        self, sql: str, parameters: tuple[Parameter, ...]
    ) -> tuple[Sequence[str], Sequence[Value]] | None:
        found = await _call(self._statement(sql, parameters), "first")
        if found is None:
            return None
        row = interop.to_json(found)
        return list(row), [_value(value) for value in row.values()]

    async def run_raw(
        self, sql: str, parameters: tuple[Parameter, ...]
    ) -> tuple[Sequence[str], Sequence[Sequence[Value]]]:
        statement = self._statement(sql, parameters)
        options = interop.plain_object(columnNames=True)
        columns, *rows = interop.to_json(await _call(statement, "raw", options))
        return columns, [list(map(_value, row)) for row in rows]

    async def run_batch(
        self, statements: Sequence[tuple[str, tuple[Parameter, ...]]]
    ) -> list[D1Rows]:
        prepared = [self._statement(sql, parameters) for sql, parameters in statements]
        if len(prepared) == 1:
            return [_rows(interop.to_json(await _call(prepared[0], "all")))]
        answers = await _call(self._binding, "batch", interop.array(prepared))
        return [_rows(answer) for answer in interop.to_json(answers)]

    def _statement(self, sql: str, parameters: tuple[Parameter, ...]) -> Any:
        statement = self._binding.prepare(sql)
        if not parameters:
            return statement
        return interop.apply(statement, "bind", interop.json_array(parameters))


class EdgeSession(_EdgeRunner, D1Session):
    """A session of the binding."""

    def get_bookmark(self) -> str | None:
        bookmark = self._binding.getBookmark()
        return None if interop.is_none(bookmark) else str(bookmark)


class EdgeDatabase(_EdgeRunner, D1Database):
    """A D1 binding."""

    async def run_lines(self, lines: Sequence[str]) -> float:
        return float((await _call(self._binding, "exec", "\n".join(lines))).duration)

    def _session(self, constraint: str | None) -> D1Session:
        """
        Open a session.

        Raises:
            D1Error: the runtime is older than D1's sessions (2025).
        """
        if interop.member(self._binding, "withSession") is None:
            raise D1Error("D1_ERROR: This runtime has no D1 sessions.")
        return EdgeSession(self._binding.withSession(constraint or "first-unconstrained"))

    async def close(self) -> None:
        """Nothing to close: the runtime owns the binding."""


async def _call(owner: Any, method: str, *arguments: Any) -> Any:
    try:
        return await interop.call(owner, method, *arguments)
    except JsError as error:
        text = str(error)
        if text.startswith("D1_TYPE_ERROR"):
            raise D1TypeError(text) from None
        if not text.startswith("D1_"):
            text = f"D1_ERROR: {text}"
        raise D1Error(text) from None


def _rows(answer: dict[str, Any]) -> D1Rows:
    records = answer.get("results") or []
    columns = list(records[0]) if records else []
    rows = [list(map(_value, record.values())) for record in records]
    return D1Rows(columns, rows, _meta(answer["meta"]))


def _meta(meta: dict[str, Any]) -> D1Meta:
    return D1Meta(
        served_by=str(meta.get("served_by", "")),
        duration=float(meta.get("duration", 0)),
        changes=int(meta.get("changes") or 0),
        last_row_id=int(meta.get("last_row_id") or 0),
        changed_db=bool(meta.get("changed_db")),
        size_after=int(meta.get("size_after") or 0),
        rows_read=int(meta.get("rows_read") or 0),
        rows_written=int(meta.get("rows_written") or 0),
    )


def _value(value: Any) -> Value:
    return bytes(value) if isinstance(value, list) else from_plain(value)
