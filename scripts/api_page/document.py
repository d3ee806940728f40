"""openapi.yaml as the JSON that is served: compact, one line for each door, so that diffs read."""

import json
from pathlib import Path
from typing import Any


def read_document(checkout: Path) -> dict[str, Any]:
    """Return openapi.yaml of *checkout* with its anchors resolved; raises yaml.YAMLError."""
    import yaml

    text = (checkout / "openapi.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def as_json(document: dict[str, Any]) -> str:
    """Return *document* as JSON text; lines break between the rows of its tables."""
    rows = [f"{_compact(name)}:{_table(name, value)}" for name, value in document.items()]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _table(name: str, value: Any) -> str:
    if name == "components":
        inner = [f"{_compact(kind)}:{_rows(table)}" for kind, table in value.items()]
        return "{" + ",\n".join(inner) + "}"
    return _rows(value) if name == "paths" else _compact(value)


def _rows(table: dict[str, Any]) -> str:
    rows = [f"{_compact(name)}:{_compact(value)}" for name, value in table.items()]
    return "{\n" + ",\n".join(rows) + "}"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
