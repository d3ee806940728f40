"""Profile documents: their ids, what a stranger may see, and how old versions become new ones."""

import re
from collections.abc import Callable
from typing import Any

V1 = "user_profile.v1"
V2 = "user_profile.v2"
VERSIONS = (V1, V2)

PROFILE_ID = re.compile(r"usr_[a-z0-9]{6,}", re.ASCII)

# Inside a JSON string every quote is escaped, so a bare `"birthday"` before a colon is a member
# name and nothing else; the schemas know it in one place only (identity).
_BIRTHDAY = re.compile(r',?\s*"birthday"\s*:\s*"[^"]*"')
_AFTER_FIRST_MEMBER = re.compile(r"\s*,?")
_LOOSE_COLON = re.compile(r'"\s+:')


def public_view(document: str) -> str:
    """Return *document* (JSON text) without the birthday: strangers see the age only (X26)."""
    found = _BIRTHDAY.search(document)
    if found is None:
        return document
    end = found.end()
    if document[found.start()] != ",":
        # First member of its object: its own trailing comma goes with it.
        following = _AFTER_FIRST_MEMBER.match(document, end)
        end = following.end() if following else end
    return document[: found.start()] + document[end:]


def keeps_its_text(line: str, document: dict[str, Any]) -> bool:
    """
    Whether the validated *document* may be stored as the very text *line* it was parsed from.

    Storing the text saves the cost of writing JSON anew. It is allowed when the text can hold
    nothing that was not validated: every member name occurs once (JSON parsers keep the last of
    two equal names, so the text could hide another value) and `birthday` is spelt out for
    `public_view`. The count is exact because `":` ends each member name unless space stands
    before a colon (refused), and only adds up when no string holds it either. Escaped surrogates
    are left to the writer of JSON, which refuses half a pair.
    """
    profile = document["profile"]
    names = len(document) + len(profile) + sum(map(len, profile.values()))
    if "persona_settings" in document:
        names += len(document["persona_settings"])
    return (
        line.count('":') == names
        and "\\ud" not in line
        and "\\uD" not in line
        and _LOOSE_COLON.search(line) is None
        and _BIRTHDAY.search(line) is not None
    )


def _v1_to_v2(document: dict[str, Any]) -> dict[str, Any]:
    """v2 adds persona_settings; nothing is invented, so the lists are empty."""
    return {**document, "schema_version": V2, "persona_settings": {"languages": [], "traits": []}}


# Each version knows the step to the next; a new version adds one row here.
UPGRADES: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    V1: (V2, _v1_to_v2),
}


def upgrade(document: dict[str, Any], version: str) -> dict[str, Any]:
    """Return *document* as *version* (one of VERSIONS); as it is when newer or equal."""
    while document["schema_version"] != version and document["schema_version"] in UPGRADES:
        _, step = UPGRADES[document["schema_version"]]
        document = step(document)
    return document
