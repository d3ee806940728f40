"""The table at the end of the run: each contract, each adapter, how many lines agree."""

import pytest

from tests.bindings.golden_lines import DIFFERS, MISSING, PASSED, VERDICTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how the adapters stand against Cloudflare's measured answers."""
    if not VERDICTS:
        return
    verdicts = (PASSED, DIFFERS, MISSING)
    terminalreporter.write_sep("-", "contract x adapter, lines measured at Cloudflare")
    terminalreporter.write_line(f"{'':20}" + "".join(f"{verdict:>20}" for verdict in verdicts))
    for contract, adapter in sorted({(c, a) for c, a, _ in VERDICTS}):
        counts = "".join(f"{VERDICTS[contract, adapter, verdict]:>20}" for verdict in verdicts)
        terminalreporter.write_line(f"{contract + ' x ' + adapter:20}" + counts)
