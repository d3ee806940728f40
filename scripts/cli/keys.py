"""`edgekeep keys …`: the keys of a deployment, by their ids; a key shows with --print only."""

import time
from argparse import Namespace
from typing import TYPE_CHECKING

from scripts.cli.outcome import OK, PARTLY, REFUSED, CliError, show_json, table, tell
from scripts.cli.place import Place, add_place
from scripts.cli.verbs import Verbs

if TYPE_CHECKING:
    from worker.setting_kinds import Setting

SIGNING, LOOKUP, SESSION = "SIGNING_KEYS", "EMAIL_LOOKUP_KEYS", "SESSION_KEY"
_PRINT = "print the new value for a production secret instead of writing .dev.vars"


def add(verbs: Verbs) -> None:
    """Add the group `keys`."""
    group = verbs.group("keys", "list and rotate the keys of this deployment")
    listing = group.add(
        "list",
        _list,
        "Print the ids of the keys: which one is used for what is new, which ones still hold.",
        ["edgekeep keys list", "edgekeep keys list --json"],
    )
    listing.add_argument("--json", action="store_true", help="for scripts")
    signing = group.add(
        "rotate-signing",
        _rotate_signing,
        "Put a new key in front of SIGNING_KEYS. It signs access tokens from the next start of\n"
        "the host on; the older keys still verify, so nobody is signed out.\n\n"
        "With --print nothing is written: the present ring is read from the environment variable\n"
        "SIGNING_KEYS and the new one goes to stdout, for `wrangler secret put SIGNING_KEYS`.",
        ["edgekeep keys rotate-signing", "edgekeep keys rotate-signing --print"],
    )
    drop = group.add(
        "drop-signing",
        _drop_signing,
        "Remove an old key from SIGNING_KEYS: tokens that it signed hold no more. Wait until the\n"
        "last of them has ended, ACCESS_TOKEN_MINUTES after the host was restarted with a new key.",
        ["edgekeep keys drop-signing dev1", "edgekeep keys drop-signing dev1 --print"],
    )
    drop.add_argument("id", metavar="ID", help="as `edgekeep keys list` shows it")
    lookup = group.add(
        "rotate-email-lookup",
        _rotate_lookup,
        "Put a new key in front of EMAIL_LOOKUP_KEYS, for hashes of e-mail addresses. Addresses\n"
        "that were hashed with the older keys are found as long as those stay in the ring: there\n"
        "is no verb that drops one.",
        ["edgekeep keys rotate-email-lookup", "edgekeep keys rotate-email-lookup --print"],
    )
    session = group.add(
        "rotate-session",
        _rotate_session,
        "Replace SESSION_KEY. This signs everybody out: no refresh token and no CSRF token holds\n"
        "after the next start of the host. (Access tokens live to their end, 15 minutes; to end\n"
        "those too, drop the signing keys.) For a key that became known.",
        ["edgekeep keys rotate-session --yes", "edgekeep keys rotate-session --yes --print"],
    )
    session.add_argument("--yes", action="store_true", help="yes, sign everybody out")
    for parser in (signing, drop, lookup, session):
        parser.add_argument("--print", dest="printed", action="store_true", help=_PRINT)
    for parser in (listing, signing, drop, lookup, session):
        add_place(parser)


# -- verbs -----------------------------------------------------------------------------------------


def _list(options: Namespace) -> int:
    variables = Place.of(options).variables
    found = [
        {
            "setting": name,
            "id": key_id,
            "current": key_id == ring[0][0],
            "development": _is_dev(key),
        }
        for name in (SIGNING, LOOKUP)
        for ring in [_entries(name, variables.get(name))]
        for key_id, key in ring
    ]
    if options.json:
        show_json(found)
        return OK
    rows = [
        (
            str(row["setting"]),
            str(row["id"]),
            "used for what is new" if row["current"] else "still holds",
            "development" if row["development"] else "own",
        )
        for row in found
    ]
    print(table(rows, ("setting", "id", "use", "kind")))
    return OK


def _rotate_signing(options: Namespace) -> int:
    added = _rotate(options, SIGNING)
    if not options.printed:
        tell(f"{added} signs from the next start of the host on; the older keys still verify.")
        _tell_restart(Place.of(options))
        tell("Once no token of an old key lives any more: edgekeep keys drop-signing ID")
    return OK


def _rotate_lookup(options: Namespace) -> int:
    added = _rotate(options, LOOKUP)
    if not options.printed:
        tell(f"{added} hashes addresses from the next start of the host on; the others still find.")
        _tell_restart(Place.of(options))
    return OK


def _rotate(options: Namespace, name: str) -> str:
    target = _Target(options, name)
    ring = target.ring
    key_id = _new_id({known for known, _ in ring})
    target.write(",".join(f"{one}:{key}" for one, key in [(key_id, target.new_key()), *ring]))
    return key_id


