"""`edgekeep account …`: what operators do with accounts, beside a running host or without one."""

from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from scripts.cli.account_read import list_all, show_one
from scripts.cli.operator_env import account_of, plain, run
from scripts.cli.outcome import OK, PARTLY, REFUSED, CliError, show_json, tell
from scripts.cli.place import Place, add_place
from scripts.cli.secret_input import prompt_twice, read_password
from scripts.cli.verbs import Verbs

if TYPE_CHECKING:
    from worker.env import Env

# Those of worker/accounts/model.py; a test holds both together. Help must load nothing heavy.
ROLES = ("owner", "participant", "admin")
_WHO = "username (in any spelling) or account id"


def add(verbs: Verbs) -> None:
    """Add the group `account`."""
    group = verbs.group("account", "make, list, close and sign out accounts")
    _add_create(group)
    listing = group.add(
        "list",
        list_all,
        "Print the accounts, the oldest first.",
        ["edgekeep account list", "edgekeep account list --json"],
    )
    show = group.add(
        "show",
        show_one,
        "Print one account: its role, its ways in, and its sessions with their ids.",
        ["edgekeep account show ada", "edgekeep account show ada --json"],
    )
    role = group.add(
        "role",
        _role,
        "Give an account another role. Its sessions end: their tokens carry the old one.\n\n"
        "An admin's tokens for the API carry the scopes of the operator doors\n"
        "(edgekeep routes shows which doors ask for one).",
        ["edgekeep account role ada admin", "edgekeep account role ada owner"],
    )
    closing = group.add(
        "disable",
        _disable,
        "Close an account and end its sessions. Nothing is deleted; `enable` opens it again.",
        ["edgekeep account disable mallory", "edgekeep account disable mallory --json"],
    )
    opening = group.add(
        "enable",
        _enable,
        "Open a disabled account again. Its sessions stay ended: the person signs in anew.",
        ["edgekeep account enable mallory", "edgekeep account enable mallory --json"],
    )
    revoke = group.add(
        "revoke",
        _revoke,
        "End all sessions of an account, or one. The person may sign in again at once; for who\n"
        "must not there is `disable`.",
        ["edgekeep account revoke ada", "edgekeep account revoke ada --session ID"],
    )
    revoke.add_argument("--session", metavar="ID", help="only this one (account show names them)")
    for parser in (show, role, closing, opening, revoke):
        parser.add_argument("who", metavar="NAME", help=_WHO)
    role.add_argument("role", metavar="ROLE", choices=ROLES, help=", ".join(ROLES))
    for parser in (listing, show, role, closing, opening, revoke):
        _add_common(parser)


def _add_create(group: Verbs) -> None:
    create = group.add(
        "create",
        _create,
        "Make an account with a username and a password, which is asked for twice.\n\n"
        "The rules are those of the door: 3 to 50 of a-z, 0-9 and _ for the name; 12 characters\n"
        "or more for the password, and none that is guessed first. It never goes on the command\n"
        "line, where other users of the machine could read it.",
        [
            "edgekeep account create ada --role admin",
            "pass show ada | edgekeep account create ada --password-file - --json",
        ],
    )
    create.add_argument("name", metavar="NAME", help="username")
    create.add_argument(
        "--role", choices=ROLES, default="owner", metavar="ROLE", help=", ".join(ROLES)
    )
    create.add_argument(
        "--password-file", metavar="FILE", help="read it from FILE, - for stdin (default: ask)"
    )
    _add_common(create)


def _add_common(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for scripts")
    add_place(parser)


# -- verbs -----------------------------------------------------------------------------------------


def _create(options: Namespace) -> int:
    from worker.identity.usernames import RULE, fold

    try:
        fold(options.name)
    except ValueError:
        raise CliError(RULE, REFUSED) from None
    typed = (
        prompt_twice("Password (12 characters or more): ")
        if options.password_file is None
        else read_password(options.password_file)
    )

    async def work(env: "Env") -> dict[str, Any]:
        from worker.accounts import sign_in

        account_id = sign_in.new_account_id(env)
        username, _ = await sign_in.make(env, account_id, options.name, typed, role=options.role)
        return {"id": account_id, "username": username, "role": options.role}

    made = run(options, work)
    _answer(options, made, f"Account {made['username']} made, role {made['role']}: {made['id']}")
    return OK


def _role(options: Namespace) -> int:
    async def work(env: "Env", account_id: str) -> None:
        from worker.accounts import store

        await store.set_role(env, account_id, options.role)

    return _change(options, work, f"{options.who} is {options.role} now; all sessions have ended.")


def _disable(options: Namespace) -> int:
    async def work(env: "Env", account_id: str) -> None:
        from worker.accounts import store

        await store.disable(env, account_id)

    return _change(options, work, f"{options.who} is disabled; all sessions have ended.")


def _enable(options: Namespace) -> int:
    async def work(env: "Env", account_id: str) -> None:
        from worker.accounts import store

        await store.enable(env, account_id)

    return _change(options, work, f"{options.who} may sign in again.", ends=False)


def _revoke(options: Namespace) -> int:
    async def work(env: "Env", account_id: str) -> None:
        from worker.identity import sessions

        if options.session is None:
            await sessions.end_all(env, account_id)
        elif not await sessions.end(env, account_id, options.session):
            raise CliError("This account has no such session.", PARTLY)

    what = "all sessions have" if options.session is None else "the session has"
    return _change(options, work, f"{options.who}: {what} ended.")


# -- what they share -------------------------------------------------------------------------------


def _change(
    options: Namespace,
    work: "Callable[[Env, str], Awaitable[None]]",
    done: str,
    *,
    ends: bool = True,
) -> int:
    """Do *work* to the account that was named and tell how the account is now."""

    async def change(env: "Env") -> dict[str, Any]:
        from worker.accounts import store

        account_id = await account_of(env, options.who)
        await work(env, account_id)
        row = await store.account(env, account_id)
        assert row is not None
        return plain(row)

    account = run(options, change)
    _answer(options, account, done)
    if ends and Place.of(options).hosted:
        from worker.identity.access import RELOAD_SECONDS

        tell(f"The running host refuses their tokens within {RELOAD_SECONDS} seconds.")
    return OK


def _answer(options: Namespace, account: dict[str, Any], sentence: str) -> None:
    if options.json:
        show_json(account)
    else:
        print(sentence)
