"""A server that loses answers, rolls back, forks, forgets and swaps."""

from clients.python.backup.machine import Home
from clients.python.backup.model import Contact
from clients.python.backup.sync import Backup
from tests.backup_client.cloud import Cloud
from tests.backup_client.conftest import MakeHome, Typed, edit, names


def on(cloud: Cloud, home: Home) -> Backup:
    """Return the backup of *home* on *cloud*."""
    return Backup(home, cloud.server(), cloud.url)


async def test_a_push_whose_answer_was_lost_is_no_conflict_with_itself(
    cloud: Cloud, make_home: MakeHome
) -> None:
    """The server has our bytes: done, in one round, with one version."""
    a = make_home("a", None, Contact("mira", "M", "", 5))
    cloud.faults = [("POST", "lose")]
    done = await on(cloud, a).push(Typed())

    assert (done.version, done.rounds, done.clashes) == (1, 1, [])
    assert len(cloud.history) == 1
    assert a.load().seen[cloud.url].version == 1


async def test_a_push_that_was_interrupted_goes_on_the_next_time(
    cloud: Cloud, make_home: MakeHome
) -> None:
    """Stored, and this machine stopped before it could note so: the next push is in step."""
    a = make_home("a", None, Contact("mira", "M", "", 5))
    before = a.load()
    await on(cloud, a).push(Typed())
    a.save(before)
    done = await on(cloud, a).push(Typed())

    assert (done.stored, done.version, done.warnings) == (False, 1, [])
    assert a.load().seen[cloud.url].generation == 1


async def test_a_rollback_is_noticed_and_put_right(cloud: Cloud, make_home: MakeHome) -> None:
    """An old blob under a new version: warned of at every look, and what is here stays."""
    a = make_home("a", None, Contact("mira", "M", "", 5))
    here = on(cloud, a)
    await here.push(Typed())
    edit(a, Contact("noor", "N", "", 6), Contact("mira", "", "", 7, True))
    await here.push(Typed())
    cloud.blob, cloud.version = cloud.history[0], 3
    for _ in range(2):
        told = await here.pull(Typed())
        assert "older backup (generation 1)" in told.warnings[0]
    verified, _ = await here.verify(Typed())
    assert verified.warnings == told.warnings
    assert names(a) == {"noor": "N"}
    healed = await here.push(Typed())

    assert healed.warnings == told.warnings
    assert (healed.stored, healed.generation) == (True, 3)
    assert (await here.pull(Typed())).warnings == []


async def test_a_rollback_to_the_same_content_is_put_right_too(
    cloud: Cloud, make_home: MakeHome
) -> None:
    """Though nothing is new, the server gets a backup that is the newest again."""
    here = on(cloud, make_home("a"))
    await here.push(Typed())
    await here.push(Typed(), new_password=True)
    cloud.blob = cloud.history[0]

    assert (await here.push(Typed())).generation == 3
    assert (await here.push(Typed())).stored is False


async def test_two_backups_of_one_generation_are_noticed(cloud: Cloud, make_home: MakeHome) -> None:
    """A server that shows two machines different histories is found out when they compare."""
    a = make_home("a")
    b = make_home("b", a.load().identity, Contact("only-b", "B", "", 1))
    await on(cloud, a).push(Typed())
    shown_to_a = (cloud.blob, cloud.version)
    cloud.blob, cloud.version = None, 0
    await on(cloud, b).push(Typed())
    told = await on(cloud, a).pull(Typed())
    assert "another backup of generation 1" in told.warnings[0]
    cloud.blob, cloud.version = shown_to_a

    assert (await on(cloud, a).pull(Typed())).warnings == []


async def test_a_backup_that_vanished_is_noticed(cloud: Cloud, make_home: MakeHome) -> None:
    """404 where there was one: a warning, and the push makes it anew."""
    a = make_home("a")
    await on(cloud, a).push(Typed())
    cloud.blob = None
    cloud.version = 0
    told = await on(cloud, a).push(Typed())

    assert "no backup any more" in told.warnings[0]
    assert (told.stored, told.generation) == (True, 2)


async def test_every_upload_has_a_salt_and_a_nonce_of_its_own(
    cloud: Cloud, make_home: MakeHome
) -> None:
    """No two blobs share a key, also when little changed."""
    a = make_home("a")
    await on(cloud, a).push(Typed())
    edit(a, Contact("mira", "M", "", 5))
    await on(cloud, a).push(Typed())
    first, second = cloud.history

    assert first[24:40] != second[24:40]
    assert first[40:52] != second[40:52]


async def test_nothing_of_the_password_stays_on_disk(cloud: Cloud, make_home: MakeHome) -> None:
    """The folder holds neither the password nor the derived key nor the key check."""
    a = make_home("a")
    await on(cloud, a).push(Typed())
    kept = b"".join(path.read_bytes() for path in a.folder.iterdir())

    assert Typed().word.encode() not in kept
    assert cloud.history[0][64:96].hex().encode() not in kept
    assert cloud.history[0][24:40].hex().encode() not in kept
