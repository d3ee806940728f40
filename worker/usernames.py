"""
Usernames: one spelling each, found by its folded form.

NFKC and lower case first, then 3 to 50 of a-z, 0-9 and _ (facts/seeds.md X41): names that differ in
case, width or compatibility forms are one name, and letters of other scripts that look Latin are
refused, so nobody can pose as somebody else.
"""

import re
import unicodedata

from worker.env import Env

_FOLDED = re.compile(r"[a-z0-9_]{3,50}", re.ASCII)
# Folding can make a text longer or shorter; nothing longer is worth folding.
_TYPED_CHARS = 200
RULE = "A username has 3 to 50 letters a to z, digits or underscores."

_FIND = """
SELECT identities.account_id FROM identities JOIN accounts ON accounts.id = identities.account_id
WHERE kind = 'password' AND issuer = '' AND subject = ? AND disabled_at IS NULL
"""


def fold(typed: str) -> str:
    """Return the one spelling of *typed*; raises ValueError (with `RULE`) when there is none."""
    folded = unicodedata.normalize("NFKC", typed[: _TYPED_CHARS + 1]).lower()
    if len(typed) > _TYPED_CHARS or not _FOLDED.fullmatch(folded):
        raise ValueError(RULE)
    return folded


async def account_of(env: Env, folded: str) -> str | None:
    """Return the id of the account that has the username, or None; disabled ones are not found."""
    found: str | None = await env.db.prepare(_FIND).bind(folded).first("account_id")
    return found
