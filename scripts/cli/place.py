"""
Where a verb works: the configuration, the state directory, its secrets and its host.

The configuration is wrangler_compat.toml in the current directory, otherwise that of the checkout
this command was installed from. The state is `.edgekeep` beside it unless --state names another.
"""

import contextlib
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scripts.cli.outcome import BUSY, CliError

if TYPE_CHECKING:
    from worker.entry.config import Config
    from worker.settings import Settings

CONFIG_NAME = "wrangler_compat.toml"
STATE_NAME = ".edgekeep"
DEFAULT_PORT = 8788
_CHECKOUT = Path(__file__).resolve().parents[2]


def add_place(parser: ArgumentParser) -> None:
    """Give *parser* the options that every verb with a state has."""
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help=f"state directory (default: {STATE_NAME} beside the configuration)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"configuration (default: {CONFIG_NAME} here, otherwise that of the checkout)",
    )


@dataclass(frozen=True)
class Place:
    """A configuration and a state directory. Properties raise what `worker.entry` raises."""

    config_path: Path
    state: Path
    is_emptied: bool = False
    """What is stored is about to go (`dev --reset`), so that its secrets may have gone before."""

    @classmethod
    def of(cls, options: Namespace) -> "Place":
        """Return the place that the options of `add_place` name."""
        config_path: Path | None = options.config
        if config_path is None:
            here = Path.cwd() / CONFIG_NAME
            config_path = here if here.exists() else _CHECKOUT / CONFIG_NAME
        state: Path | None = options.state
        if state is None:
            state = config_path.absolute().parent / STATE_NAME
        return cls(config_path, state.absolute())

    @cached_property
    def config(self) -> "Config":
        """The configuration, read and judged."""
        from worker.entry.config import load_config

        return load_config(self.config_path)

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """All variables; development secrets that are missing are made first."""
        from worker.entry.dev_vars import dev_vars_path, gather_variables, make_dev_vars
        from worker.settings import SETTINGS

        path = dev_vars_path(self.config, self.state)
        given = gather_variables(self.config, path, os.environ)
        is_whole = all(given.get(row.name) for row in SETTINGS if row.secret)
        if given.get("ENVIRONMENT") == "production" or (is_whole and not path.exists()):
            return given
        has_data = not (is_whole or self.is_emptied) and any((self.state / "d1").glob("*.sqlite"))
        try:
            made = make_dev_vars(path, os.urandom, has_data=has_data)
        except OSError as error:
            raise CliError(f"{path} cannot be written: {error.strerror}.") from None
        return gather_variables(self.config, path, os.environ) if made else given

    @property
    def settings(self) -> "Settings":
        """The settings of the Worker in this place."""
        from worker.settings import Settings

        return Settings.load(self.variables)

    @property
    def url(self) -> str:
        """Where the host of this state answers; the usual address when none runs."""
        return str(self.host.get("url", f"http://127.0.0.1:{DEFAULT_PORT}"))

    def own_address(self, url: str) -> str | None:
        """
        Return the address of the running host of this state when *url* means it, or None.

        What listens there is then known to be ours, since the host holds the port: tokens that are
        made here go to no other place.
        """
        ours, asked = urlsplit(self.host.get("url", "")), urlsplit(url)
        if (ours.scheme, ours.port) != (asked.scheme, asked.port):
            return None
        names = {ours.hostname, "localhost"}
        if ours.hostname in ("0.0.0.0", "::"):  # noqa: S104 - it listens at every address
            names |= {"127.0.0.1", "::1"}
        return self.url if asked.hostname in names else None

    def certificate_of(self, url: str) -> str:
        """
        Return the SHA-256 fingerprint (hex) that a server at *url* must show, or "".

        The host of this state on this machine is known by its certificate, whoever signed it.
        """
        ours, asked = urlsplit(self.url), urlsplit(url)
        same_place = asked.hostname in (ours.hostname, "localhost", "127.0.0.1", "::1")
        if asked.scheme == "https" and same_place and asked.port == ours.port:
            return str(self.host.get("fingerprint", ""))
        return ""

    @property
    def host(self) -> dict[str, Any]:
        """What the host that runs on this state tells of itself; {} when none runs."""
        from worker.entry.host_record import record

        return record(self.state)

    @contextlib.contextmanager
    def alone(self, purpose: str) -> Iterator[None]:
        """Keep hosts away from the state meanwhile; raises `CliError` when one is there."""
        from worker.entry.host_record import InUse, held

        try:
            with held(self.state):
                yield
        except InUse:
            raise CliError(
                f"Another Edgekeep process uses the state in {self.state}; stop it before "
                f"you {purpose}.",
                BUSY,
            ) from None

    @property
    def hosted(self) -> bool:
        """Whether a host (or a verb that works alone) holds the state now."""
        from worker.entry.host_record import is_held

        return is_held(self.state)
