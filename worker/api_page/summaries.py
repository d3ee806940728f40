"""What each door is for, in the words of the API document: tables of doors show them."""

import json


def summaries(document: bytes | str) -> dict[tuple[str, str], str]:
    """Return by method and path the summaries of the document that /openapi.json answers."""
    return {
        (method.upper(), path): operation["summary"]
        for path, item in json.loads(document)["paths"].items()
        for method, operation in item.items()
    }
