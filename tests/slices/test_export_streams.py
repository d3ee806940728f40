"""An export holds a page of what it tells, however much there is: counted in pages and rows."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from durable.contract import DurableObject
from durable.embedded import Actors
from tests.support.relay import user
from tests.support.running_host import RunningHost, lay_out, running_host
from worker.relay.inbox import store as inbox_store
from worker.relay.inbox.model import RELAY_CHUNK_MESSAGES

MANY = 10_000


class Counted:
    """Passes all on to *inner* and notes the length of each page that a call of *verb* returns."""

    def __init__(self, inner: Any, verb: str, pages: list[int]) -> None:
        self._inner = inner
        self._verb = verb
        self._pages = pages

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name in ("get_by_name", "prepare", "bind"):
            return lambda *args: Counted(method(*args), self._verb, self._pages)
        if name != self._verb:
            return method

        async def counted(*args: Any) -> Any:
            page = await method(*args)
            self._pages.append(len(page.results if hasattr(page, "results") else page))
            return page

        return counted


async def told(host: RunningHost, holder: str, account_id: str, pages: list[int]) -> int:
    """Read an export to its end; never is more asked for than a page beyond what was read."""
    count = 0
    async for _ in host.env.holders[holder].export(host.env, account_id):
        count += 1
        assert sum(pages[:-1]) <= count
    return count


async def test_messages_go_page_by_page(host: RunningHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times what an inbox takes today: no later limit makes the export grow."""
    monkeypatch.setattr(inbox_store, "RELAY_INBOX_MESSAGES", MANY)
    ada, bob = await user(host, "ada"), await user(host, "bob")
    inbox = host.env.inbox.get_by_name(bob.id)
    bodies = [b"text"] * 1000
    for number in range(MANY // 1000):
        ids = b"".join((number * 1000 + n).to_bytes(16) for n in range(1000))
        await inbox.call("deliver", ada.id, "ada", ids, bodies)
    pages: list[int] = []
    host.env.inbox = Counted(host.env.inbox, "call", pages)  # type: ignore[assignment]

    assert await told(host, "relay_inbox", bob.id, pages) == MANY
    assert max(pages) == RELAY_CHUNK_MESSAGES


async def test_rows_go_page_by_page(host: RunningHost) -> None:
    """Attachments and prekeys: as many as there are, 500 rows at a time, none twice, none lost."""
    bob = await user(host, "bob")
    numbers = json.dumps(list(range(1200)))
    await host.env.db.batch(
        [
            host.env.db.prepare(
                "INSERT INTO attachments SELECT 'a' || value, ?1, 'attachments/' || ?1 || '/' "
                "|| value, 1, value / 700, NULL FROM json_each(?2)"
            ).bind(bob.id, numbers),
            host.env.db.prepare(
                "INSERT INTO relay_identities VALUES (?, 'k', 1, 1, 'k', 's', NULL, NULL, NULL, 1, "
                "NULL)"
            ).bind(bob.id),
            host.env.db.prepare(
                "INSERT INTO one_time_prekeys (account_id, kind, key_id, public_key) "
                "SELECT ?1, iif(value % 2, 'ec', 'kyber'), value, value FROM json_each(?2)"
            ).bind(bob.id, numbers),
        ]
    )
    for holder, rows in (("attachments", 2 * 1200), ("relay_keys", 1 + 1200)):
        pages: list[int] = []
        real, host.env.db = host.env.db, Counted(host.env.db, "all", pages)  # type: ignore[assignment]
        assert await told(host, holder, bob.id, pages) == rows
        host.env.db = real
        assert pages == [500, 500, 200, 0]


class Before(DurableObject):
    """An inbox as it was before it kept no names."""

    async def fill(self, sender: str) -> None:
        """Store a message as it was stored then."""
        self.ctx.storage.sql.exec(
            "CREATE TABLE messages (seq INTEGER PRIMARY KEY, id BLOB NOT NULL, kind INTEGER NOT "
            "NULL, sender TEXT NOT NULL, sender_name TEXT NOT NULL, at_ms INTEGER NOT NULL, "
            "body BLOB NOT NULL); CREATE TABLE remembered (row INTEGER PRIMARY KEY, at_ms INTEGER "
            "NOT NULL, ids BLOB NOT NULL);"
        )
        self.ctx.storage.kv.put("tables", 1)
        self.ctx.storage.sql.exec(
            "INSERT INTO messages VALUES (1, ?, 0, ?, 'name of before', ?, ?)",
            bytes(16),
            sender,
            int(time.time() * 1000),
            b"text",
        )


async def test_an_inbox_of_before_opens_whole_and_loses_its_names(tmp_path: Path) -> None:
    """What waited is told with the name that the sender has now; the stored one is overwritten."""
    state = tmp_path / "state"
    await lay_out(state)
    async with running_host(state) as host:
        ada, bob = await user(host, "ada"), await user(host, "bob")
    actors = await Actors.open(state / "durable", clock=time.time, random_bytes=os.urandom)
    await actors.bind("Inbox", Before, None).get_by_name(bob.id).call("fill", ada.id)
    await actors.close()

    async with running_host(state) as host:
        bob.host = host
        peer = await bob.socket()
        messages, _ = await peer.fetch()
    assert [(one.sender_name, one.ciphertext) for one in messages] == [("ada", b"text")]
    files = [path for path in (state / "durable").rglob("*") if path.is_file()]
    assert not [path for path in files if b"name of before" in path.read_bytes()]
