"""
A pytest plugin: what a run has to tell at its end, wherever its tests ran.

Tests add to `TOLD`, `VERDICTS` and `NOT_PROVEN`. A worker of pytest-xdist hands its own on to the
process that prints. And what was skipped is said aloud, because it proves nothing: in CI it fails.
"""

import os
from collections import Counter
from typing import Any

import pytest

TOLD: list[str] = []
"""Lines of fault runs: what they counted."""
VERDICTS: Counter[tuple[str, str, str]] = Counter()
"""(contract, adapter, verdict) → lines measured at Cloudflare."""
NOT_PROVEN: set[str] = set()
"""What could not be tried here, in sentences."""

PASSED, DIFFERS, MISSING = "passed", "differs on purpose", "missing"


def _write_verdicts(terminal: pytest.TerminalReporter) -> None:
    verdicts = (PASSED, DIFFERS, MISSING)
    terminal.write_sep("-", "contract x adapter, lines measured at Cloudflare")
    terminal.write_line(f"{'':20}" + "".join(f"{verdict:>20}" for verdict in verdicts))
    for contract, adapter in sorted({(c, a) for c, a, _ in VERDICTS}):
        counts = "".join(f"{VERDICTS[contract, adapter, verdict]:>20}" for verdict in verdicts)
        terminal.write_line(f"{contract + ' x ' + adapter:20}" + counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, the fault runs and what was not proven; -rs has listed skips above."""
    if TOLD:
        terminalreporter.write_sep("-", "fault runs")
        for line in TOLD:
            terminalreporter.write_line(line)
    if VERDICTS:
        _write_verdicts(terminalreporter)
    for text in sorted(NOT_PROVEN):
        terminalreporter.write_sep("!", "NOT PROVEN", red=True, bold=True)
        terminalreporter.write_line(text)
    skipped = len(terminalreporter.stats.get("skipped", ()))
    if skipped:
        terminalreporter.write_sep(
            "!", f"{skipped} SKIPPED: these prove nothing", red=True, bold=True
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a worker's part on; in CI a skipped test fails the run."""
    config = session.config
    if hasattr(config, "workeroutput"):
        counted = [(*row, count) for row, count in VERDICTS.items()]
        config.workeroutput["end_of_run"] = (TOLD, counted, sorted(NOT_PROVEN))
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and os.environ.get("CI") and reporter.stats.get("skipped"):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker had to tell; one that died told nothing, and xdist says that."""
    told, counted, not_proven = getattr(node, "workeroutput", {}).get("end_of_run", ([], [], []))
    TOLD.extend(told)
    NOT_PROVEN.update(not_proven)
    for *row, count in counted:
        VERDICTS[tuple(row)] += count
