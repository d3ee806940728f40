"""The portable claim: what runs at the edge loads without dice, clock, network or host packages."""

import subprocess
import sys

from scripts.edge.bundle import ENTRY
from scripts.edge.closure import find_closure
from tests.house.sources import ROOT

# Cloudflare runs module code once at deploy, without entropy, and freezes what it leaves behind
# (facts/bindings.md F8, J6). The clock is judged by who asks: a library may note its start time.
GUARD = """
import importlib, os, sys

ROOT, BLOCKED, MODULES = sys.argv[1], set(sys.argv[2].split(",")), sys.argv[3].split(",")

class NoHostPackages:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} does not load at the edge")

def refused(name):
    def refuse(*args, **kwargs):
        raise RuntimeError(f"{name} was asked at import")
    return refuse

def clock(name, real):
    def ask():
        if sys._getframe(1).f_code.co_filename.startswith(ROOT + os.sep) and (
            ".venv" not in sys._getframe(1).f_code.co_filename
        ):
            raise RuntimeError(f"{name} was asked at import")
        return real()
    return ask

sys.meta_path.insert(0, NoHostPackages())
os.urandom = refused("os.urandom")
# After that: random and secrets take what os has by then.
import random, socket, time
for name in ("random", "randbytes", "randint", "choice", "getrandbits", "shuffle", "sample"):
    setattr(random, name, refused(f"random.{name}"))
for name in ("time", "time_ns"):
    setattr(time, name, clock(f"time.{name}", getattr(time, name)))
socket.socket.connect = refused("socket.connect")
socket.getaddrinfo = refused("socket.getaddrinfo")
for module in MODULES:
    importlib.import_module(module)
leaked = sorted(BLOCKED & {name.partition(".")[0] for name in sys.modules})
assert not leaked, leaked
"""

HOST_PACKAGES = (
    "aiohttp,aiohttp_jinja2,aiosqlite,argon2,cryptography,jsonschema,jsonschema_rs,"
    "minio,ndjson,redis,tqdm,uvloop"
)


def portable_modules() -> list[str]:
    """Return the modules that are sent to the edge."""
    return list(find_closure(ROOT, ENTRY).modules)


def load(modules: list[str], extra: str = "") -> subprocess.CompletedProcess[str]:
    """Import *modules* in a process of their own in which dice, clock and network refuse."""
    command = [sys.executable, "-c", GUARD + extra, str(ROOT), HOST_PACKAGES, ",".join(modules)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_portable_module_loads_at_the_edge() -> None:
    """No module of the core or of a contract needs entropy, time, network or a host package."""
    modules = portable_modules()

    done = load(modules)

    assert len(modules) > 50
    assert done.stderr == ""
    assert done.returncode == 0


def test_the_guard_notices_a_host_package() -> None:
    """A module of the host does not pass as a portable one."""
    done = load(["worker.entry.host"])

    assert "does not load at the edge" in done.stderr


def test_the_guard_notices_dice() -> None:
    """Entropy at import is refused."""
    done = load(["secrets"], "\nimport secrets\nsecrets.token_bytes(8)\n")

    assert "was asked at import" in done.stderr
