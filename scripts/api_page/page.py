"""
The page at /docs as it is without scripts: rendered from the document, readable anywhere.

`page.html.jinja` has the markup. Here is what it asks: operations by tag, schemas in words.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup

_TEMPLATE = "page.html.jinja"
METHODS = ("get", "post", "put", "patch", "delete")
"""Keys of a path item that are operations, in the order of the page."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One door as the page shows it."""

    method: str
    path: str
    described: Mapping[str, Any]

    @property
    def anchor(self) -> str:
        """The id of its section."""
        return f"door-{self.described['operationId']}"


def render(document: Mapping[str, Any]) -> str:
    """Return the page of *document* (OpenAPI 3.1, references inside itself only)."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"prose": _prose, "words": schema_words}
    return environment.get_template(_TEMPLATE).render(
        document=document,
        areas=list(_areas(document)),
        follow=lambda value: follow(document, value),
        security=lambda operation: _security(document, operation),
        answers=lambda operation: _answers(document, operation),
    )


def follow(document: Mapping[str, Any], value: Any) -> Any:
    """Return what *value* is, or what its `$ref` leads to."""
    while "$ref" in value:
        place: Any = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        value = place
    return value


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield each operation in the order of the document."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield Operation(method.upper(), path, item[method])


def _areas(document: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], list[Operation]]]:
    for tag in document["tags"]:
        doors = [each for each in operations(document) if tag["name"] in each.described["tags"]]
        yield tag, doors


def _answers(document: Mapping[str, Any], operation: Operation) -> list[tuple[str, Any]]:
    """Return (statuses, response) rows; statuses that share a response share a row."""
    rows: dict[str, tuple[list[str], Any]] = {}
    for status, given in operation.described["responses"].items():
        statuses, _ = rows.setdefault(given.get("$ref", status), ([], follow(document, given)))
        statuses.append(status)
    return [(", ".join(statuses), response) for statuses, response in rows.values()]


def _security(document: Mapping[str, Any], operation: Operation) -> str:
    ways = operation.described.get("security", document["security"])
    return ", or ".join(_way(way) for way in ways)


def _way(way: Mapping[str, list[str]]) -> str:
    if not way:
        return "anyone"
    return " and ".join(f"{name} {' '.join(scopes)}".strip() for name, scopes in way.items())


def schema_words(schema: Mapping[str, Any]) -> "Markup":
    """Return *schema* in a few words; what it refers to is a link."""
    from markupsafe import Markup

    return Markup(", ").join(_words(schema)) or Markup("anything")


def _words(schema: Mapping[str, Any]) -> "Iterator[Markup]":
    from markupsafe import Markup, escape

    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield Markup('<a href="#schema-{0}">{0}</a>').format(name)
        return
    for key, joint in (("allOf", " and "), ("anyOf", " or "), ("oneOf", " or ")):
        if key in schema:
            yield escape(joint).join(schema_words(part) for part in schema[key])
    kind = schema.get("type")
    if kind == "array":
        yield Markup("list of ") + schema_words(schema.get("items", {}))
    elif kind is not None:
        yield escape(" or ".join(kind) if isinstance(kind, list) else kind)
    if "enum" in schema:
        yield Markup(" | ").join(Markup("<code>{}</code>").format(one) for one in schema["enum"])
    for key, before in _SAYINGS.items():
        if key in schema:
            yield Markup("{}<code>{}</code>").format(before, schema[key])


_SAYINGS = {
    "const": "always ",
    "format": "format ",
    "pattern": "",
    "minimum": "from ",
    "maximum": "up to ",
    "minLength": "at least this many characters: ",
    "maxLength": "at most this many characters: ",
    "maxItems": "at most this many: ",
    "default": "by default ",
}


def _prose(text: str) -> "Markup":
    """Return a description: backticks become code, everything else is text."""
    from markupsafe import Markup, escape

    pieces = re.split(r"`([^`]*)`", " ".join(text.split()))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece)
        for number, piece in enumerate(pieces)
    )
