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
_NAME = '"birthday"'
_BIRTHDAY = re.compile(r'"birthday"\s*:\s*"[^"]*"\s*')


def _birthday(document: str) -> re.Match[str] | None:
    """Find the member in JSON text. (A plain find is ten times faster than a search by pattern.)"""
    at = document.find(_NAME)
    while at >= 0:
        member = _BIRTHDAY.match(document, at)
        if member is not None:
            return member
        at = document.find(_NAME, at + 1)
    return None


def public_view(document: str) -> str:
    """Return *document* (JSON text) without the birthday: strangers see the age only (X26)."""
    member = _birthday(document)
    if member is None:
        return document
    before, after = document[: member.start()], document[member.end() :]
    if after.startswith(","):
        return before + after[1:]
    return before.rstrip().removesuffix(",") + after


def keeps_its_text(line: str, document: dict[str, Any]) -> bool:
    """
    Whether the validated *document* may be stored as the very text *line* it was parsed from.

    Storing the text saves the cost of writing JSON anew. It is allowed when the text can hold
    nothing that was not validated: every member name occurs once (JSON parsers keep the last of
    two equal names, so the text could hide another value) and `birthday` is spelt out for
    `public_view`. The count is exact because `":` ends each member name unless space follows a
    quote (refused), and only adds up when no string holds it either. Escaped surrogates are left
    to the writer of JSON, which refuses half a pair.
    """
    profile = document["profile"]
    names = len(document) + len(profile) + sum(map(len, profile.values()))
    if "persona_settings" in document:
        names += len(document["persona_settings"])
    return (
        line.count('":') == names
        and '" ' not in line
        and "\t" not in line
        and "\r" not in line
        and ("\\" not in line or not ("\\ud" in line or "\\uD" in line))
        and _birthday(line) is not None
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
