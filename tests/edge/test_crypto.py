"""The edge's crypto port in real workerd, and in the current Pyodide before Node's WebCrypto."""

import pytest

from tests.core.test_crypto_vectors import KINDS, VECTORS
from tests.edge.workerd import Workerd


@pytest.mark.parametrize("kind", KINDS)
async def test_workerd_agrees_with_wycheproof(workerd: Workerd, kind: str) -> None:
    """WebCrypto judges as `cryptography` does on a host; ML-DSA-87 is judged in Python here."""
    assert await workerd.run("vectors", kind, VECTORS[kind]) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_the_current_pyodide_agrees_with_wycheproof(pyodide: Workerd, kind: str) -> None:
    """Another engine's WebCrypto, today's Python."""
    assert await pyodide.run("vectors", kind, VECTORS[kind]) == []
