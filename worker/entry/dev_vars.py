"""
.dev.vars: the secrets of a laptop, as wrangler keeps them (one NAME=value per line).

The file is made on the first start with random development secrets, readable by its owner only,
and is never committed. Development secrets carry a mark that a production start refuses.

A secret that exists is never made a second time: whoever signed in would be out, and every mailbox
would get another account. Where one should be and cannot be read, the start ends with a sentence.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from worker.codec import b64url
from worker.entry.config import Config, ConfigError
from worker.entry.dotenv import assignments, parse, unix_lines
from worker.entry.private_file import write_private
from worker.setting_kinds import DEVELOPMENT_MARK, Setting
from worker.settings import SETTINGS

DEV_VARS = ".dev.vars"
_HEAD = (
    "# Development secrets, made by `edgekeep dev`. Stay on this machine; never commit them.\n"
    "# A production start refuses every value that begins with dev-.\n"
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
        return parse(path.read_bytes().decode("utf-8", "replace"))
    except FileNotFoundError:
        return {}


def make_dev_vars(
    path: Path, random_bytes: Callable[[int], bytes], *, has_data: bool = False
) -> bool:
    """
    Give the file at *path* a random development secret for each secret setting it lacks.

    What stands in it stays. The file appears whole or not at all, readable by its owner only.
    *has_data*: something is stored that was written under secrets. Returns whether something was
    written. Raises OSError; `ConfigError` when a secret is there and cannot be read, or is gone.
    """
    path = path.resolve()
    if _add_missing(path, random_bytes, path.exists(), has_data):
        return True
    if path.exists() and path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return False


def _add_missing(
    path: Path, random_bytes: Callable[[int], bytes], exists: bool, has_data: bool
) -> bool:
    present = read_dev_vars(path)
    secrets = [row for row in SETTINGS if row.secret]
    missing = [row for row in secrets if not present.get(row.name)]
    if not missing:
        return False
    if len(missing) == len(secrets) and has_data:
        raise ConfigError(
            f"{path} holds no secrets, and what is stored was written under some. Put them back: "
            "with new ones every session ends and every mailbox gets a second account. To begin "
            "anew, remove what is stored: edgekeep dev --reset"
        )
    text = _text(path) if exists else _HEAD
    _refuse_unread(path, text, [row.name for row in missing])
    if not text.endswith("\n"):
        text += "\n"
    made = {row.name: _secret(row, random_bytes) for row in missing}
    text += "".join(f"{name}={value}\n" for name, value in made.items())
    _check_change(path, text, {**present, **made})
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
        return _add_missing(path, random_bytes, True, has_data)
    finally:
        draft.unlink(missing_ok=True)
    return True


def _text(path: Path) -> str:
    """Return the text of the file at *path*, bytes that are not UTF-8 kept; raises OSError."""
    data = path.read_bytes()
    if b"\0" in data:
        raise ConfigError(f"{path} is not UTF-8 (UTF-16, perhaps). Save it as UTF-8.")
    return unix_lines(data.decode("utf-8", "surrogateescape"))


def _refuse_unread(path: Path, text: str, names: list[str]) -> None:
    """Raise `ConfigError` for a line that gives one of *names* a value which does not count."""
    line = re.compile(rf"^[ \t]*(?:export[ \t]+)?({'|'.join(names)})[ \t]*[=:]([^\n]*)", re.M)
    found = next((one for one in line.finditer(text) if one[2].strip(" \t'\"`")), None)
    if found is None:
        return
    name, number = found[1], _line(text, found.start(1))
    around = next((one for one in assignments(text) if one.begin < found.start(1) < one.end), None)
    if around is not None:
        reason = (
            f"it lies between the quotes that {around.name} opens on line "
            f"{_line(text, around.begin)}. End that value on its own line"
        )
    else:
        reason = "it is a remark, or stands there again without a value. Mend the line"
    raise ConfigError(
        f"{path}: {name} on line {number} is not read, by wrangler neither: {reason}, or remove "
        f"line {number} to have a new {name} made. Nothing was changed."
    )


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _check_change(path: Path, text: str, expected: dict[str, str]) -> None:
    """Raise `ConfigError` unless *text*, about to be written, says what is *expected*."""
    said = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if parse(said) != expected:
        raise ConfigError(
            f"{path} cannot be added to: a value in it has a quote that is not closed. Mend it."
        )


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
    line breaks. Raises OSError, `ConfigError`.
    """
    path = path.resolve()
    text = _text(path)
    line = f"{name}={value}"
    pieces, end = [], 0
    for found in assignments(text):
        if found.name != name:
            continue
        # A name may stand there again; the last one counts, so all of them are the new one.
        pieces += [text[end : found.begin], line]
        end = found.end
        if text[end : end + 1] == "#":
            pieces.append(" ")
    if not pieces:
        pieces = [text, "" if text.endswith("\n") or not text else "\n", line, "\n"]
        end = len(text)
    changed = "".join([*pieces, text[end:]])
    _check_change(path, changed, {**read_dev_vars(path), name: value})
    write_private(path, changed.encode("utf-8", "surrogateescape"))


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
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
