"""The host's schema checker: a verdict in native code, explanations from the portable one."""

from collections.abc import Callable
from typing import Any

import jsonschema_rs

from worker.schema_check import FORMATS, PortableCheck, Violation


class NativeCheck:
    """
    jsonschema-rs for the verdict: about ten times faster than code generated in Python.

    Only good documents are fast; a bad one is explained by `PortableCheck`, so that a report reads
    the same on a laptop and at the edge.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self._portable = PortableCheck(schema)
        self._verdict: Callable[[Any], bool] = jsonschema_rs.validator_for(
            schema, validate_formats=True, formats=FORMATS
        ).is_valid

    def accepts(self, document: Any) -> bool:
        """Say whether *document* conforms."""
        try:
            return self._verdict(document)
        except ValueError:
            # What native code cannot hold: half a surrogate pair, a number of a thousand digits.
            return self._portable.accepts(document)

    def explain(self, document: Any) -> list[Violation]:
        """Return every violation, in the order of the schema."""
        return self._portable.explain(document)
