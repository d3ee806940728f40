"""`edgekeep backup avatar`: the picture that the profile reference of a backup points to."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.cli.backup_access import add_online, guarded, home_of, online
from scripts.cli.outcome import OK, PARTLY, CliError, tell
from scripts.cli.progress import Progress
from scripts.cli.replace_file import replacing_bytes
from scripts.cli.verbs import Verbs

if TYPE_CHECKING:
    from clients.python.backup.server import Server


def add(verbs: Verbs) -> None:
    """Add the group `avatar`."""
    group = verbs.group("avatar", "store the encrypted avatar and fetch it elsewhere")
    setting = group.add(
        "set",
        _set,
        "Encrypt a picture under a fresh key and store it as an attachment. The next push carries "
        "its id and key.",
        [
            "edgekeep backup avatar set me.webp",
            "edgekeep backup avatar set me.webp --username mira",
        ],
    )
    fetching = group.add(
        "fetch",
        _fetch,
        "Fetch and decrypt the picture that the profile points to.",
        [
            "edgekeep backup avatar fetch me.webp",
            "edgekeep backup avatar fetch me.webp --home ./machine-b",
        ],
    )
    for parser in (setting, fetching):
        parser.add_argument("file", type=Path, metavar="FILE")
        add_online(parser)


def _set(options: Namespace) -> int:
    from clients.python.backup.attachments import seal_attachment

    home = home_of(options)
    try:
        content = options.file.read_bytes()
    except OSError as error:
        raise CliError(f"{options.file} cannot be read: {error.strerror}.") from None
    if not content:
        raise CliError(f"{options.file} is empty.")
    blob, key = guarded(lambda: seal_attachment(content))

    async def work(server: "Server", _: str) -> str:
        with home.alone():
            machine = home.load()
            with Progress(options.file.name, len(blob), "storing") as bar:
                name = await server.put_attachment(blob, lambda done, _: bar.sent(done))
            machine.keep_avatar(name, key)
            home.save(machine)
            return name

    tell(f"Stored as attachment {online(options, work)}; edgekeep backup push carries its key.")
    return OK


def _fetch(options: Namespace) -> int:
    from clients.python.backup.attachments import open_attachment

    profile = guarded(home_of(options).load).profile
    if not profile.attachment_id:
        raise CliError("The profile has no avatar.", PARTLY)

    async def work(server: "Server", _: str) -> bytes | None:
        with Progress(options.file.name, None, "fetching") as bar:
            return await server.get_attachment(
                profile.attachment_id, lambda done, _: bar.sent(done)
            )

    blob = online(options, work)
    if blob is None:
        raise CliError("The server has the avatar no more.", PARTLY)
    content = guarded(lambda: open_attachment(blob, profile.key))
    with replacing_bytes(options.file) as file:
        file.write(content)
    return OK
