"""
.dev.vars: the secrets of a laptop, as wrangler keeps them (one NAME=value per line).

The file is made on the first start with random development secrets, readable by its owner only,
and is never committed. Development secrets carry a mark that a production start refuses.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from worker.codec import b64url
from worker.entry.config import Config
from worker.entry.private_file import write_private
from worker.setting_kinds import DEVELOPMENT_MARK, Setting
from worker.settings import SETTINGS

DEV_VARS = ".dev.vars"
_HEAD = (
    "# Development secrets, made by `edgekeep dev`. Stay on this machine; never commit them.\n"
    "# A production start refuses every value that begins with dev-.\n"
)
# One assignment as wrangler's dotenv reads it: quoted values may span lines, an unquoted one ends
# at # or at the end of its line. Lines that are none are passed over, as there.
_ASSIGNMENT = re.compile(
    r"""
    ^[ \t]*(?:export[ \t]+)?([A-Za-z0-9_.-]+)[ \t]*=[ \t]*
    (?:'((?:\\'|[^'])*)'|"((?:\\"|[^"])*)"|`((?:\\`|[^`])*)`|([^\#\r\n]*))
    """,
    re.MULTILINE | re.VERBOSE | re.ASCII,
)


def dev_vars_path(config: Config, state: Path) -> Path:
    """
    Return where the secrets of *state* lie.

    The usual state, `.edgekeep` beside the configuration, has them beside the configuration, where
    wrangler looks. Any other state keeps its own, so that two states share no key.
    """
    beside = config.path.parent
    if state.resolve() == (beside / ".edgekeep").resolve():
        return beside / DEV_VARS
    return state / DEV_VARS


def read_dev_vars(path: Path) -> dict[str, str]:
    """Return the values of the file at *path*; none when it does not exist. Raises OSError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    values = {}
    for name, single, double, backtick, bare in _ASSIGNMENT.findall(text):
        # dotenv: only double quotes know \n and \r.
        double = double.replace("\\n", "\n").replace("\\r", "\r")
        values[name] = single or double or backtick or bare.strip()
    return values


def make_dev_vars(path: Path, random_bytes: Callable[[int], bytes]) -> bool:
    """
    Give the file at *path* a random development secret for each secret setting it lacks.

    What stands in it stays. The file appears whole or not at all, readable by its owner only.
    Returns whether something was written. Raises OSError.
    """
    path = path.resolve()
    if _add_missing(path, random_bytes, path.exists()):
        return True
    if path.exists() and path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return False


def _add_missing(path: Path, random_bytes: Callable[[int], bytes], exists: bool) -> bool:
    present = read_dev_vars(path)
    missing = [row for row in SETTINGS if row.secret and not present.get(row.name)]
    if not missing:
        return False
    text = path.read_text(encoding="utf-8") if exists else _HEAD
    if not text.endswith("\n"):
        text += "\n"
    text += "".join(f"{row.name}={_secret(row, random_bytes)}\n" for row in missing)
    # It may be the state itself, which nobody else may look into.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{random_bytes(6).hex()}")
    try:
        _write(draft, text)
        if exists:
            draft.replace(path)
        else:
            # A second first start at the same moment must not swap the keys of this one.
            path.hardlink_to(draft)
    except FileExistsError:
        return _add_missing(path, random_bytes, True)
    finally:
        draft.unlink(missing_ok=True)
    return True


@contextlib.contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keep other processes from changing the file at *path* meanwhile. Raises OSError."""
    folder = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def set_dev_var(path: Path, name: str, value: str) -> None:
    """
    Write NAME=*value* into the file at *path* in the place of what stood there; the rest stays.

    The file is replaced whole and is readable by its owner only. *value* has no quotes, blanks or
    line breaks. Raises OSError.
    """
    path = path.resolve()
    text = path.read_text(encoding="utf-8-sig")
    line = f"{name}={value}"
    pieces, end, written = [], 0, False
    for found in _ASSIGNMENT.finditer(text):
        if found[1] != name:
            continue
        # A name may stand there again; the last one counts, so all of them are the new one.
        pieces += [text[end : found.start()], line]
        end, written = found.end(), True
        if text[end : end + 1] == "#":
            pieces.append(" ")
    if not written:
        pieces = [text, "" if text.endswith("\n") or not text else "\n", line, "\n"]
        end = len(text)
    write_private(path, "".join([*pieces, text[end:]]).encode())


def gather_variables(config: Config, dev_vars: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return all variables: [vars], over them .dev.vars, over them the environment.

    Of the environment only names of settings and EDGEKEEP_* are taken.
    """
    names = {row.name for row in SETTINGS}
    chosen = {
        name: value
        for name, value in environ.items()
        if name in names or name.startswith("EDGEKEEP_")
    }
    return {**config.variables, **read_dev_vars(dev_vars), **chosen}


def _secret(row: Setting, random_bytes: Callable[[int], bytes]) -> str:
    key = DEVELOPMENT_MARK + b64url(random_bytes(32))
    return f"dev1:{key}" if row.kind == "keyring" else key


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
