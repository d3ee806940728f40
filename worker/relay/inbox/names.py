"""
The names of those who sent what waits.

An inbox keeps account ids alone, and looks names up when it tells of a message: who leaves takes
the name along, without anybody having noted to whom they wrote.
"""

from typing import Protocol

from worker.env import Env
from worker.identity.usernames import usernames_of
from worker.relay.inbox.model import RELAY_INBOX_MESSAGES, RELAY_NAME_MS


class _Senders(Protocol):
    def everybody(self) -> list[str]: ...


class Names:
    """Names by account id, in memory; believed for a while, as those of recipients are."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._known: dict[str, str] = {}
        self._until_ms = 0

    def note(self, account_id: str, name: str) -> None:
        """Take a name that its owner has just shown."""
        self._known.pop(account_id, None)
        self._known[account_id] = name
        # As many as can wait were learnt at most, and as many were noted since and may wait.
        if len(self._known) > 2 * RELAY_INBOX_MESSAGES:
            del self._known[next(iter(self._known))]

    def of(self, account_id: str) -> str:
        """Return the name, or "" when the account has none or is gone."""
        return self._known.get(account_id, "")

    async def learn(self, waiting: _Senders) -> None:
        """See to it that the names of all whose messages wait are known. Raises what D1 does."""
        now_ms = self._env.now_ms()
        if 0 <= self._until_ms - now_ms <= RELAY_NAME_MS:
            return
        asked = waiting.everybody()
        found = await usernames_of(self._env, asked) if asked else {}
        for account_id in asked:
            self.note(account_id, found.get(account_id, ""))
        self._until_ms = now_ms + RELAY_NAME_MS
