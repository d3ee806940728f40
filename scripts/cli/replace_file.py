"""Writing a file whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from scripts.cli.outcome import CliError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Yield a text file that takes the place of *path* when the block ends well."""
    with replacing_bytes(path) as file:
        text = os.fdopen(os.dup(file.fileno()), "w", encoding="utf-8")
        with text:
            yield text


@contextlib.contextmanager
def replacing_bytes(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file that takes the place of *path* when the block ends well."""
    try:
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp's 0600 is for secrets; this is an ordinary file.
        mask = os.umask(0)
        os.umask(mask)
        Path(draft).chmod(0o666 & ~mask)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
