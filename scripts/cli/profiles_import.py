"""`edgekeep import`: streams a file of profiles to the server and says what became of it."""

import asyncio
import contextlib
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any

from scripts.cli.outcome import INTERRUPTED, OK, PARTLY, CliError, show_json, table, tell
from scripts.cli.server import Target, add_server, said
from scripts.cli.verbs import Verbs

_ERRORS_SHOWN = 10
_AGAIN = "Run the same command again to complete it; what is stored stays as it is."
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

_ABOUT = """\
Import profiles (NDJSON, one user_profile document a line) into a running server.

FILE may be gzip; - reads stdin. Importing a file again is harmless: the last
line of a profile_id wins. So no Idempotency-Key is sent unless you ask for it:
with --key K, or --key auto (made from the file's content), the server answers a
repetition from memory for a day and stores nothing anew, not even after you
deleted or overwrote profiles.

Exit code: 0 all lines stored, 1 some refused, 3 nothing stored, 4 no server."""


def add(verbs: Verbs) -> None:
    """Add `import`."""
    parser = verbs.add(
        "import",
        _import,
        _ABOUT,
        [
            "edgekeep import demo.ndjson",
            "zcat big.ndjson.gz | edgekeep import - --mode atomic --json",
        ],
    )
    parser.add_argument("file", metavar="FILE", help="the file, or - for stdin")
    parser.add_argument(
        "--mode",
        choices=("partial", "atomic"),
        default="partial",
        help="partial stores the good lines; atomic stores all or nothing",
    )
    _add_key(parser)
    parser.add_argument(
        "--checksum",
        action="store_true",
        help="send the file's SHA-256; the server stores nothing when another body arrives",
    )
    parser.add_argument("--json", action="store_true", help="print the server's answer")
    add_server(parser)


def _add_key(parser: ArgumentParser) -> None:
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--key", type=_key, help="Idempotency-Key, or auto")
    key.add_argument("--no-key", action="store_const", const=None, dest="key", help="the default")


def _key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ArgumentTypeError("a key has 1 to 255 visible ASCII characters")
    return text


def _import(options: Namespace) -> int:
    from scripts.cli.upload import Upload, open_source

    with open_source(options.file) as source:
        headers = _headers(options, source)
        upload = Upload(Target(options, "profiles:import"), source, options.mode, headers)
        try:
            status, answer = asyncio.run(upload.run())
        except KeyboardInterrupt:
            _tell_interrupted(upload)
            return INTERRUPTED
        except CliError as error:
            if not upload.sent:
                raise
            report = asyncio.run(upload.report())
            told = f"{_so_far(report)} " if report else ""
            raise CliError(f"{error} {told}{_AGAIN}", error.code) from None
    return _conclude(options, status, answer)


def _headers(options: Namespace, source: Any) -> dict[str, str]:
    headers = {}
    if options.key == "auto" or options.checksum:
        digest = source.digest()
        if options.checksum:
            headers["X-Checksum-Sha256"] = digest
        if options.key == "auto":
            headers["Idempotency-Key"] = f"sha256-{digest}-{options.mode}"
    if options.key not in (None, "auto"):
        headers["Idempotency-Key"] = options.key
    return headers


def _conclude(options: Namespace, status: int, answer: dict[str, Any]) -> int:
    """Show *answer* and return the exit code."""
    if options.json:
        show_json({"status": status, **answer})
    elif "lines_total" in answer:
        print(_summary(status, answer, options.mode))
    if status < 400:
        return OK if status == 200 else PARTLY
    refused = said(status, answer)
    if not options.json:
        tell(f"edgekeep: {refused}")
    return refused.code


def _summary(status: int, answer: dict[str, Any], mode: str) -> str:
    total, bad = answer["lines_total"], answer["lines_invalid"]
    stored = answer["profiles_stored"]
    parts = [f"{total:,} lines: {stored:,} profiles stored, {bad:,} lines refused."]
    doubles = answer["lines_valid"] - stored
    if status < 400 and doubles > 0:
        parts[0] += f" {doubles:,} lines repeated a profile_id (the last one counts)."
    if answer.get("replayed"):
        parts.append("This is the answer of an earlier import with the same key; see --help.")
    errors = answer.get("errors_sample") or []
    if errors:
        parts += ["", table(error_rows(errors[:_ERRORS_SHOWN]), ("line", "path", "message"))]
        if len(errors) > _ERRORS_SHOWN or answer.get("errors_truncated"):
            parts.append("… and more; the report has them.")
        parts.append("")
    parts.append(f"Report: edgekeep report {answer['import_id']}")
    return "\n".join(parts)


def error_rows(errors: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return the line errors of an answer or a report as rows (line, path, message)."""
    return [(str(row["line_no"]), str(row["path"]), str(row["message"])) for row in errors]


def _tell_interrupted(upload: Any) -> None:
    tell("\nStopped; the connection is closed.")
    report = None
    with contextlib.suppress(KeyboardInterrupt):
        report = asyncio.run(upload.report())
    if report:
        tell(_so_far(report))
        tell(f"Report: edgekeep report {report['import_id']}")
    tell(_AGAIN)


def _so_far(report: dict[str, Any]) -> str:
    return (
        f"The server has read {report['lines_total']:,} lines and stored "
        f"{report['profiles_stored']:,} profiles ({report['state']})."
    )
