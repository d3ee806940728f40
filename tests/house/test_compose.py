"""compose.yaml and docs/servers.md: servers for this machine only, and addresses that fit them."""

import re
from typing import Any

import yaml

from kv.redis_address import RedisAddress
from r2.s3_address import parse_address
from tests.house.sources import ROOT
from worker.entry.config import load_config

SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))[
    "services"
]
PAGE = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")


def _default(text: str) -> str:
    """Replace each ${NAME:-default} by its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_the_servers_are_reached_from_this_machine_only() -> None:
    """Every published port is bound to loopback: the passwords are known to everybody."""
    ports = [_default(port) for service in SERVICES.values() for port in service["ports"]]

    assert ports == ["127.0.0.1:6379:6379", "127.0.0.1:9000:9000", "127.0.0.1:9001:9001"]


def test_each_server_is_pinned_watched_and_keeps_its_data() -> None:
    """A release by name, a health check for --wait, a volume."""
    for name, service in SERVICES.items():
        assert re.search(r":(?!latest)\S*\d", service["image"]), name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["volumes"], name


def test_the_documented_addresses_lead_to_these_servers() -> None:
    """The two variables of docs/servers.md name the ports, the keys and the bucket."""
    found = dict(re.findall(r"export (EDGEKEEP_\w+)=(\S+)", PAGE))
    environment = {name: _default(text) for name, text in SERVICES["minio"]["environment"].items()}
    address = parse_address(found["EDGEKEEP_R2"])

    assert RedisAddress.parse(found["EDGEKEEP_KV"]).label == "127.0.0.1:6379"
    assert address.endpoint == "127.0.0.1:9000"
    assert address.access_key == environment["MINIO_ROOT_USER"]
    assert address.secret_key == environment["MINIO_ROOT_PASSWORD"]
    assert address.bucket in load_config(ROOT / "wrangler_compat.toml").r2.values()
