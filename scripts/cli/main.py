"""
The command `edgekeep`: parses the verb, runs it, turns every failure into a sentence and a code.

Start-up matters: verbs import what they need when they run.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from scripts.cli import (
    access,
    cron_verbs,
    d1_verbs,
    develop,
    durable_verbs,
    kv_verbs,
    profiles_export,
    profiles_import,
    profiles_move,
    profiles_read,
    r2_verbs,
    reference,
    sample,
)
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


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with every verb."""
    parser = argparse.ArgumentParser(
        prog="edgekeep",
        description=_ABOUT,
        epilog=f"{_EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the trace of a failure")
    verbs = Verbs(parser)
    develop.add(verbs)
    access.add(verbs)
    profiles_import.add(verbs)
    profiles_export.add(verbs)
    sample.add(verbs)
    profiles = verbs.group("profiles", "read, count and move profiles")
    profiles_read.add(profiles, verbs)
    profiles_move.add(profiles)
    kv_verbs.add(verbs)
    d1_verbs.add(verbs)
    r2_verbs.add(verbs)
    durable_verbs.add(verbs)
    cron_verbs.add(verbs)
    reference.add(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb that *arguments* (default: those of the process) name; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # --debug is taken wherever it stands.
    debug = "--debug" in given
    options = make_parser().parse_args([word for word in given if word != "--debug"])
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
    from worker.settings import SettingError

    return isinstance(error, ConfigError | SettingError)


if __name__ == "__main__":
    sys.exit(main())
