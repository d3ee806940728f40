"""The host's schema checker: a verdict in native code, explanations from the portable one."""

from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs

from worker.schema_check import FORMATS, PortableCheck, Violation

# Where a format stands in a document, and its rule.
_Site = tuple[tuple[str, ...], Callable[[str], bool]]


class NativeCheck:
    """
    jsonschema-rs for the verdict: about five times faster than code generated in Python.

    Formats are judged here, after it: calling back into Python from native code costs more than
    all other rules together. Only good documents are fast; a bad one is explained by
    `PortableCheck`, so that a report reads the same on a laptop and at the edge.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self._portable = PortableCheck(schema)
        self._sites = tuple(_sites(schema, ()))
        self._verdict: Callable[[Any], bool] = jsonschema_rs.validator_for(
            schema, validate_formats=False
        ).is_valid

    def accepts(self, document: Any) -> bool:
        """Say whether *document* conforms."""
        try:
            if not self._verdict(document):
                return False
        except ValueError:
            # What native code cannot hold: half a surrogate pair, a number of a thousand digits.
            return self._portable.accepts(document)
        for path, is_valid in self._sites:
            found = document
            for name in path:
                found = found.get(name) if isinstance(found, dict) else None
            if isinstance(found, str) and not is_valid(found):
                return False
        return True

    def explain(self, document: Any) -> list[Violation]:
        """Return every violation, in the order of the schema."""
        return self._portable.explain(document)


def _sites(schema: dict[str, Any], path: tuple[str, ...]) -> Iterator[_Site]:
    """Find the formats of a schema; raises ValueError for one below anything but `properties`."""
    if "format" in schema:
        yield path, FORMATS[schema["format"]]
    for name, member in schema.get("properties", {}).items():
        yield from _sites(member, (*path, name))
    for keyword, below in schema.items():
        if keyword not in ("properties", "format") and "'format'" in repr(below):
            raise ValueError(f"a format below {keyword} is not judged by NativeCheck")
