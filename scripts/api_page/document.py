"""
The API document: one file for each area below docs/openapi/, joined into openapi.yaml at the root,
and the JSON of it that is served: compact, one line for each door, so that diffs read.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

AREAS: Final = Path("docs") / "openapi"
HEAD: Final = "document.yaml"
"""What the areas share; every other file there is an area."""

_MADE = "# Made by `edgekeep docs` from docs/openapi/*.yaml; a test holds both together.\n"


def join(checkout: Path) -> str:
    """
    Return the text of openapi.yaml: the head, then under each of its keys what the areas add.

    Text is joined, not values: comments, anchors and lines stay as somebody wrote them.
    """
    blocks: dict[str, str] = {}
    for path in (checkout / AREAS / HEAD, *areas(checkout)):
        for key, body in _blocks(path.read_text(encoding="utf-8")):
            blocks[key] = blocks.get(key, f"{key}\n") + body
    tables = "".join(text for key, text in blocks.items() if key.startswith(" "))
    others = "".join(text for key, text in blocks.items() if not key.startswith(" "))
    return f"{_MADE}{others}components:\n{tables}"


def areas(checkout: Path) -> list[Path]:
    """Return the files of the areas, in the order of their names."""
    return sorted(path for path in (checkout / AREAS).glob("*.yaml") if path.name != HEAD)


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield what stands below each key of the first level, and below each table of components."""
    # What comes before the first key is about the file.
    for block in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]:
        key, _, body = block.partition("\n")
        if key != "components:":
            yield key, body
            continue
        for table in re.split(r"^(?=  \w)", body, flags=re.MULTILINE)[1:]:
            name, _, rows = table.partition("\n")
            yield name, rows


def parse(text: str) -> dict[str, Any]:
    """Return an API document with its anchors resolved; raises yaml.YAMLError."""
    import yaml

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
