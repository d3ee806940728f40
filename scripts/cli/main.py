"""
The command `edgekeep`: parses the verb, runs it, turns every failure into a sentence and a code.

Start-up matters: verbs import what they need when they run.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Collection, Sequence
from importlib import import_module

from scripts.cli.outcome import BROKEN_PIPE, EXIT_CODES, INTERRUPTED, USAGE, CliError, tell
from scripts.cli.verbs import Verbs

_ABOUT = "Edgekeep on a laptop: run it, fill it, look into it."
_EXAMPLES = """\
examples:
  edgekeep dev                            run the server on http://127.0.0.1:8788
  edgekeep sample -o demo.ndjson          write 20,000 demo profiles
  edgekeep import demo.ndjson             import them, with a progress bar
  edgekeep profiles list --limit 5        look at what is there
  edgekeep token --scope profiles:import  print an access token for curl

Each verb explains itself: edgekeep VERB --help
"""

# Each verb or group of verbs: its module in this package, and its line in the list.
_VERBS = {
    "dev": ("develop", "run the server on this machine"),
    "console": ("console_link", "print the link that opens the console"),
    "sample": ("sample", "write demo profiles"),
    "import": ("profiles_import", "import profiles into a running server"),
    "report": ("import_report", "print the report of an import"),
    "abandon": ("import_abandon", "give up an import that is stuck"),
    "export": ("profiles_export", "export every profile as NDJSON"),
    "profiles": ("profiles_read", "read, list, count and move profiles"),
    "mail": ("outbox", "show the mail that a host in development wrote"),
    "account": ("account", "make, list, close and sign out accounts; give roles"),
    "keys": ("keys", "list and rotate the keys of this deployment"),
    "token": ("access", "print an access token for this machine"),
    "backup": ("backup", "keep identity and contacts in an encrypted backup"),
    "relay": ("relay", "show the relay at work between two terminals"),
    "kv": ("kv_verbs", "look into and touch KV namespaces"),
    "d1": ("d1_verbs", "run SQL and migrations on D1 databases"),
    "r2": ("r2_verbs", "look into and touch R2 buckets"),
    "durable": ("durable_verbs", "tell which actors have something stored"),
    "cron": ("cron_verbs", "list schedules and run one now"),
    "edge": ("edge", "build, check and deploy the Worker for Cloudflare"),
    "routes": ("doors", "print every door and who may call it"),
    "docs": ("reference", "write the generated pages of docs/"),
    "about": ("about", "tell what this is and what it runs on, SQLite included"),
    "version": ("version", "print the version"),
}


def make_parser(given: Collection[str]) -> argparse.ArgumentParser:
    """Return the parser: the verbs in *given* with all they take, the others by name."""
    parser = argparse.ArgumentParser(
        prog="edgekeep",
        description=_ABOUT,
        epilog=f"{_EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the trace of a failure")
    verbs = Verbs(parser)
    for name, (module, about) in _VERBS.items():
        if name in given:
            import_module(f"scripts.cli.{module}").add(verbs)
        else:
            verbs.mention(name, about)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb that *arguments* (default: those of the process) name; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # --debug is taken wherever it stands.
    debug = "--debug" in given
    options = make_parser(given).parse_args([word for word in given if word != "--debug"])
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has seen enough; the interpreter must not complain at its end.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        tell("Stopped.")
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        return _explain(error)
    return code


def _explain(error: Exception) -> int:
    if isinstance(error, CliError):
        tell(f"edgekeep: {error}")
        return error.code
    if _is_configuration(error):
        tell(f"edgekeep: {error}")
        return USAGE
    detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    name = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    tell(f"edgekeep: {type(error).__name__}: {detail}{name}. --debug shows where it happened.")
    return USAGE


def _is_configuration(error: Exception) -> bool:
    from worker.entry.config import ConfigError
    from worker.setting_kinds import SettingError

    return isinstance(error, ConfigError | SettingError)


if __name__ == "__main__":
    sys.exit(main())
