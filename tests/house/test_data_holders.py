"""
Everything that is stored has a holder: tables, prefixes of keys, classes of actors.

Prefixes are also looked for in what the slices' tests leave behind (tests/slices/conftest.py).
"""

from kv.contract import KVNamespace
from tests.support.held import owned
from tests.support.running_host import ROOT, RunningHost
from worker.data_holders import Owned
from worker.entry.config import load_config
from worker.env import BINDINGS
from worker.registry import ACTORS, DATA_HOLDERS

_TABLES = """
SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^'
    AND name NOT LIKE '^_cf^_%' ESCAPE '^'
"""
_COLUMNS = "SELECT name FROM pragma_table_info(?)"
_PARENTS = 'SELECT "from" FROM pragma_foreign_key_list(?) WHERE "table" = \'accounts\''
ROWS: tuple[Owned, ...] = tuple(row for holder in DATA_HOLDERS.values() for row in holder.owns)


async def test_every_table_has_one_holder_and_its_owner_column(host: RunningHost) -> None:
    """As the migrations made them; a table that points at accounts cannot be nobody's."""
    db = host.env.db
    tables = [row["name"] for row in (await db.prepare(_TABLES).all()).results]

    assert sorted(owned(host.env, "table")) == sorted(tables)
    for row in ROWS:
        if row.place == "table":
            columns = {
                one["name"] for one in (await db.prepare(_COLUMNS).bind(row.name).all()).results
            }
            parents = {
                one["from"] for one in (await db.prepare(_PARENTS).bind(row.name).all()).results
            }
            assert row.owner in {"", *columns}, row
            assert parents <= {row.owner}, row
            assert row.owner or not {"account_id", "owner_id"} & columns, row


def test_every_class_of_actors_has_a_holder() -> None:
    """Those of the registry are those of wrangler_compat.toml; none is left out."""
    config = load_config(ROOT / "wrangler_compat.toml")
    holders = {row.name for row in ROWS if row.place == "actor"}

    assert holders == set(ACTORS) == set(config.actors.values())


def test_every_namespace_and_bucket_has_prefixes() -> None:
    """Each ends in a separator, so that none is the beginning of another by chance."""
    bindings = {row.name.partition("/")[0] for row in ROWS if row.place == "kv"}

    assert bindings == {name for name, kind in BINDINGS.items() if kind is KVNamespace}
    assert any(row.place == "r2" for row in ROWS)
    for row in ROWS:
        if row.place in ("kv", "r2"):
            assert row.name.endswith((":", "/")), row
            assert row.name.partition("/")[2] or row.place == "r2", row


def test_what_is_not_deleted_has_a_reason() -> None:
    """It is what a person is told who leaves; what is deleted needs none."""
    for row in ROWS:
        assert bool(row.why) == (row.fate != "deleted"), row
        assert row.owner or row.place != "table" or row.fate == "kept", row


def test_the_account_is_closed_first_and_removed_last() -> None:
    """Nothing new comes while the others erase, and they still find whom they refer to."""
    assert next(iter(DATA_HOLDERS)) == "sign_in"
    assert list(DATA_HOLDERS)[-1] == "account"
