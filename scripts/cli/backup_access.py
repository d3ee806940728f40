"""What the verbs of `edgekeep backup` share: folder, server, token, passwords, endings."""

import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from scripts.cli.outcome import BUSY, PARTLY, REFUSED, UNREACHABLE, USAGE, CliError, tell
from scripts.cli.place import Place
from scripts.cli.secret_input import prompt, read_password
from scripts.cli.server import add_server, reach, read_json

if TYPE_CHECKING:
    from clients.python.backup.errors import BackupError
    from clients.python.backup.machine import Home
    from clients.python.backup.server import Server

_T = TypeVar("_T")
_SILENCE_SECONDS = 60


def add_home(parser: ArgumentParser) -> None:
    """Give *parser* the option for the folder of this machine."""
    parser.add_argument(
        "--home",
        type=Path,
        metavar="DIR",
        help="folder of this machine's identity and contacts (default: edgekeep-backup below "
        "$XDG_CONFIG_HOME or ~/.config)",
    )


def add_online(parser: ArgumentParser) -> None:
    """Give *parser* the options of a verb that talks to the server."""
    add_home(parser)
    parser.add_argument(
        "--username",
        metavar="NAME",
        help="sign in with this account; its password is asked for, or comes from "
        "$EDGEKEEP_ACCOUNT_PASSWORD",
    )
    parser.add_argument(
        "--account",
        metavar="ID",
        help="development: act as this account of the server on this machine, without signing in",
    )
    add_server(parser)


def add_password(parser: ArgumentParser) -> None:
    """Give *parser* the ways to a backup password. None of them is an argument with the word."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--password-file",
        metavar="FILE",
        help="read the backup password from FILE, - for stdin (default: ask)",
    )
    source.add_argument(
        "--password-env", metavar="NAME", help="read it from the environment variable NAME"
    )


def home_of(options: Namespace) -> "Home":
    """Return the folder that the options name."""
    from clients.python.backup.machine import Home
    from clients.python.private_folder import default_folder

    folder: Path | None = options.home
    return Home((folder or default_folder(os.environ, "edgekeep-backup")).absolute())


class AskedPasswords:
    """Backup passwords from a person or from where the options say."""

    def __init__(self, options: Namespace) -> None:
        self._file: str | None = options.password_file
        self._variable: str | None = options.password_env

    def to_open(self) -> str:
        """Return the password of the backup that is there."""
        given = self._given()
        return prompt("Backup password: ") if given is None else given

    def to_create(self) -> str:
        """Return a new password, typed twice by a person; raises `CliError`, `WeakPassword`."""
        from clients.python.backup.password import check_new

        given = self._given()
        if given is not None:
            check_new(given)
            _hint(given)
            return given
        tell("Choose the backup password. Nobody can reset it: who loses it loses the backup.")
        password = prompt("New backup password (13 characters or more): ")
        check_new(password)
        _hint(password)
        if prompt("The same again: ") != password:
            raise CliError("The two passwords differ.")
        return password

    def _given(self) -> str | None:
        if self._variable is not None:
            if self._variable not in os.environ:
                raise CliError(f"The environment variable {self._variable} is not set.")
            return os.environ[self._variable]
        return None if self._file is None else read_password(self._file)


def _hint(password: str) -> None:
    from clients.python.backup.password import strength

    verdict = strength(password)
    words = ("very weak", "weak", "fair", "good", "strong")[verdict.score]
    tell(
        f"Strength: {words}; guessing it offline would take about {verdict.guessing_time}."
        + (f" {verdict.hint}" if verdict.hint else "")
    )


def online(options: Namespace, work: Callable[["Server", str], Awaitable[_T]]) -> _T:
    """Run *work* with the server and its address; failures become `CliError`."""

    import asyncio

    async def run() -> _T:
        from clients.python.backup.server import Server

        url = _address(options)
        headers = {"Authorization": f"Bearer {await bearer(options, url)}"}
        known = Place.of(options).certificate_of(url)
        async with reach(url, headers, certificate=known, sock_read=_SILENCE_SECONDS) as session:
            return await work(Server(session, _wait), url)

    return guarded(lambda: asyncio.run(run()))


def guarded(work: Callable[[], _T]) -> _T:
    """Run *work*; what the library raises becomes a sentence and an exit code."""
    from clients.python.backup.errors import BackupError

    try:
        return work()
    except BackupError as error:
        raise explained(error) from None


def explained(error: "BackupError") -> CliError:
    """Return *error* with what a person can do about it."""
    codes = {
        "unreachable": UNREACHABLE,
        "state_busy": BUSY,
        "no_backup": PARTLY,
        "weak_password": USAGE,
        "invalid_contact": USAGE,
        "not_set_up": USAGE,
        "state_damaged": USAGE,
    }
    advice = {
        "not_set_up": " Run edgekeep backup init for a new identity, or edgekeep backup pull.",
        "unreachable": " Is it running? Start it with: edgekeep dev",
        "identity_mismatch": " Say --take-remote-identity or --keep-local-identity.",
    }
    return CliError(f"{error}{advice.get(error.code, '')}", codes.get(error.code, REFUSED))


async def bearer(options: Namespace, url: str) -> str:
    """
    Return a token for the doors of the backup.

    From --token or $EDGEKEEP_TOKEN; by --username; or made here for --account, as `edgekeep token`
    does.
    """
    given = options.token or os.environ.get("EDGEKEEP_TOKEN", "")
    if given:
        return str(given)
    if options.username:
        return await _sign_in(url, options.username, Place.of(options).certificate_of(url))
    if options.account:
        return _development_token(Place.of(options), options.account)
    raise CliError("Sign in: --username NAME, or --token TOKEN (or $EDGEKEEP_TOKEN).")


def _development_token(place: Place, account: str) -> str:
    from worker.identity.tokens import issue

    settings = place.settings
    if settings.production:
        raise CliError("ENVIRONMENT is production: sign in instead.")
    now, minutes = time.time(), settings.access_token_minutes
    keys = settings.signing_keys
    # The doors want somebody who signed in; this session is in no table, so nothing can end it.
    return issue(keys, account, (), now, minutes, audience="backup", sid="development")


async def _sign_in(url: str, username: str, certificate: str) -> str:
    password = os.environ.get("EDGEKEEP_ACCOUNT_PASSWORD")
    if password is None:
        password = prompt(f"Account password of {username} (not the backup's): ")
    body = {"username": username, "password": password, "audience": "backup"}
    async with (
        reach(url, certificate=certificate) as session,
        session.post("v1/sessions", json=body) as answer,
    ):
        told = await read_json(answer)
    token = told.get("token") if isinstance(told, dict) else None
    if not isinstance(token, str):
        raise CliError("The server signed in and gave no token.", UNREACHABLE)
    return token


def _address(options: Namespace) -> str:
    url: str = (options.url or Place.of(options).url).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CliError(f"{url} is not an address like http://127.0.0.1:8788.")
    return url


async def _wait(seconds: float) -> None:
    import asyncio

    tell(f"No answer; trying again in {seconds:g} s.")
    await asyncio.sleep(seconds)


def shown(text: str) -> str:
    """Return *text* from a contact for a terminal: what is not printable is escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
