"""`edgekeep backup`: identity and contacts, restored elsewhere with nothing but a password."""

import sys
import time
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scripts.cli import backup_avatar, backup_contacts
from scripts.cli.backup_access import (
    AskedPasswords,
    add_home,
    add_online,
    add_password,
    guarded,
    home_of,
    online,
    shown,
)
from scripts.cli.outcome import OK, PARTLY, CliError, show_json, tell
from scripts.cli.progress import Progress
from scripts.cli.verbs import Verbs

if TYPE_CHECKING:
    from clients.python.backup.machine import Machine
    from clients.python.backup.model import Payload
    from clients.python.backup.server import Facts, Server
    from clients.python.backup.sync import SyncReport, Whose


def add(verbs: Verbs) -> None:
    """Add the group `backup`."""
    group = verbs.group("backup", "keep identity and contacts in an encrypted backup")
    init = group.add(
        "init",
        _init,
        "Make this machine's identity. A machine that is restored by pull needs no init.",
        ["edgekeep backup init", "edgekeep backup init --home ./machine-a"],
    )
    add_home(init)
    backup_contacts.add(group)
    backup_avatar.add(group)
    push = group.add(
        "push",
        _push,
        "Encrypt identity and contacts and store them on the server. What other machines stored "
        "meanwhile is merged first: the union of the contacts, the newest of each.",
        ["edgekeep backup push", "edgekeep backup push --username mira --password-file -"],
    )
    pull = group.add(
        "pull",
        _pull,
        "Restore identity and contacts from the server. On a machine that has contacts already "
        "both are merged.",
        ["edgekeep backup pull", "edgekeep backup pull --home ./machine-b --json"],
    )
    push.add_argument(
        "--new-password", action="store_true", help="change the backup's password to another one"
    )
    push.add_argument(
        "--recalibrate", action="store_true", help="measure anew what Argon2id takes here"
    )
    for parser in (push, pull):
        _add_whose(parser)
    status = group.add(
        "status",
        _status,
        "Tell what is here and what the server has. It needs no password and changes nothing.",
        ["edgekeep backup status", "edgekeep backup status --json"],
    )
    verify = group.add(
        "verify",
        _verify,
        "Open the server's backup and compare it with this machine. Nothing is changed.",
        ["edgekeep backup verify", "edgekeep backup verify --password-file secret.txt"],
    )
    delete = group.add(
        "delete",
        _delete,
        "Delete the backup on the server. What is on this machine stays.",
        ["edgekeep backup delete", "edgekeep backup delete --yes"],
    )
    delete.add_argument("--yes", action="store_true", help="do not ask")
    for parser in (push, pull, status, verify, delete):
        add_online(parser)
    for parser in (push, pull, verify):
        add_password(parser)
    for parser in (push, pull, status, verify):
        parser.add_argument("--json", action="store_true", help="for scripts")


def _add_whose(parser: ArgumentParser) -> None:
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--take-remote-identity",
        action="store_true",
        help="when they differ: become the identity of the backup",
    )
    choice.add_argument(
        "--keep-local-identity",
        action="store_true",
        help="when they differ: stay this identity; the next push replaces the backup's",
    )


def _whose(options: Namespace) -> "Whose":
    from clients.python.backup.sync import Whose

    if options.take_remote_identity:
        return Whose.REMOTE
    return Whose.LOCAL if options.keep_local_identity else Whose.ASK


def _init(options: Namespace) -> int:
    from clients.python.backup.identity import fingerprint, new_identity
    from clients.python.backup.machine import Machine

    home = home_of(options)

    def make() -> str:
        with home.alone():
            if home.exists:
                raise CliError(f"{home.folder} holds a machine already; nothing was changed.")
            identity = new_identity()
            home.save(Machine(identity))
            return fingerprint(identity)

    tell(f"A new identity lies in {home.folder}. Its fingerprint:")
    print(guarded(make))
    return OK


def _push(options: Namespace) -> int:
    from clients.python.backup.sync import Backup

    home = home_of(options)

    async def work(server: "Server", url: str) -> "SyncReport":
        with home.alone():
            if options.recalibrate:
                machine = home.load()
                machine.cost = None
                home.save(machine)
            with Progress("backup", None, "pushing") as bar:
                return await Backup(home, server, url).push(
                    AskedPasswords(options),
                    _whose(options),
                    options.new_password,
                    lambda done, _: bar.sent(done),
                )

    outcome = online(options, work)
    _report(options, outcome, f"Stored as version {outcome.version}" if outcome.stored else "")
    if not outcome.stored and not options.json:
        tell(f"Nothing new: the server has all of this (version {outcome.version}).")
    return OK


