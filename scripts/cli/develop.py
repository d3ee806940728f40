"""`edgekeep dev`: runs the host on this machine."""

import shutil
import socket
import time
from argparse import ArgumentTypeError, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.cli.outcome import BUSY, CliError, tell
from scripts.cli.place import DEFAULT_PORT, Place, add_place
from scripts.cli.verbs import Verbs

if TYPE_CHECKING:
    from worker.entry.tls import Tls


def add(verbs: Verbs) -> None:
    """Add `dev`."""
    parser = verbs.add(
        "dev",
        _dev,
        "Run Edgekeep on this machine.\n\n"
        "Development secrets are made on the first run: in .dev.vars beside the configuration for\n"
        "the usual state directory, in DIR/.dev.vars for any other (--state DIR).",
        [
            "edgekeep dev --tls",
            "edgekeep dev --port 9000 --state /tmp/trial --reset",
        ],
    )
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="default: 8788")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--reset", action="store_true", help="remove everything that is stored there, then start"
    )
    parser.add_argument(
        "--tls", action="store_true", help="serve HTTPS with a certificate made for this machine"
    )
    parser.add_argument(
        "--tls-cert", type=Path, metavar="FILE", help="serve HTTPS with this certificate (PEM)"
    )
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="the key of --tls-cert (PEM)")
    add_place(parser)


def _dev(options: Namespace) -> int:
    place = replace(Place.of(options), is_emptied=options.reset)
    _check_port(options.host, options.port)
    config, variables = place.config, place.variables
    if not options.reset and place.hosted:
        raise CliError(
            f"Another Edgekeep process uses the state in {place.state}. Stop it, or choose "
            "another --state.",
            BUSY,
        )
    tls = _tls(options, place)
    if options.reset:
        reset(place)
    from worker.entry.host import serve

    return serve(config, place.state, variables, host=options.host, port=options.port, tls=tls)


def _tls(options: Namespace, place: Place) -> "Tls | None":
    from worker.entry.tls import development, load

    if options.tls_cert or options.tls_key:
        if options.tls or not (options.tls_cert and options.tls_key):
            raise CliError("Give --tls-cert and --tls-key together, or --tls alone.")
        return load(options.tls_cert, options.tls_key, time.time())
    if not options.tls:
        return None
    if place.settings.production:
        raise CliError("ENVIRONMENT is production: give --tls-cert and --tls-key instead of --tls.")
    made = development(place.state, time.time())
    tell(
        f"edgekeep: certificate for localhost in {place.state / 'tls'}, SHA-256 fingerprint\n"
        f"  {made.fingerprint}"
    )
    return made


def reset(place: Place) -> None:
    """
    Remove what is stored in the state of *place*, and not what says who may come in.

    Raises `CliError` for a directory that holds other things than ours, or is in use.
    """
    from worker.entry.state_folder import HOST_FILES, KEPT, STORED

    state = place.state
    if not state.exists():
        return
    if not state.is_dir() or state.is_symlink():
        raise CliError(f"{state} is not a plain directory; nothing was removed.")
    names = {entry.name for entry in state.iterdir()}
    strangers = sorted(names - STORED - HOST_FILES - KEPT)
    if strangers:
        raise CliError(
            f"{state} does not look like a state directory (it holds {strangers[0]}); "
            "nothing was removed."
        )
    with place.alone("reset it"):
        # The lock goes last: while it is there nobody else starts in a half-removed state.
        for name in sorted(names & (STORED | HOST_FILES) - {"host.lock"}):
            _remove(state / name)
    tell(f"edgekeep: removed what was stored in {state}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ArgumentTypeError("a port is a number from 1 to 65535")
    return int(text)


def _check_port(host: str, port: int) -> None:
    """Find out before anything is opened or removed whether the address can be had."""
    try:
        family, kind, _proto, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise CliError(f"{host} is not an address of this machine.") from None
    except OSError as error:
        raise CliError(
            f"Cannot listen on {host}:{port} ({error.strerror}). Another program may have the "
            "port: stop it, or choose another with --port.",
            BUSY,
        ) from None
