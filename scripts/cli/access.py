"""`edgekeep token`: a development access token for curl, scripts and the other verbs."""

import re
import sys
import time
from argparse import ArgumentTypeError, Namespace

from scripts.cli.outcome import OK, CliError, tell
from scripts.cli.place import Place, add_place
from scripts.cli.verbs import Verbs

_SCOPE = re.compile(r"[a-z_]+:[a-z_]+", re.ASCII)
_SUBJECT = re.compile(r"[\x21-\x7e]{1,128}")
_LONGEST_MINUTES = 7 * 24 * 60


def add(verbs: Verbs) -> None:
    """Add `token`."""
    parser = verbs.add(
        "token",
        _token,
        "Print an access token for this machine. Only the token goes to stdout.",
        [
            "edgekeep token --scope profiles:import",
            "edgekeep token --scope profiles:export --scope profiles:read --minutes 60",
        ],
    )
    parser.add_argument(
        "--scope",
        action="append",
        required=True,
        type=_scope,
        help="what it allows, e.g. profiles:import; may be repeated",
    )
    parser.add_argument("--subject", default="dev", type=_subject, help="who it names")
    parser.add_argument("--minutes", type=_minutes, help="how long it lives (default: 15)")
    add_place(parser)


def development_token(
    place: Place, scopes: list[str], subject: str = "dev", minutes: int | None = None
) -> str:
    """Return a token signed with the development key of *place*; refuses in production."""
    from worker.identity.tokens import issue

    settings = place.settings
    if settings.production:
        raise CliError("ENVIRONMENT is production: tokens are made for development only.")
    lifetime = minutes or settings.access_token_minutes
    return issue(settings.signing_keys, subject, scopes, time.time(), lifetime)


def _token(options: Namespace) -> int:
    place = Place.of(options)
    token = development_token(place, options.scope, options.subject, options.minutes)
    print(token)
    if sys.stdout.isatty():
        minutes = options.minutes or place.settings.access_token_minutes
        tell(f"Lives {minutes} minutes. Use it as: Authorization: Bearer TOKEN")
    return OK


def _scope(text: str) -> str:
    if not _SCOPE.fullmatch(text):
        raise ArgumentTypeError("a scope looks like profiles:import")
    return text


def _subject(text: str) -> str:
    if not _SUBJECT.fullmatch(text):
        raise ArgumentTypeError("a subject has 1 to 128 visible ASCII characters")
    return text


def _minutes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _LONGEST_MINUTES:
        raise ArgumentTypeError(f"minutes are a number from 1 to {_LONGEST_MINUTES}")
    return int(text)
