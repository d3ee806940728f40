"""
What a process remembers of credentials between two requests.

Verifying a signature costs more than all else of a small read, so tokens that held are remembered
until they expire. Sessions that were revoked are remembered as long as their access tokens could
still live: in this process at once, from others (hosts that share a database, other isolates)
after at most `RELOAD_SECONDS`.
"""

from collections.abc import Callable, Iterable
from typing import Final

from d1_schema.contract import D1Database
from worker.identity.tokens import Claims, verify
from worker.setting_kinds import Keyring

RELOAD_SECONDS: Final = 5
# The most that ACCESS_TOKEN_MINUTES may be, not what it is: older tokens may live longer.
LONGEST_MINUTES: Final = 60
_REMEMBERED: Final = 10_000
# Another host, whose clock differs, may have written the moment of a revocation.
_CLOCK_SKEW_SECONDS: Final = 60

_REVOKED = "SELECT id FROM sessions WHERE revoked_at > ?"


class Access:
    """Verified tokens and revoked sessions of one deployment."""

    def __init__(self, keys: Keyring, longest_minutes: float) -> None:
        """*longest_minutes* is how long an access token can live."""
        self._keys = keys
        self._longest_seconds = longest_minutes * 60 + _CLOCK_SKEW_SECONDS
        self._claims: dict[str, Claims] = {}
        self._pseudonyms: dict[str, str] = {}
        self._revoked: frozenset[str] = frozenset()
        self._ended_here: dict[str, float] = {}
        self._read_at = float("-inf")

    def claims(self, token: str, now: float) -> Claims:
        """Return what an access token says; raises `Unauthorized` when it does not hold."""
        known = self._claims.get(token)
        if known is not None and now < known.expires_at:
            return known
        self._claims.pop(token, None)
        claims = verify(token, self._keys, now)
        if len(self._claims) >= _REMEMBERED:
            # Rare, and cheaper than to keep an order of use on every request.
            self._claims.clear()
        self._claims[token] = claims
        return claims

    def pseudonym(self, subject: str, make: Callable[[], str]) -> str:
        """Return what stands for *subject* in logs, from *make* the first time."""
        known = self._pseudonyms.get(subject)
        if known is None:
            if len(self._pseudonyms) >= _REMEMBERED:
                self._pseudonyms.clear()
            known = self._pseudonyms[subject] = make()
        return known

    def is_settled(self, session_id: str, now: float) -> bool:
        """Whether a young answer says that *session_id* has not ended: the common case."""
        return (
            0 <= now - self._read_at < RELOAD_SECONDS
            and session_id not in self._revoked
            and session_id not in self._ended_here
        )

    async def is_revoked(self, session_id: str, db: D1Database, now: float) -> bool:
        """Whether *session_id* was ended; asks the database when the last answer is old."""
        if not -1 <= now - self._read_at < RELOAD_SECONDS:
            await self._reload(db, now)
        return session_id in self._revoked or session_id in self._ended_here

    def ended(self, session_ids: Iterable[str], now: float) -> None:
        """Refuse these sessions from this moment on: they were just ended here."""
        self._ended_here.update(dict.fromkeys(session_ids, now))

    async def _reload(self, db: D1Database, now: float) -> None:
        before = self._read_at
        if before > float("-inf"):
            # Noted first: who comes while we read waits for nobody, and goes by what was known.
            # (At the first time nothing is known: then everybody asks.)
            self._read_at = now
        try:
            since = now - self._longest_seconds
            rows = await db.prepare(_REVOKED).bind(int(since * 1000)).raw()
        except BaseException:
            self._read_at = before
            raise
        self._read_at = now
        self._revoked = frozenset(row[0] for row in rows)
        self._ended_here = {name: at for name, at in self._ended_here.items() if at > since}
