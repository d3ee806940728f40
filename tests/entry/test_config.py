"""wrangler_compat.toml: what is read from it, and the sentence for each way to get it wrong."""

from pathlib import Path

import pytest

from tests.support.running_host import SECRETS
from worker.app import Worker
from worker.entry.config import Config, ConfigError, D1Binding, load_config
from worker.entry.host import not_served
from worker.setting_kinds import SettingError
from worker.settings import Settings

ROOT = Path(__file__).parents[2]
KV_A = "[[kv_namespaces]]\nbinding = 'A'\nid = 'x'\n"
NO_1 = "durable_objects.bindings no. 1"
ACTOR = """
[[durable_objects.bindings]]
name = "ROOM"
class_name = "Room"
"""


def read(tmp_path: Path, text: str) -> Config:
    """Load a configuration of *text* below the line that names the Worker."""
    path = tmp_path / "wrangler_compat.toml"
    path.write_text('name = "trial"\n' + text, encoding="utf-8")
    return load_config(path)


def complaint(tmp_path: Path, text: str) -> str:
    """Return what is said of *text*, without the path of the file."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    said = str(caught.value)
    assert said.startswith(str(tmp_path))
    return said.removeprefix(f"{tmp_path / 'wrangler_compat.toml'}").lstrip(": ")


def test_the_file_of_this_repository_is_read_whole() -> None:
    """Our own configuration names every binding under its name and kind."""
    config = load_config(ROOT / "wrangler_compat.toml")

    assert config.name == "edgekeep"
    assert set(config.kv) == {"PROFILES_KV", "IMPORT_REPORT_KV", "IDEMPOTENCY_KV"}
    assert config.kv["PROFILES_KV"] == "profiles"
    assert config.d1 == (
        D1Binding("DB", "edgekeep", ROOT / "d1_schema" / "migrations", "d1_migrations"),
    )
    assert config.r2 == {"BLOBS": "edgekeep-blobs"}
    assert config.actors["IMPORT_ROOM"] == "ImportRoom"
    assert config.variables["ENVIRONMENT"] == "development"
    assert config.path == ROOT / "wrangler_compat.toml"


def test_tables_that_only_wrangler_needs_are_passed_over(tmp_path: Path) -> None:
    """Observability, placement, rules, assets and environments are wrangler's business."""
    config = read(
        tmp_path,
        "[observability]\nenabled = true\n[placement]\nmode = 'smart'\n"
        "[[rules]]\ntype = 'Text'\nglobs = ['**/*.json']\n[env.staging.vars]\nX = '1'\n",
    )

    assert config.variables == {}
    assert config.kv == {}


def test_variables_may_be_numbers_and_switches(tmp_path: Path) -> None:
    """TOML numbers and booleans become the texts that the settings read."""
    config = read(tmp_path, "[vars]\nIMPORT_REPORT_DAYS = 7\nLOUD = true\nRATIO = 0.5\n")

    assert config.variables == {"IMPORT_REPORT_DAYS": "7", "LOUD": "true", "RATIO": "0.5"}


def test_actor_classes_follow_the_migrations(tmp_path: Path) -> None:
    """A class counts when it was added, or renamed to, and not deleted since."""
    config = read(
        tmp_path,
        ACTOR
        + """
[[migrations]]
tag = "v1"
new_sqlite_classes = ["Hall", "Old"]

[[migrations]]
tag = "v2"
renamed_classes = [{ from = "Hall", to = "Room" }]
deleted_classes = ["Old"]
""",
    )

    assert config.actors == {"ROOM": "Room"}


