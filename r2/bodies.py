"""
The files of an embedded bucket: one body each, named by version, never by key.

`incoming/` holds what is being received, `bodies/` what is whole and on the disk. A
writer keeps its file locked (flock) until its row is committed; the lock ends with the
process, so a sweep tells a body at work from an orphan of a crash, also across
processes. Everything here blocks: call it from the bucket's threads.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from d1_schema.sqlite.engine import Error
from r2.errors import INTERNAL, refusal
from r2.limits import CHUNK_BYTES

# Versions are random; a second try is for clocks and dice that tests hand in.
_NAME_TRIES = 8

T = TypeVar("T")


class BodyFolder:
    """The two folders of bodies and the handle that makes renames durable."""

    def __init__(self, directory: Path, random_bytes: Callable[[int], bytes]) -> None:
        """Create the folders where they are missing."""
        self.incoming = directory / "incoming"
        self.bodies = directory / "bodies"
        self._random_bytes = random_bytes
        for folder in (self.incoming, self.bodies):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (directory, directory.parent):
            _sync_folder(folder)
        self._handle = os.open(self.bodies, os.O_RDONLY)

    def close(self) -> None:
        """Let go of the handle."""
        os.close(self._handle)

    def create(self) -> tuple[str, int]:
        """Return a new version and a locked handle on its empty file in `incoming/`."""
        for _ in range(_NAME_TRIES):
            version = self._random_bytes(16).hex()
            if (self.bodies / version).exists():
                continue
            with suppress(FileExistsError):
                return version, _create_locked(self.incoming / version)
        raise FileExistsError("no free name for a body: are the random bytes random?")

    def open(self, version: str) -> int:
        """Return a handle for reading; FileNotFoundError when there is no such body."""
        return os.open(self.bodies / version, os.O_RDONLY)

    def remove(self, version: str) -> None:
        """Remove a body. What stays because of an error is left to the sweep."""
        with suppress(OSError):
            (self.bodies / version).unlink()

    def sync(self) -> None:
        """Make the renames so far durable."""
        os.fsync(self._handle)


class BodyWriter:
    """
    A body on its way in: begin, write, publish, commit; or discard at any time.

    Made without touching the disk, so that whoever starts a step can always discard.
    Steps run in threads, one after the other; discard waits for the one that runs.
    """

    def __init__(self, folder: BodyFolder) -> None:
        """Write into *folder*, once `begin` is called."""
        self.version = ""
        self._folder = folder
        self._path = folder.incoming
        self._handle: int | None = None
        self._ended = False
        self._lock = threading.Lock()

    @property
    def ended(self) -> bool:
        """Whether the body was kept or discarded."""
        return self._ended

    def begin(self) -> None:
        """Create the file."""
        with self._lock:
            if self._ended:
                raise ValueError("The body was discarded.")
            self.version, self._handle = self._folder.create()
            self._path = self._folder.incoming / self.version

    def write(self, data: bytes) -> None:
        """Append *data*."""
        with self._working() as handle:
            _write(handle, data)

    def append_body(self, version: str) -> None:
        """Append a whole other body; FileNotFoundError when it is gone."""
        with self._working() as handle:
            source = self._folder.open(version)
            try:
                while chunk := os.read(source, CHUNK_BYTES):
                    _write(handle, chunk)
            finally:
                os.close(source)

    def publish(self) -> None:
        """Make the bytes durable, then give the file its place, durably too."""
        with self._working() as handle:
            os.fsync(handle)
            place = self._folder.bodies / self.version
            self._path.rename(place)
            self._path = place
            self._folder.sync()

    def commit(self, step: Callable[[], T | None]) -> T | None:
        """
        Return what *step*, which commits the row, returns; None discards the body.

        When SQLite fails the file stays: the commit may have reached the disk all the
        same, and the next sweep can see whether it did. Other errors come before it.
        """
        with self._working():
            try:
                result = step()
            except Error:
                self._end()
                raise
            if result is None:
                self._path.unlink()
            self._end()
        return result

    def discard(self) -> None:
        """Remove the file unless commit ended the body. Repeatable."""
        with self._lock:
            if not self._ended:
                if self._handle is not None:
                    with suppress(OSError):
                        self._path.unlink()
                self._end()

    @contextmanager
    def _working(self) -> Iterator[int]:
        with self._lock:
            if self._ended or self._handle is None:
                raise ValueError("The body was discarded or never begun.")
            yield self._handle

    def _end(self) -> None:
        self._ended = True
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class BodyReader:
    """A handle on part of a body, read front to back. One reader at a time."""

    def __init__(self, handle: int, offset: int, length: int) -> None:
        """Read *length* bytes from *offset* on; the reader closes *handle*."""
        self._handle: int | None = handle
        self._offset = offset
        self._left = length
        self._lock = threading.Lock()

    def __del__(self) -> None:
        """Close: a body that nobody reads is no mistake, and must not leak."""
        self.close()

    def read(self, limit: int) -> bytes:
        """
        Return up to *limit* bytes, b"" at the end.

        Raises R2Error 10001 when the file is shorter than its row says, or was closed.
        """
        with self._lock:
            if self._left == 0:
                return b""
            if self._handle is None:
                raise refusal("get", INTERNAL)
            data = os.pread(self._handle, min(limit, self._left), self._offset)
            if not data:
                raise refusal("get", INTERNAL)
            self._offset += len(data)
            self._left -= len(data)
        if self._left == 0:
            self.close()
        return data

    def read_all(self) -> bytes:
        """Return everything left."""
        first = self.read(self._left)
        if self._left == 0:
            return first
        # The system reads at most 2 GiB at a time.
        pieces = [first]
        while piece := self.read(self._left):
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Let go of the file. Repeatable."""
        with self._lock:
            handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def try_lock(handle: int) -> bool:
    """Return whether nobody else holds the file of *handle*; it is ours then."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _create_locked(path: Path) -> int:
    """Return a new file, locked. A sweep may take it before the lock does: then again."""
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
