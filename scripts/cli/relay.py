"""`edgekeep relay`: two terminals talk through the relay. A demo, not a messenger."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from scripts.cli.outcome import OK, PARTLY, REFUSED, UNREACHABLE, USAGE, CliError, tell
from scripts.cli.place import Place, add_place
from scripts.cli.secret_input import prompt, prompt_twice, read_password
from scripts.cli.server import reach
from scripts.cli.verbs import Verbs

if TYPE_CHECKING:
    from clients.python.relay.client import Client
    from clients.python.relay.home import Home

_T = TypeVar("_T")
_HONESTLY = (
    "A demo of the relay, not a messenger: every message is sealed end to end by X3DH with a "
    "prekey of its own, but there is no ratchet, nothing against quantum computers, and nobody "
    "has audited it. Messengers use libsignal against the same doors (docs/relay.md)."
)


def add(verbs: Verbs) -> None:
    """Add the group `relay`."""
    group = verbs.group("relay", "show the relay at work between two terminals")
    register = group.add(
        "register",
        _register,
        f"Make an account and publish its keys. Secrets stay in --home (mode 0600). {_HONESTLY}",
        ["edgekeep relay register ada", "edgekeep relay register bob --home ./bob"],
    )
    login = group.add(
        "login",
        _login,
        "Sign in to your account on a new device or folder, with a new identity: what waits cannot "
        "be read any more and is dropped, who wrote it is told, and other devices are signed off. "
        f"{_HONESTLY}",
        [
            "edgekeep relay login ada --home ./new-phone",
            "edgekeep relay login ada --url https://relay.example.org",
        ],
    )
    for parser in (register, login):
        parser.add_argument("name", help="the username: 3 to 50 of a-z, 0-9 and _")
        parser.add_argument("--url", help="the server (default: the host of the state)")
    send = group.add(
        "send",
        _send,
        f"Seal a text for somebody and send it. Each takes one of their prekeys. {_HONESTLY}",
        [
            "edgekeep relay send bob 'Hello, we have never met.'",
            "edgekeep relay send ada 'Hello back.' --home ./bob",
        ],
    )
    send.add_argument("name", help="to whom: a username or an account id")
    send.add_argument("text", help="what to say")
    listen = group.add(
        "listen",
        _listen,
        f"Show messages as they come, and keep enough prekeys at the server. {_HONESTLY}",
        ["edgekeep relay listen", "edgekeep relay listen --once --home ./bob"],
    )
    listen.add_argument("--once", action="store_true", help="show what waits, then end")
    for parser in (send, listen):
        parser.add_argument(
            "--accept-new-identity",
            action="store_true",
            help="take another identity key than before for theirs, from now on",
        )
    for parser in (register, login, send, listen):
        _add_home(parser)


def _add_home(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--home",
        type=Path,
        metavar="DIR",
        help="folder of the account (default: edgekeep-relay below $XDG_CONFIG_HOME or ~/.config)",
    )
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="read the account's password from FILE, - for stdin (default: ask)",
    )
    add_place(parser)


def _register(options: Namespace) -> int:
    from clients.python.relay.client import register

    return _begin(
        options,
        register,
        lambda: prompt_twice("Password (12 or more characters): "),
        "is registered",
    )


def _login(options: Namespace) -> int:
    from clients.python.relay.client import log_in

    return _begin(options, log_in, lambda: prompt("Password of the account: "), "is signed in")


def _begin(
    options: Namespace,
    work: Callable[..., Awaitable[str]],
    ask: Callable[[], str],
    done: str,
) -> int:
    """Fill a new home by *work*; the password comes from a file or from *ask*."""
    home = _home(options)
    if home.exists:
        raise CliError(f"{home.folder} holds an account already; --home names another folder.")
    url = (options.url or Place.of(options).url).rstrip("/")
    password = read_password(options.password_file) if options.password_file else ask()

    async def begin() -> str:
        async with reach(url, certificate=Place.of(options).certificate_of(url)) as session:
            return await work(session, url, options.name, password, home)

    mark = _run(begin)
    tell(f"{options.name} {done} at {url}; the secrets lie in {home.folder}.")
    tell("Fingerprint, to compare with people who write to you:")
    print(mark)
    return OK


def _send(options: Namespace) -> int:
    async def work(client: "Client") -> tuple[str, bool]:
        accept = options.accept_new_identity
        return await client.send(options.name, options.text, accept=accept)

    mark, is_new = _online(options, work)
    if is_new:
        tell(f"First message to {options.name}. Compare their fingerprint: {mark}")
    tell("Sent: the relay has stored it.")
    return OK


def _listen(options: Namespace) -> int:
    shown = 0

    def show(moment: str, name: str, text: str) -> None:
        nonlocal shown
        shown += 1
        print(f"{moment}  {_printable(name)}: {_printable(text)}", flush=True)

    async def work(client: "Client") -> None:
        accept = options.accept_new_identity
        await client.listen(show, tell, once=options.once, accept=accept)

    if not options.once:
        tell("Listening; Ctrl-C ends it.")
    _online(options, work)
    return OK if shown else PARTLY


def _online(options: Namespace, work: Callable[["Client"], Awaitable[_T]]) -> _T:
    """Run *work* with the account of the home, at its own server."""
    from clients.python.relay.client import Client

    home = _home(options)

    def password() -> str:
        given = options.password_file
        return read_password(given) if given else prompt("Password of the account: ")

    async def run() -> _T:
        url = home.load().url
        async with reach(url, certificate=Place.of(options).certificate_of(url)) as session:
            return await work(Client(session, home, password))

    return _run(run)


def _run(work: Callable[[], Awaitable[_T]]) -> _T:
    import asyncio

    from clients.python.relay.errors import HomeError, RelayError, Unreachable

    async def main() -> _T:
        return await work()

    try:
        return asyncio.run(main())
    except RelayError as error:
        codes = {HomeError: USAGE, Unreachable: UNREACHABLE}
        raise CliError(str(error), codes.get(type(error), REFUSED)) from None


def _home(options: Namespace) -> "Home":
    from clients.python.private_folder import default_folder
    from clients.python.relay.home import Home

    folder: Path | None = options.home
    return Home((folder or default_folder(os.environ, "edgekeep-relay")).absolute())


def _printable(text: str) -> str:
    """Return *text* for a terminal: what is not printable is escaped."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
