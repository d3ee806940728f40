"""`edgekeep mail`: what a host in development wrote instead of sending it."""

from argparse import Namespace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from scripts.cli.outcome import OK, REFUSED, CliError, show_json, table
from scripts.cli.place import Place, add_place
from scripts.cli.verbs import Verbs


def add(verbs: Verbs) -> None:
    """Add the group `mail`."""
    group = verbs.group("mail", "show the mail that a host in development wrote")
    listed = group.add(
        "list",
        _list,
        "Print the mails in the outbox, the newest first: name, date, to whom, subject.",
        ["edgekeep mail list", "edgekeep mail list --json"],
    )
    listed.add_argument("--json", action="store_true", help="for scripts")
    add_place(listed)
    shown = group.add(
        "show",
        _show,
        "Print the text of a mail. It may hold a link that signs in.",
        ["edgekeep mail show", "edgekeep mail show 20261121T080000.000000Z-1a2b3c4d.eml"],
    )
    shown.add_argument("name", nargs="?", help="as `list` prints it (default: the newest)")
    add_place(shown)


def _list(options: Namespace) -> int:
    found = []
    for path in _mails(options):
        mail = _read(path)
        found.append(
            {
                "name": path.name,
                "date": str(mail["Date"]),
                "to": str(mail["To"]),
                "subject": str(mail["Subject"]),
            }
        )
    if options.json:
        show_json(found)
    else:
        rows = [(row["name"], row["date"], row["to"], row["subject"]) for row in found]
        print(table(rows, ("name", "date", "to", "subject")))
    return OK


def _show(options: Namespace) -> int:
    mails = [path for path in _mails(options) if options.name in (None, path.name)]
    if not mails:
        what = "There is no mail" if options.name is None else "There is no such mail"
        raise CliError(f"{what} in the outbox of this state.", REFUSED)
    mail = _read(mails[0])
    for name in ("From", "To", "Date", "Subject"):
        print(f"{name}: {mail[name]}")
    print()
    print(mail.get_content(), end="")
    return OK


def _mails(options: Namespace) -> list[Path]:
    """Return the files of the outbox, the newest first: their names begin with the time."""
    from worker.entry.host_mail import OUTBOX

    return sorted((Place.of(options).state / OUTBOX).glob("*.eml"), reverse=True)


def _read(path: Path) -> EmailMessage:
    mail = message_from_bytes(path.read_bytes(), policy=default)
    assert isinstance(mail, EmailMessage)
    return mail
