"""
A pytest plugin for scripts/test: skipped tests are named at the end, and are a failure in CI.

A test that did not run proves nothing, and a green line must not hide it.
"""

import os

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests did not run; -rs has listed them above."""
    count = len(terminalreporter.stats.get("skipped", ()))
    if count:
        terminalreporter.write_sep(
            "!", f"{count} SKIPPED: these prove nothing", red=True, bold=True
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and os.environ.get("CI") and reporter.stats.get("skipped"):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
