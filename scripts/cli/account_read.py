"""`edgekeep account list` and `show`."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from scripts.cli.operator_env import account_of, iso, plain, run
from scripts.cli.outcome import OK, show_json, table

if TYPE_CHECKING:
    from worker.env import Env

_PAGE = 500


def list_all(options: Namespace) -> int:
    """Print all accounts."""

    async def work(env: "Env") -> list[dict[str, Any]]:
        from worker.accounts import store

        found: list[dict[str, Any]] = []
        while page := await store.list_accounts(env, found[-1]["id"] if found else "", _PAGE):
            found += page
        return found

    accounts = [plain(row) for row in run(options, work)]
    if options.json:
        show_json(accounts)
        return OK
    rows = [
        (
            row["username"] or "-",
            row["role"],
            "disabled" if row["disabled_at"] else "open",
            row["created_at"][:10],
            row["last_active_at"][:10],
            row["id"],
        )
        for row in accounts
    ]
    print(table(rows, ("username", "role", "state", "made", "last seen", "id")))
    return OK


def show_one(options: Namespace) -> int:
    """Print one account and its sessions."""

    async def work(env: "Env") -> dict[str, Any]:
        from worker.accounts import store
        from worker.identity import sessions

        account_id = await account_of(env, options.who)
        row = await store.account(env, account_id)
        assert row is not None
        ways = await store.ways(env, account_id)
        living = await sessions.living(env, account_id)
        times = ("created_at", "last_used_at", "expires_at")
        return plain(row) | {
            "identities": [way.kind for way in ways],
            "sessions": [one | {name: iso(one[name]) for name in times} for one in living],
        }

    found = run(options, work)
    if options.json:
        show_json(found)
    else:
        _print_account(found)
    return OK


def _print_account(found: dict[str, Any]) -> None:
    from scripts.cli.backup_access import shown

    state = f"disabled since {found['disabled_at']}" if found["disabled_at"] else "open"
    for name, value in (
        ("username", found["username"] or "-"),
        ("id", found["id"]),
        ("role", found["role"]),
        ("state", state),
        ("made", found["created_at"]),
        ("last seen", found["last_active_at"][:10]),
        ("ways in", ", ".join(found["identities"]) or "none"),
    ):
        print(f"{name:<10}{value}")
    print(f"{'sessions':<10}{len(found['sessions']) or 'none'}")
    # A label is what a stranger's program calls itself: nothing of it may steer a terminal.
    rows = [
        (one["id"], one["method"], one["last_used_at"][:16], shown(one["label"]) or "-")
        for one in found["sessions"]
    ]
    if rows:
        print(table(rows, ("session", "by", "last used", "label")))
