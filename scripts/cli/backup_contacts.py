"""`edgekeep backup contacts`: the contacts of this machine."""

import sys
import time
from argparse import Namespace
from dataclasses import asdict, replace

from scripts.cli.backup_access import add_home, guarded, home_of, shown
from scripts.cli.outcome import OK, PARTLY, CliError, show_json, table, tell
from scripts.cli.verbs import Verbs


def add(verbs: Verbs) -> None:
    """Add the group `contacts`."""
    group = verbs.group("contacts", "add, remove and list the contacts of this machine")
    adding = group.add(
        "add",
        _add,
        "Add a contact, or change the one with this id. The next push carries it.",
        [
            "edgekeep backup contacts add mira --name 'Mira K.'",
            "edgekeep backup contacts add 0198c9d2-5a44-7cc1-9f0a-0d3d8f6d2a11 --note 'from Lyon'",
        ],
    )
    adding.add_argument("--name", help="how to call them")
    adding.add_argument("--note", help="anything to remember")
    removing = group.add(
        "remove",
        _remove,
        "Remove a contact. A mark stays, so that no other machine brings it back.",
        ["edgekeep backup contacts remove mira", "edgekeep backup contacts remove MIRA"],
    )
    for parser in (adding, removing):
        parser.add_argument("id", metavar="ID", help="a username or a UUID")
    listing = group.add(
        "list",
        _list,
        "Print the contacts of this machine.",
        ["edgekeep backup contacts list", "edgekeep backup contacts list --json"],
    )
    listing.add_argument("--json", action="store_true", help="for scripts; with removed ones")
    for parser in (adding, removing, listing):
        add_home(parser)


def _add(options: Namespace) -> int:
    return _change(options, False)


def _remove(options: Namespace) -> int:
    return _change(options, True)


def _change(options: Namespace, removing: bool) -> int:
    from scripts.backup.model import Contact, contact_id, in_order

    home = home_of(options)

    def work() -> None:
        name = contact_id(options.id)
        with home.alone():
            machine = home.load()
            others = {contact.id: contact for contact in machine.contacts}
            old = others.pop(name, Contact(name, deleted=True))
            # Later than what it changes, also when that came from a clock ahead of ours.
            now = max(time.time_ns() // 1_000_000, old.updated_at_ms + 1)
            if removing and old.deleted:
                raise CliError(f"There is no contact {shown(name)}.", PARTLY)
            if removing:
                changed = Contact(name, updated_at_ms=now, deleted=True)
            else:
                changed = replace(
                    old,
                    name=old.name if options.name is None else options.name,
                    note=old.note if options.note is None else options.note,
                    updated_at_ms=now,
                    deleted=False,
                )
            changed.check()
            machine.contacts = in_order([*others.values(), changed])
            home.save(machine)

    guarded(work)
    return OK


def _list(options: Namespace) -> int:
    machine = guarded(home_of(options).load)
    if options.json:
        show_json([asdict(contact) for contact in machine.contacts])
        return OK
    rows = [
        (shown(contact.id), shown(contact.name), shown(contact.note))
        for contact in machine.contacts
        if not contact.deleted
    ]
    if rows:
        print(table(rows, ("id", "name", "note")))
    elif sys.stdout.isatty():
        tell("No contacts yet: edgekeep backup contacts add ID")
    return OK
