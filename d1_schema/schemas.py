"""The JSON Schemas of imported documents, read from d1_schema/json/ once."""

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def load_schema(name: str) -> dict[str, Any]:
    """Return the schema called *name*, e.g. "user_profile.v1"; raises FileNotFoundError."""
    text = (Path(__file__).parent / "json" / f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
