"""A state worth looking at: made before the host of the browser tests starts."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.running_host import ROOT, SECRETS
from worker.entry.config import load_config
from worker.entry.open_env import open_env

# What must come out of a page as it went in, and never as markup.
NASTY = "<script>alert('xss')</script>\"><img src=x onerror=alert(1)>&amp;\u202egnp.exe\x1b[31m\0"
NASTY_KEY = f"nasty:{NASTY}"
LONG_KEY = "long:" + "ä" * 247  # 499 bytes


def seed(state: Path) -> None:
    """Fill the stores below *state*."""
    # In a thread of its own: playwright's blocking interface keeps a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(_seed(state))).result()


async def _seed(state: Path) -> None:
    config = load_config(ROOT / "wrangler_compat.toml")
    opened = await open_env(config, state, {**config.variables, **SECRETS}, lambda _text: None)
    reports, profiles = opened.env.import_report_kv, opened.env.profiles_kv
    await reports.put(NASTY_KEY, NASTY, metadata={NASTY: NASTY})
    await reports.put(LONG_KEY, "a key of 499 bytes")
    await reports.put("json", '{"name": "Ada", "tags": ["a", "b"], "nested": {"deep": [1, 2, 3]}}')
    await reports.put("ends", "soon gone", expiration_ttl=11_000, metadata={"from": "seed"})
    await reports.put("large", "0123456789abcdef" * 20_000)
    await reports.put("binary", bytes(range(256)) * 4)
    await reports.put("empty", "")
    for number in range(230):
        await profiles.put(f"list:{number:03d}", f"value {number}", metadata={"number": number})
    await opened.env.blobs.put("pictures/dot.txt", b"a small object")
    await opened.env.blobs.put(f"odd/{NASTY[:40]}", b"an object with an odd name")
    await opened.close()
