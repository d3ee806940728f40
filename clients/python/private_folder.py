"""
A folder in which a client keeps secrets: mode 0700, one file that is replaced whole, one lock.

The lock is between programs of one machine; it ends with the program that holds it.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

_NEW: Final = os.O_CREAT | os.O_TRUNC | os.O_WRONLY


def default_folder(environ: Mapping[str, str], name: str) -> Path:
    """Return where the client *name* keeps its own by the XDG base directory rules."""
    config = environ.get("XDG_CONFIG_HOME", "")
    base = Path(config) if config.startswith("/") else Path.home() / ".config"
    return base / name


class PrivateFolder:
    """
    *folder* with its file NAME.json and its lock NAME.lock.

    The client's own errors: *unusable* when the system refuses, *busy* when another process is
    here; without *busy* it is waited for.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        unusable: type[Exception],
        busy: type[Exception] | None = None,
    ) -> None:
        self.folder = folder
        self.file = folder / f"{name}.json"
        self._lock = folder / f"{name}.lock"
        self._unusable = unusable
        self._busy = busy

    @property
    def exists(self) -> bool:
        """Whether something was kept here."""
        return self.file.exists()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes away from the folder."""
        import fcntl

        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._lock, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise self._unusable(f"{self.folder} cannot be used: {error.strerror}.") from None
        with os.fdopen(handle):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if self._busy else 0))
            except OSError:
                refused = self._busy or self._unusable
                raise refused(f"Another process uses {self.folder}.") from None
            yield

    def read(self) -> bytes | None:
        """Return what the file holds, or None when there is none."""
        try:
            return self.file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(f"{self.file} cannot be read: {error.strerror}.") from None

    def replace(self, content: bytes) -> None:
        """Replace the file whole, readable for its owner alone."""
        draft = self.folder / f".{self.file.name}.{os.getpid()}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(draft, _NEW, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.file)
            _sync(self.folder)
        except OSError as error:
            raise self._unusable(f"{self.file} cannot be written: {error.strerror}.") from None
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
