"""Accounts for the relay's benchmarks, made past the doors: ten thousand hashes take too long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from benchmarks.servers import ROOT
from scripts.cli.place import Place
from worker.codec import uuid7
from worker.entry.open_env import open_env
from worker.identity.sessions import SignIn, begin

ACCOUNT = "INSERT INTO accounts (id, role, created_at, last_active_at) VALUES (?1, 'owner', ?2, ?2)"
WAY_IN = """
INSERT INTO identities (account_id, kind, issuer, subject, secret, created_at)
VALUES (?, 'password', '', ?, 'x', ?)
"""


def make(state: Path, names: Sequence[str]) -> list[str]:
    """Make accounts in *state*, which no server uses yet; return a token of the relay for each."""
    place = Place(ROOT / "wrangler_compat.toml", state.absolute())
    return asyncio.run(_make(place, names))


async def _make(place: Place, names: Sequence[str]) -> list[str]:
    opened = await open_env(place.config, place.state, place.variables, lambda _line: None)
    try:
        env, tokens = opened.env, []
        for name in names:
            now = env.now_ms()
            account_id = uuid7(now, env.tools.random_bytes(10))
            rows = [
                env.db.prepare(ACCOUNT).bind(account_id, now),
                env.db.prepare(WAY_IN).bind(account_id, name, now),
            ]
            await env.db.batch(rows)
            grant = await begin(env, SignIn(account_id, "password"), "relay")
            tokens.append(grant.token)
        return tokens
    finally:
        await opened.close()
