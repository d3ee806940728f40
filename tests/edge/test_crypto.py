"""The edge's crypto port in real workerd, and in the current Pyodide before Node's WebCrypto."""

import pytest

from tests.core.test_crypto_vectors import KINDS, VECTORS
from tests.edge.workerd import Workerd, newest_node
from tests.support.end_of_run import NOT_PROVEN


@pytest.mark.parametrize("kind", KINDS)
async def test_workerd_agrees_with_wycheproof(workerd: Workerd, kind: str) -> None:
    """WebCrypto judges as `cryptography` does on a host; ML-DSA-87 is judged in Python here."""
    assert await workerd.run("vectors", kind, VECTORS[kind]) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_the_current_pyodide_agrees_with_wycheproof(pyodide: Workerd, kind: str) -> None:
    """Another engine's WebCrypto, today's Python."""
    assert await pyodide.run("vectors", kind, VECTORS[kind]) == []


async def test_webcrypto_judges_ml_dsa_where_it_can(pyodide: Workerd) -> None:
    """By a feature test: with the Python implementation away, the verdicts are the same."""
    absent = "dilithium_py.ml_dsa"
    if newest_node() is None:
        NOT_PROVEN.add("ML-DSA-87 in WebCrypto: the Node that has it comes for Linux on x64.")
        absent = ""

    assert await pyodide.run("vectors", "ML-DSA-87", VECTORS["ML-DSA-87"], absent) == []


async def test_without_webcrypto_ml_dsa_is_judged_in_python(workerd: Workerd) -> None:
    """workerd of 2024 does not know it: without the Python implementation nothing is judged."""
    with pytest.raises(ImportError):
        await workerd.run("vectors", "ML-DSA-87", VECTORS["ML-DSA-87"][:1], "dilithium_py.ml_dsa")
