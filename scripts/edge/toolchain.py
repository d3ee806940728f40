"""Node and the tools pinned in scripts/edge/node: wrangler, and Pyodide for the start-up figure."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

NODE_FOLDER: Final = Path(__file__).with_name("node")
MIN_NODE: Final = 20
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_STAMP: Final = "node_modules/.edgekeep"


class ToolError(Exception):
    """A tool is missing or failed; the text is a sentence for the person at the terminal."""


def require_node() -> str:
    """Return the path of node. Raises `ToolError` when it is missing or too old."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        raise ToolError(
            f"Node.js {MIN_NODE} or newer (with npm) is needed for this, and none was found; "
            "install it from https://nodejs.org/ or your package manager."
        )
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    match = re.match(r"v(\d+)\.", said.stdout)
    if match is None or int(match[1]) < MIN_NODE:
        raise ToolError(
            f"Node.js {MIN_NODE} or newer is needed, and {node} is {said.stdout.strip()}."
        )
    return node


def install(folder: Path = NODE_FOLDER, command: Sequence[str] = ("ci",)) -> None:
    """Make node_modules in *folder* what package-lock.json says, unless it is already."""
    require_node()
    # Two that install at once would take each other's files away; the lock ends with the process.
    with (folder / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.sha256((folder / "package.json").read_bytes() + lock.read()).hexdigest()
        stamp = folder / _STAMP
        if not stamp.is_file() or stamp.read_text() != wanted:
            _npm(folder, command)
            stamp.write_text(wanted)


def _npm(folder: Path, command: Sequence[str]) -> None:
    done = subprocess.run(  # noqa: S603
        ["npm", *command, "--no-audit", "--no-fund", "--loglevel=error"],  # noqa: S607
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ToolError(f"`npm {command[0]}` in {folder} failed: {said}")


def wrangler_command(arguments: Sequence[str]) -> list[str]:
    """Return the command line of the pinned wrangler."""
    script = NODE_FOLDER / "node_modules" / "wrangler" / "bin" / "wrangler.js"
    return [require_node(), str(script), *arguments]


def quiet_environment() -> dict[str, str]:
    """Return this process's environment, with wrangler's questions and reports switched off."""
    return {**os.environ, "WRANGLER_SEND_METRICS": "false", "CI": "true", "NO_COLOR": "1"}


def dry_run(bundle: Path, out: Path) -> str:
    """
    Let wrangler judge *bundle* without deploying; return what it said.

    Raises:
        ToolError: it refused, or warned: a warning here is a surprise at the edge later.
    """
    arguments = ["deploy", "--dry-run", "--outdir", str(out), "--config", "wrangler.toml"]
    done = subprocess.run(  # noqa: S603
        wrangler_command(arguments),
        cwd=bundle,
        env=quiet_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    # wrangler colours its warnings even when it is told not to.
    said = _COLOUR.sub("", f"{done.stdout}\n{done.stderr}").strip()
    if done.returncode != 0:
        raise ToolError(f"wrangler refuses the bundle:\n{said}")
    if "[WARNING]" in said:
        raise ToolError(f"wrangler warns about the bundle:\n{said}")
    return said


def startup_report(bundle: Path) -> str:
    """
    Load *bundle* in current Pyodide under Node and return its report.

    Raises:
        ToolError: the bundle does not load there.
    """
    done = subprocess.run(  # noqa: S603
        [require_node(), str(NODE_FOLDER / "startup.mjs"), str(bundle)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise ToolError(f"The bundle does not load in Pyodide:\n{said}")
    return done.stdout.strip()
