"""`edgekeep edge build | check | deploy`: the bundle for Cloudflare."""

import json
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.cli.outcome import OK, PARTLY, REFUSED, USAGE, CliError, tell
from scripts.cli.place import CONFIG_NAME
from scripts.cli.verbs import Verbs

if TYPE_CHECKING:
    from scripts.edge.bundle import Sizes

_ROOT = Path(__file__).resolve().parents[2]
_TESTS = _ROOT / "tests" / "edge"


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    edge = verbs.group("edge", "build, check and deploy the Worker for Cloudflare")
    build = edge.add(
        "build",
        _build,
        "Write the bundle for Cloudflare. The same sources always give the same bytes.",
        ["edgekeep edge build", "edgekeep edge build --env production --out build/production"],
    )
    check = edge.add(
        "check",
        _check,
        "Build, let wrangler judge it (dry run), run the edge tests and report. Needs Node.js.",
        ["edgekeep edge check", "edgekeep edge check --no-tests"],
    )
    check.add_argument("--no-tests", action="store_true", help="leave out tests/edge")
    deploy = edge.add(
        "deploy",
        _deploy,
        "Say what a deploy does, ask, and hand over to wrangler. Needs Node.js and an account.",
        ["edgekeep edge deploy --env production", "edgekeep edge deploy --env production --yes"],
    )
    deploy.add_argument("--yes", action="store_true", help="do not ask")
    for parser in (build, check, deploy):
        _add_common(parser)


def _add_common(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=_ROOT / "build" / "edge",
        help="where the bundle goes (default: build/edge in the checkout)",
    )
    parser.add_argument("--env", metavar="NAME", help="use [env.NAME] of the configuration too")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=_ROOT / CONFIG_NAME,
        help=f"configuration (default: {CONFIG_NAME} of the checkout)",
    )


# -- build ---------------------------------------------------------------------------------------


def _build(options: Namespace) -> int:
    made = _make(options)
    print(_size_line(made))
    return OK


def _make(options: Namespace) -> "Sizes":
    """Build, prove that it imports, and judge its size."""
    from scripts.edge import bundle

    with _sentences():
        cache = _ROOT / "build" / "wheels"
        files = bundle.collect(_ROOT, options.config.absolute(), cache, options.env)
        made = bundle.sizes(files)
        if made.gzip > bundle.MAX_GZIP_BYTES:
            raise CliError(
                f"The bundle has {made.gzip:,} bytes packed; at most {bundle.MAX_GZIP_BYTES:,} are "
                "allowed. Leave something out (scripts/edge/vendored.py, worker/entry/edge.py).",
                REFUSED,
            )
        out = options.out.absolute()
        bundle.write(files, out)
        bundle.refuse_import_faults(out)
    tell(f"Wrote {out}")
    return made


def _size_line(made: "Sizes") -> str:
    from scripts.edge.bundle import MAX_GZIP_BYTES

    share = 100 * made.gzip / MAX_GZIP_BYTES
    return (
        f"{made.files} files, {made.raw:,} bytes raw, {made.gzip:,} bytes gzip "
        f"({share:.1f} % of the {MAX_GZIP_BYTES // 2**20} MiB allowed)"
    )


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn the builder's errors into what a verb may end in."""
    from scripts.edge.bundle import BundleError
    from scripts.edge.toolchain import ToolError
    from scripts.edge.vendored import VendorError

    try:
        yield
    except (BundleError, VendorError) as error:
        raise CliError(str(error), REFUSED) from None
    except ToolError as error:
        raise CliError(str(error), USAGE) from None


# -- check ---------------------------------------------------------------------------------------


def _check(options: Namespace) -> int:
    from scripts.edge import toolchain

    made = _make(options)
    with _sentences():
        toolchain.install()
        with tempfile.TemporaryDirectory() as out:
            said = toolchain.dry_run(options.out.absolute(), Path(out))
        startup = json.loads(toolchain.startup_report(options.out.absolute()))
    failed = 0 if options.no_tests else _run_tests()
    print(_report(made, said, startup))
    if options.no_tests:
        tell("The edge tests were left out (--no-tests).")
    return PARTLY if failed else OK


def _run_tests() -> int:
    if not _TESTS.is_dir():
        raise CliError(f"{_TESTS} is missing; run this from a checkout, or use --no-tests.")
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-rsxX", str(_TESTS)]
    done = subprocess.run(command, cwd=_ROOT, check=False)  # noqa: S603
    tell(f"Edge tests: exit code {done.returncode}, {time.monotonic() - started:.0f} s")
    return done.returncode


def _report(made: "Sizes", said: str, startup: dict[str, Any]) -> str:
    upload = [line.strip() for line in said.splitlines() if line.startswith("Total Upload")]
    start = (
        f"Python {startup['python']} (Pyodide in Node): {startup['import_ms']} ms to import "
        f"{startup['modules']} modules, {startup['own_modules']} of them ours; "
        f"Pyodide itself {startup['boot_ms']} ms"
    )
    return "\n".join(
        [
            f"Size        {_size_line(made)}",
            f"wrangler    dry run clean{'; ' + upload[0] if upload else ''}",
            f"Start-up    {start}",
            f"Exports     {', '.join(startup['exported_classes'])}",
        ]
    )


# -- deploy --------------------------------------------------------------------------------------


def _deploy(options: Namespace) -> int:
    import os
    import tomllib

    from scripts.edge import plan, toolchain
    from scripts.edge.wrangler_config import local_names

    made = _make(options)
    out = options.out.absolute()
    document = tomllib.loads((out / "wrangler.toml").read_text(encoding="utf-8"))
    account = os.environ.get("CLOUDFLARE_ACCOUNT_ID", "the one that wrangler is logged in to")
    print(plan.describe(document, made, account))
    unknown = local_names(document)
    if unknown:
        where = f"[env.{options.env}]" if options.env else "[env.production]"
        listed = "\n".join(f"  {line}" for line in unknown)
        raise CliError(
            f"These ids are names of a laptop; put the real ones into {where} of {options.config} "
            f"and pass --env:\n{listed}",
            REFUSED,
        )
    with _sentences():
        toolchain.install()
    _confirm(options)
    for command in _commands(document):
        tell(f"wrangler {' '.join(command)}")
        with _sentences():
            line = toolchain.wrangler_command(command)
        code = subprocess.run(line, cwd=out, check=False).returncode  # noqa: S603
        if code != 0:
            raise CliError(f"wrangler ended with exit code {code}; nothing after it was done.")
    return OK


def _commands(document: dict[str, Any]) -> list[list[str]]:
    """New code may need new tables, so these come first."""
    commands = [
        ["d1", "migrations", "apply", row["database_name"], "--remote", "--config", "wrangler.toml"]
        for row in document.get("d1_databases", [])
        if "migrations_dir" in row
    ]
    return [*commands, ["deploy", "--config", "wrangler.toml"]]


def _confirm(options: Namespace) -> None:
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise CliError("Nobody is there to be asked; say --yes to deploy.", REFUSED)
    if input("Deploy this? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CliError("Not deployed.", REFUSED)
