"""Fixtures: machines on disk, a server that fails on demand, accounts on a real host."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients.python.backup.identity import new_identity
from clients.python.backup.keys import FLOOR
from clients.python.backup.machine import Home, Machine
from clients.python.backup.model import Contact, IdentityPair, in_order
from tests.backup_client.cloud import Cloud, running_cloud
from tests.support.running_host import RunningHost
from worker.identity.tokens import issue

PASSWORD = "a password for tests"


@dataclass(slots=True)
class Typed:
    """Somebody who types passwords; *asked* tells which."""

    word: str = PASSWORD
    new: str = PASSWORD
    asked: str = ""

    def to_open(self) -> str:
        """Type the password of the backup."""
        self.asked += "open "
        return self.word

    def to_create(self) -> str:
        """Type a new password."""
        self.asked += "create "
        return self.new


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    """A server that fails on demand."""
    async with running_cloud() as running:
        yield running


MakeHome = Callable[..., Home]


@pytest.fixture
def make_home(tmp_path: Path) -> MakeHome:
    """Return a function that makes a machine: make_home("a", identity, *contacts)."""

    def making(name: str, identity: IdentityPair | None = None, *contacts: Contact) -> Home:
        home = Home(tmp_path / name)
        machine = Machine(identity or new_identity(), in_order(contacts), cost=FLOOR)
        home.save(machine)
        return home

    return making


def edit(home: Home, *contacts: Contact) -> None:
    """Put *contacts* in place of those with the same ids."""
    machine = home.load()
    kept = {contact.id: contact for contact in machine.contacts}
    machine.contacts = in_order({**kept, **{one.id: one for one in contacts}}.values())
    home.save(machine)


def names(home: Home) -> dict[str, str]:
    """Return id and name of the contacts that are not removed."""
    return {one.id: one.name for one in home.load().contacts if not one.deleted}


async def account_token(host: RunningHost, account: str) -> str:
    """Make the account row *account* on *host*; return a token for the doors of its backup."""
    row = "INSERT OR IGNORE INTO accounts VALUES (?, 'owner', 0, 0, NULL)"
    await host.env.db.prepare(row).bind(account).run()
    keys = host.env.settings.signing_keys
    return issue(keys, account, (), host.env.tools.now(), 15, audience="backup", sid="s")
