"""`edgekeep backup contacts`: the contacts of this machine."""

import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from scripts.cli.backup_access import add_home, guarded, home_of, shown
from scripts.cli.outcome import OK, PARTLY, CliError, show_json, table, tell
from scripts.cli.verbs import Verbs

if TYPE_CHECKING:
    from clients.python.backup.machine import Machine


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
    told = {"name": options.name, "note": options.note}
    changes = {field: text for field, text in told.items() if text is not None}
    _change(options, lambda machine: machine.keep_contact(options.id, **changes))
    return OK


def _remove(options: Namespace) -> int:
    from clients.python.backup.model import contact_id

    def removing(machine: "Machine") -> None:
        if not machine.remove_contact(options.id):
            raise CliError(f"There is no contact {shown(contact_id(options.id))}.", PARTLY)

    _change(options, removing)
    return OK


def _change(options: Namespace, change: Callable[["Machine"], None]) -> None:
    home = home_of(options)

    def work() -> None:
        with home.alone():
            machine = home.load()
            change(machine)
            home.save(machine)

    guarded(work)


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
