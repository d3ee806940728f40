"""Passwords from a person or a file; never from the command line, which other users can read."""

import getpass
import sys
from pathlib import Path

from scripts.cli.outcome import CliError

_LONGEST_PASSWORD_FILE = 64 * 1024


def read_password(name: str) -> str:
    """Return the password in the file *name*, `-` for stdin; raises `CliError`."""
    try:
        if name == "-":
            raw = sys.stdin.buffer.read(_LONGEST_PASSWORD_FILE)
        else:
            with Path(name).open("rb") as file:
                raw = file.read(_LONGEST_PASSWORD_FILE)
        # The line's end is the editor's, everything else is the password.
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise CliError(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CliError("The password is not UTF-8.") from None


def prompt(text: str) -> str:
    """Ask a person for a password that does not show; raises `CliError` without a terminal."""
    if not sys.stdin.isatty():
        raise CliError("There is no terminal to ask for the password: use --password-file -")
    return getpass.getpass(text)


def prompt_twice(text: str) -> str:
    """Ask for a new password twice; raises `CliError` when the two differ."""
    password = prompt(text)
    if prompt("The same again: ") != password:
        raise CliError("The two passwords differ.")
    return password