def _pull(options: Namespace) -> int:
    from clients.python.backup.sync import Backup

    home = home_of(options)

    async def work(server: "Server", url: str) -> "SyncReport":
        with home.alone(), Progress("backup", None, "pulling") as bar:
            return await Backup(home, server, url).pull(
                AskedPasswords(options), _whose(options), lambda done, _: bar.sent(done)
            )

    outcome = online(options, work)
    made = _moment(outcome.created_at_ms)
    _report(options, outcome, f"Took over version {outcome.version}, made {made}")
    return OK


def _verify(options: Namespace) -> int:
    from clients.python.backup.identity import fingerprint
    from clients.python.backup.sync import Backup

    home = home_of(options)

    async def work(server: "Server", url: str) -> "tuple[SyncReport, Payload, Machine | None]":
        with home.alone():
            machine = home.load() if home.exists else None
            backup = Backup(home, server, url)
            return *await backup.verify(AskedPasswords(options)), machine

    outcome, payload, machine = online(options, work)
    same = machine is not None and machine.identity == payload.identity
    _report(options, outcome, f"Version {outcome.version} opens")
    if not options.json:
        print(f"made       {_moment(payload.created_at_ms)} (generation {payload.generation})")
        print(f"identity   {fingerprint(payload.identity)}{'' if same else ' (not the one here)'}")
        print(f"contacts   {sum(not contact.deleted for contact in payload.contacts)}")
    return OK if same and not outcome.warnings else PARTLY


def _status(options: Namespace) -> int:
    home = home_of(options)
    machine = guarded(home.load) if home.exists else None

    async def work(server: "Server", url: str) -> "tuple[Facts | None, str]":
        return await server.look(), url

    facts, url = online(options, work)
    about = _about(machine, facts, url)
    if options.json:
        show_json(about)
        return OK
    print(f"here     {home.folder}")
    if machine is None or machine.identity is None:
        print("         no machine: edgekeep backup init or pull")
    else:
        print(f"         identity {about['identity']}, {about['contacts']} contacts")
    print(f"server   {url}")
    if facts is None:
        print("         no backup")
    else:
        state = "the one this machine knows" if about["known"] else "new to this machine"
        print(f"         version {facts.version}, {facts.size or 0:,} bytes, {state}")
    return OK


def _about(machine: "Machine | None", facts: "Facts | None", url: str) -> dict[str, Any]:
    from clients.python.backup.identity import fingerprint

    seen = machine.seen.get(url) if machine else None
    identity = machine.identity if machine else None
    return {
        "identity": fingerprint(identity) if identity else None,
        "contacts": sum(not contact.deleted for contact in machine.contacts) if machine else 0,
        "version": facts.version if facts else None,
        "size": facts.size if facts else None,
        "known": bool(facts and seen and seen.version == facts.version),
        "seen_generation": seen.generation if seen else None,
    }


def _delete(options: Namespace) -> int:
    from clients.python.backup.sync import Backup

    if not options.yes:
        if not sys.stdin.isatty():
            raise CliError("There is no terminal to ask; say --yes to delete the backup.")
        if input("Delete the backup on the server? Type delete: ").strip() != "delete":
            raise CliError("Nothing was deleted.")
    home = home_of(options)

    async def work(server: "Server", url: str) -> int:
        with home.alone():
            return await Backup(home, server, url).delete()

    tell(f"Deleted version {online(options, work)}.")
    return OK


def _report(options: Namespace, outcome: "SyncReport", headline: str) -> None:
    """Say what came of a merge: results on stdout only as JSON, warnings always on stderr."""
    for warning in outcome.warnings:
        tell(f"WARNING: {warning}")
    for clash in outcome.clashes:
        kept, dropped = _spelt(clash.kept), _spelt(clash.dropped)
        tell(f"conflict: {shown(clash.kept.id)} changed twice at once; kept {kept}, not {dropped}")
    if options.json:
        show_json(_as_json(outcome))
        return
    if headline:
        tell(f"{headline} (generation {outcome.generation}).")
    if outcome.took_identity:
        tell("This machine now has the identity of the backup.")
    if outcome.added or outcome.changed or outcome.removed:
        tell(
            f"Contacts here: {outcome.added} added, {outcome.changed} changed, "
            f"{outcome.removed} removed."
        )
    if outcome.only_here:
        tell(f"{outcome.only_here} contacts here are not in the backup yet: edgekeep backup push")


def _as_json(outcome: "SyncReport") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(outcome)


def _spelt(contact: Any) -> str:
    if contact.deleted:
        return "removed"
    return shown(f'"{contact.name}" ({contact.note})' if contact.note else f'"{contact.name}"')


def _moment(milliseconds: int) -> str:
    made = datetime.fromtimestamp(milliseconds / 1000, UTC)
    days = int((time.time() - milliseconds / 1000) / 86400)
    ago = {0: "today", 1: "yesterday"}.get(days, f"{days} days ago")
    return f"{made:%Y-%m-%d %H:%M} UTC, {ago}"