def _drop_signing(options: Namespace) -> int:
    target = _Target(options, SIGNING)
    ring = target.ring
    if options.id not in dict(ring):
        raise CliError(f"SIGNING_KEYS has no key {options.id}: edgekeep keys list", PARTLY)
    if ring[0][0] == options.id:
        raise CliError(
            f"{options.id} signs the tokens of today: edgekeep keys rotate-signing first.", REFUSED
        )
    target.write(",".join(f"{one}:{key}" for one, key in ring if one != options.id))
    from worker.identity.access import LONGEST_MINUTES
    from worker.settings import SETTINGS

    [row] = [row for row in SETTINGS if row.name == "ACCESS_TOKEN_MINUTES"]
    minutes = Place.of(options).variables.get(row.name, row.default) or LONGEST_MINUTES
    tell(
        f"warning: tokens that {options.id} signed are refused from the next start on. They live "
        f"{minutes} minutes, counted from the restart that put another key in front; programs get "
        "new ones with their refresh token."
    )
    if not options.printed:
        _tell_restart(Place.of(options))
    return OK


def _rotate_session(options: Namespace) -> int:
    if not options.yes:
        raise CliError("This signs everybody out. Say --yes if that is what you want.", REFUSED)
    target = _Target(options, SESSION)
    target.write(target.new_key())
    if not options.printed:
        tell("SESSION_KEY is new: everybody signs in again after the next start of the host.")
        _tell_restart(Place.of(options))
    return OK


# -- where keys stand ------------------------------------------------------------------------------


class _Target:
    """The setting *name* where a verb changes it: in .dev.vars, or with --print on stdout."""

    def __init__(self, options: Namespace, name: str) -> None:
        import os

        self._place = Place.of(options)
        self._name = name
        self._printed: bool = options.printed
        self._given = os.environ.get(name)
        if self._printed:
            return
        if self._given is not None:
            raise CliError(
                f"{name} is set in the environment, which goes before .dev.vars. Use --print and "
                "set the new value there."
            )
        if self._place.variables.get("ENVIRONMENT") == "production":
            raise CliError("ENVIRONMENT is production: use --print, then set the secret.")

    @property
    def ring(self) -> list[tuple[str, str]]:
        """The keys by their ids, the current one first; raises `CliError` or `SettingError`."""
        if not self._printed:
            return _entries(self._name, self._place.variables.get(self._name))
        if self._given is None:
            tell(
                f"warning: the environment has no {self._name}, so this is a ring of one key: what "
                "the keys of before made holds no more."
            )
            return []
        return _entries(self._name, self._given)

    def new_key(self) -> str:
        """Return a new random key as a setting writes it."""
        import os

        from worker.codec import b64url
        from worker.setting_kinds import DEVELOPMENT_MARK

        key = b64url(os.urandom(32))
        return key if self._printed else DEVELOPMENT_MARK + key

    def write(self, value: str) -> None:
        """Put *value* into its place."""
        if self._printed:
            print(value)
            tell(f"Nothing was written. At the edge: wrangler secret put {self._name}")
            return
        from worker.entry.dev_vars import changing, dev_vars_path, read_dev_vars, set_dev_var

        path = dev_vars_path(self._place.config, self._place.state)
        before = self._place.variables.get(self._name)
        try:
            with changing(path):
                if read_dev_vars(path).get(self._name) != before:
                    raise CliError(f"{path} was changed at the same moment; try again.", REFUSED)
                set_dev_var(path, self._name, value)
        except OSError as error:
            raise CliError(f"{path} cannot be written: {error.strerror}.") from None
        tell(f"{self._name} written to {path}")


def _entries(name: str, text: str | None) -> list[tuple[str, str]]:
    """Return the entries of a ring as (id, key); raises `SettingError` when it is none."""
    _row(name).read(text)
    pairs = [entry.strip().partition(":") for entry in (text or "").split(",")]
    return [(key_id, key) for key_id, _, key in pairs]


def _row(name: str) -> "Setting":
    from worker.settings import SETTINGS

    return next(row for row in SETTINGS if row.name == name)


def _is_dev(key: str) -> bool:
    from worker.setting_kinds import DEVELOPMENT_MARK

    return key.startswith(DEVELOPMENT_MARK)


def _new_id(known: set[str]) -> str:
    """Return an id that tells the day; it stands in every token, so it tells nothing else."""
    day = time.strftime("%Y%m%d", time.gmtime())
    names = (day if number == 1 else f"{day}-{number}" for number in range(1, len(known) + 2))
    return next(name for name in names if name not in known)


def _tell_restart(place: Place) -> None:
    if place.hosted:
        tell("Restart the running host (Ctrl-C, edgekeep dev): it reads its keys at its start.")
