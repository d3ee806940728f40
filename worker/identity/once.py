"""
What may be used once: tickets, magic links. A used one is a row until it would have expired anyway.

The row's primary key decides between parallel uses: exactly one wins, on every host and isolate.
"""

from worker.env import Env

_SPEND = "INSERT INTO spent_tokens (id, expires_at) VALUES (?, ?) ON CONFLICT DO NOTHING"
# Another host's clock may be behind: there, what expired here a moment ago still holds.
_MARGIN_SECONDS = 3600
_PURGE = "DELETE FROM spent_tokens WHERE expires_at < ?"


async def spend(env: Env, token_id: str, expires_at: float) -> bool:
    """Note that *token_id* is used up; False when it was before. *expires_at*: epoch seconds."""
    done = await env.db.prepare(_SPEND).bind(token_id, int(expires_at)).run()
    return done.meta.changes == 1


async def purge_spent(env: Env) -> None:
    """Remove what expired an hour ago."""
    await env.db.prepare(_PURGE).bind(int(env.tools.now()) - _MARGIN_SECONDS).run()
