"""Two machines and one backup, on the real host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import ClientSession

from clients.python.backup.errors import (
    ChangedElsewhere,
    IdentityMismatch,
    NoBackup,
    NotSetUp,
    Refused,
    WrongPassword,
)
from clients.python.backup.machine import Home
from clients.python.backup.model import Contact, Profile
from clients.python.backup.sealing import unseal
from clients.python.backup.server import Server
from clients.python.backup.sync import Backup, Whose
from tests.backup_client.conftest import MakeHome, Typed, account_token, edit, names
from tests.support.running_host import RunningHost

ACCOUNT = "0198c9d2-5a44-7cc1-9f0a-0d3d8f6d2a11"


@asynccontextmanager
async def on(host: RunningHost, home: Home, account: str = ACCOUNT) -> AsyncIterator[Backup]:
    """Return the backup of *home* on *host*, signed in."""
    token = await account_token(host, account)
    headers = {"Authorization": f"Bearer {token}"}
    async with ClientSession(host.url + "/", headers=headers) as session:
        yield Backup(home, Server(session), host.url)


async def test_a_new_machine_needs_nothing_but_the_password(
    host: RunningHost, make_home: MakeHome, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Push on one, pull on another: identity, contacts and the key of the avatar are there."""
    a, b = make_home("a", None, Contact("mira", "Mira", "", 5)), Home(tmp_path_factory.mktemp("b"))
    machine = a.load()
    machine.profile = Profile("A" * 22, b"k" * 32, 6)
    a.save(machine)
    async with on(host, a) as here:
        pushed = await here.push(typed := Typed())
    async with on(host, b) as there:
        pulled = await there.pull(Typed())

    assert typed.asked == "create "
    assert (pushed.version, pushed.generation, pushed.stored) == (1, 1, True)
    assert (pulled.version, pulled.generation, pulled.added) == (1, 1, 1)
    assert pulled.took_identity
    assert replace(b.load(), cost=None) == replace(a.load(), cost=None)


async def test_what_the_server_stores_tells_nothing(host: RunningHost, make_home: MakeHome) -> None:
    """No name, no key: the object in the store is noise, and the log has nothing of it."""
    a = make_home("a", None, Contact("mira-kowalska", "Mira", "", 5))
    async with on(host, a) as here:
        await here.push(Typed())
    (found,) = [one async for one in _objects(host)]
    identity = a.load().identity

    assert identity is not None
    for secret in (b"mira", b"Mira", identity.private_key, identity.public_key):
        assert secret not in found
    assert unseal(found, Typed().word).identity == identity
    assert "mira" not in "".join(host.log).lower()


async def _objects(host: RunningHost) -> AsyncIterator[bytes]:
    for one in (await host.env.blobs.list(prefix="backups/")).objects:
        body = await host.env.blobs.get(one.key)
        assert body is not None
        yield await body.bytes()


async def test_changes_of_both_machines_meet(host: RunningHost, make_home: MakeHome) -> None:
    """The union, the newest of each, removed stays removed, a clash is told (seed §4.2)."""
    a = make_home("a", None, Contact("old", "O", "", 1), Contact("both", "first", "", 1))
    b = make_home("b", a.load().identity)
    async with on(host, a) as here, on(host, b) as there:
        await here.push(Typed())
        await there.pull(Typed())
        edit(a, Contact("old", "", "", 9, True), Contact("from-a", "A", "", 2))
        edit(a, Contact("both", "one", "", 7))
        edit(b, Contact("both", "two", "", 7), Contact("from-b", "B", "", 2))
        await here.push(Typed())
        told = await there.push(Typed())
        again = await here.pull(Typed())

    assert names(a) == names(b) == {"both": names(a)["both"], "from-a": "A", "from-b": "B"}
    assert [clash.kept.id for clash in told.clashes] == ["both"]
    assert {told.clashes[0].kept.name, told.clashes[0].dropped.name} == {"one", "two"}
    assert (told.version, told.removed, told.added) == (3, 1, 1)
    assert again.version == 3


async def test_machines_that_push_at_once_all_get_through(
    host: RunningHost, make_home: MakeHome
) -> None:
    """Three at the same moment: two meet 409, fetch, merge and try again; nobody is lost."""
    a = make_home("a")
    homes = [a, make_home("b", a.load().identity), make_home("c", a.load().identity)]
    for number, home in enumerate(homes):
        edit(home, Contact(f"of-{number}", "x", "", 1))

    async def push(home: Home) -> int:
        async with on(host, home) as backup:
            return (await backup.push(Typed())).rounds

    rounds = await asyncio.gather(*map(push, homes))
    async with on(host, a) as here:
        done = await here.pull(Typed())

    assert max(rounds) > 1
    assert done.version == 3
    assert set(names(a)) == {"of-0", "of-1", "of-2"}