def test_toml_mistakes_name_the_line(tmp_path: Path) -> None:
    """What is not TOML is refused with line and column."""
    said = complaint(tmp_path, "[vars\n")

    assert "not valid TOML" in said
    assert "line 2" in said


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    """A configuration that is not there is a sentence, not a trace."""
    with pytest.raises(ConfigError, match="does not exist; name the file with --config"):
        load_config(tmp_path / "absent.toml")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 cannot be read."""
    path = tmp_path / "wrangler_compat.toml"
    path.write_bytes(b'name = "\xff"')

    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[kv_namespaces]]\nid = 'x'\n", "kv_namespaces no. 1: binding is missing."),
        ("[[kv_namespaces]]\nbinding = 'A'\n", "kv_namespaces no. 1: id is missing."),
        (
            "[[kv_namespaces]]\nbinding = 7\nid = 'x'\n",
            "kv_namespaces no. 1: binding must be a text between quotes and not empty.",
        ),
        (
            "[kv_namespaces]\nbinding = 'A'\n",
            "kv_namespaces: expected a list of tables, written [[kv_namespaces]].",
        ),
        (
            "[[kv_namespaces]]\nbinding = '../A'\nid = 'x'\n",
            "kv_namespaces no. 1: binding '../A' may have letters, digits and _ only.",
        ),
        (
            KV_A + "[[r2_buckets]]\nbinding = 'a'\nbucket_name = 'b'\n",
            "r2_buckets no. 1: binding 'a' is taken by kv_namespaces no. 1; choose another.",
        ),
        ("[[d1_databases]]\nbinding = 'DB'\n", "d1_databases no. 1: database_name is missing."),
        (
            "[[d1_databases]]\nbinding = 'DB'\ndatabase_name = 'a/b'\n",
            "d1_databases no. 1: database_name 'a/b' may have letters, digits, - _ . only.",
        ),
        (
            "[[r2_buckets]]\nbinding = 'B'\nbucket_name = '..'\n",
            "r2_buckets no. 1: bucket_name '..' may have letters, digits, - _ . only.",
        ),
        ("vars = 3\n", "vars: expected a table, written [vars]."),
        ("[triggers]\ncrons = '* * * * *'\n", "triggers: crons must be a list of texts."),
        (
            "[triggers]\ncrons = ['* * * * *', '* * * * *']\n",
            "triggers.crons: '* * * * *' stands there twice.",
        ),
        (
            "[[kv_namespace]]\nbinding = 'A'\n",
            "kv_namespace: unknown; did you mean kv_namespaces?",
        ),
        (
            ACTOR + "script_name = 'other'\n",
            f"{NO_1}: script_name names another Worker; only our own are run.",
        ),
        (
            "[[migrations]]\ntag = 'v1'\nnew_classes = ['Room']\n" + ACTOR,
            "migrations no. 1: new_classes is the old storage; use new_sqlite_classes.",
        ),
    ],
)
def test_each_mistake_is_one_sentence(tmp_path: Path, text: str, expected: str) -> None:
    """A wrong value is named by table, number and key, with what to do."""
    assert complaint(tmp_path, text) == expected


def test_an_unknown_actor_class_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """A class that no migration made is named, with those that were."""
    said = complaint(
        tmp_path, ACTOR + "[[migrations]]\ntag = 'v1'\nnew_sqlite_classes = ['Inbox', 'Hub']\n"
    )

    assert "the class Room stands in no [[migrations]] new_sqlite_classes" in said
    assert "Hub, Inbox" in said


def test_a_weekday_of_a_crontab_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Cloudflare and crontab count weekdays differently: 0 is no day there."""
    said = complaint(tmp_path, "[triggers]\ncrons = ['0 9 * * 0']\n")

    assert said.startswith("triggers.crons: '0 9 * * 0' is not a cron expression: Bad weekday 0")
    assert "1 = SUN" in said


def test_variables_may_be_tables_and_lists(tmp_path: Path) -> None:
    """As wrangler hands them to a Worker: JSON; moments of TOML as their texts."""
    config = read(
        tmp_path,
        "[vars]\nLIST = ['a', 1, true, { b = 'ü' }]\nDAY = 2026-11-01\n"
        "AT = 2026-11-01T12:00:00Z\n[vars.NESTED]\nx = { y = [1.5, 2026-11-01] }\n",
    )

    assert config.variables == {
        "LIST": '["a",1,true,{"b":"ü"}]',
        "DAY": "2026-11-01",
        "AT": "2026-11-01T12:00:00+00:00",
        "NESTED": '{"x":{"y":[1.5,"2026-11-01"]}}',
    }


def test_a_list_is_read_by_the_settings_that_are_lists(tmp_path: Path) -> None:
    """Written as TOML has them, instead of with commas in one text."""
    text = "[vars]\nCORS_ORIGINS = ['https://a.example', 'https://b.example']\nFAULTS = []\n"
    settings = Settings.load({**read(tmp_path, text).variables, **SECRETS})

    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.faults == ()


@pytest.mark.parametrize("value", ["[1]", "['a', 2]", "{ a = 1 }", "['nonsense']"])
def test_a_list_of_other_things_is_refused(tmp_path: Path, value: str) -> None:
    """By the setting's name, as every value that will not do."""
    with pytest.raises(SettingError, match="CORS_ORIGINS cannot be used"):
        Settings.load({**read(tmp_path, f"[vars]\nCORS_ORIGINS = {value}\n").variables, **SECRETS})


def test_what_is_not_served_here_is_noted(tmp_path: Path) -> None:
    """Bindings that only Cloudflare has; what tells how to build and deploy is no such thing."""
    config = read(
        tmp_path,
        "compatibility_date = '2026-11-01'\nworkers_dev = true\n[observability]\nenabled = true\n"
        "[[queues.producers]]\nbinding = 'Q'\nqueue = 'q'\n[ai]\nbinding = 'AI'\n"
        "[[services]]\nbinding = 'S'\nservice = 's'\n[env.staging]\n"
        "[[d1_databases]]\nbinding = 'DB'\ndatabase_name = 'd'\nremote = true\n",
    )

    assert config.unserved == ("[queues]", "[ai]", "[[services]]", "d1_databases no. 1: remote")
    assert load_config(ROOT / "wrangler_compat.toml").unserved == ()


def test_a_start_tells_what_is_not_served(tmp_path: Path) -> None:
    """With the name of the file; a cron without a job too."""
    config = read(tmp_path, "[ai]\nbinding = 'AI'\n[triggers]\ncrons = ['1 1 * * *']\n")

    said = list(not_served(config, Worker()))

    assert said[0] == "wrangler_compat.toml: [ai] is not served here, only at Cloudflare."
    assert "'1 1 * * *' has no job" in said[1]
    assert len(said) == 2
