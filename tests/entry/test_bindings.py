"""A binding is one entry in wrangler_compat.toml and one typed field of `Env`."""

from pathlib import Path

import pytest

from d1_schema.contract import D1Database
from durable.contract import ObjectNamespace
from kv.contract import KVNamespace
from r2.contract import R2Bucket
from tests.support.running_host import ROOT, SECRETS
from worker.entry.config import ConfigError, load_config
from worker.entry.open_env import open_env
from worker.env import BINDINGS

CONFIG = (ROOT / "wrangler_compat.toml").read_text()


def test_the_configuration_lists_what_env_declares() -> None:
    """Every field of `Env` with a contract's type is in the file, and nothing else is."""
    assert load_config(ROOT / "wrangler_compat.toml").bindings == BINDINGS
    assert set(BINDINGS.values()) == {KVNamespace, D1Database, R2Bucket, ObjectNamespace}


@pytest.mark.parametrize(
    ("taken", "given", "complaint"),
    [
        ('"PROFILES_KV"', '"PROFILE_KV"', "[[kv_namespaces]] has no binding PROFILES_KV"),
        ('"DB"', '"DATABASE"', "[[d1_databases]] has no binding DB"),
        ('"BLOBS"', '"BLOB"', "[[r2_buckets]] has no binding BLOBS"),
        ('"INBOX"', '"IN_BOX"', "[[durable_objects.bindings]] has no binding INBOX"),
        (
            "[vars]",
            '[[r2_buckets]]\nbinding = "EXTRA"\nbucket_name = "extra"\n[vars]',
            "[[r2_buckets]] lists EXTRA, which is no field of Env",
        ),
    ],
)
async def test_a_missing_or_unknown_binding_stops_the_start(
    tmp_path: Path, taken: str, given: str, complaint: str
) -> None:
    """The sentence names the file, its table, the binding, and what to do."""
    assert CONFIG.count(taken) == 1
    path = tmp_path / "wrangler_compat.toml"
    path.write_text(CONFIG.replace(taken, given))

    with pytest.raises(ConfigError) as caught:
        await open_env(load_config(path), tmp_path / "state", SECRETS, lambda _: None)

    assert str(caught.value).startswith(f"{path}: {complaint}")
    assert not (tmp_path / "state").exists()