async def test_nothing_new_stores_nothing(host: RunningHost, make_home: MakeHome) -> None:
    """A second push in step with the server makes no version."""
    async with on(host, make_home("a")) as here:
        first, second = await here.push(Typed()), await here.push(typed := Typed())

    assert (first.stored, second.stored) == (True, False)
    assert (second.version, second.generation) == (1, 1)
    assert typed.asked == "open "


async def test_a_mistyped_password_does_not_become_the_new_one(
    host: RunningHost, make_home: MakeHome
) -> None:
    """A push with another password than the backup's is refused, and stores nothing."""
    a = make_home("a")
    async with on(host, a) as here:
        await here.push(Typed())
        edit(a, Contact("mira", "M", "", 5))
        with pytest.raises(WrongPassword):
            await here.push(Typed("another password"))
        assert (await here.push(Typed())).version == 2


async def test_the_password_can_be_changed_on_purpose(
    host: RunningHost, make_home: MakeHome
) -> None:
    """From the machine that knows the backup; the others then need the new one."""
    a = make_home("a")
    b = make_home("b", a.load().identity)
    new = Typed("quite a new password", "quite a new password")
    async with on(host, a) as here, on(host, b) as there:
        await here.push(Typed())
        await there.pull(Typed())
        assert (await here.push(new, new_password=True)).version == 2
        edit(b, Contact("mira", "M", "", 5))
        with pytest.raises(WrongPassword):
            await there.push(Typed())
        with pytest.raises(ChangedElsewhere):
            # b has not seen this backup, so it may not replace what it cannot read.
            await there.push(Typed(new="a third password"), new_password=True)
        assert (await there.push(new)).version == 3


async def test_another_identity_is_never_replaced_unasked(
    host: RunningHost, make_home: MakeHome
) -> None:
    """Neither push nor pull decides; each choice does what it says."""
    a, b = make_home("a", None, Contact("a", "A", "", 1)), make_home("b")
    first, second = a.load().identity, b.load().identity
    before = b.load()
    async with on(host, a) as here, on(host, b) as there:
        await here.push(Typed())
        for attempt in (there.push, there.pull):
            with pytest.raises(IdentityMismatch):
                await attempt(Typed())
        assert b.load() == before
        await there.pull(Typed(), Whose.LOCAL)
        assert (b.load().identity, names(b)) == (second, {"a": "A"})
        await there.pull(Typed(), Whose.REMOTE)
        assert b.load().identity == first
        assert (await there.push(Typed())).stored is False
        b.save(before)
        assert (await there.push(Typed(), Whose.LOCAL)).stored
        outcome, payload = await here.verify(Typed())
        assert payload.identity == second
        assert outcome.version == 2
        assert a.load().identity == first


async def test_delete_removes_the_backup_and_not_the_machine(
    host: RunningHost, make_home: MakeHome
) -> None:
    """Afterwards there is none; a new one goes on counting, so nobody takes it for a rollback."""
    a = make_home("a", None, Contact("mira", "M", "", 5))
    b = make_home("b", a.load().identity)
    async with on(host, a) as here, on(host, b) as there:
        await here.push(Typed())
        await there.pull(Typed())
        assert await here.delete() == 1
        for refused in (here.delete, lambda: here.pull(Typed()), lambda: here.verify(Typed())):
            with pytest.raises(NoBackup):
                await refused()
        assert names(a) == {"mira": "M"}
        again = await here.push(typed := Typed())
        assert (await there.pull(Typed())).warnings == []

    assert typed.asked == "create "
    assert (again.generation, again.warnings) == (2, [])


async def test_a_folder_without_a_machine_cannot_push(
    host: RunningHost, make_home: MakeHome
) -> None:
    """It has nothing to store."""
    async with on(host, Home(make_home("a").folder / "none")) as here:
        with pytest.raises(NotSetUp):
            await here.push(Typed())


async def test_accounts_do_not_see_each_other(host: RunningHost, make_home: MakeHome) -> None:
    """Another account has no backup, and a token of another audience gets nothing."""
    a = make_home("a")
    async with on(host, a) as here, on(host, a, ACCOUNT.replace("11", "22")) as stranger:
        await here.push(Typed())
        with pytest.raises(NoBackup):
            await stranger.pull(Typed())
    headers = host.bearer()
    async with ClientSession(host.url + "/", headers=headers) as session:
        with pytest.raises(Refused) as refused:
            await Server(session).fetch()

    assert refused.value.status in (401, 403)
