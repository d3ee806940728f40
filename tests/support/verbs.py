"""Verbs of `edgekeep` run in this process: many small ones cost little."""

import contextlib
import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from scripts.cli.main import main

Run = subprocess.CompletedProcess[str]


def edgekeep(*words: str | Path, stdin: bytes = b"", **variables: str) -> Run:
    """Run `edgekeep` with *words* as if from a pipe; *variables* are added to the environment."""
    out, err = io.StringIO(), io.StringIO()
    given = [str(word) for word in words]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _given(stdin, variables):
        try:
            code = main(given)
        except SystemExit as end:
            code = int(end.code or 0)
    return Run(given, code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _given(stdin: bytes, variables: dict[str, str]) -> Iterator[None]:
    piped = io.TextIOWrapper(io.BytesIO(stdin))
    with mock.patch("sys.stdin", piped), mock.patch.dict(os.environ, variables):
        yield
