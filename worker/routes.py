"""
Every door in one table: method, path, handler, who may call.

DESIGN.md §8 is the list. A door that nothing stands behind yet is in the table too, so that its
name is taken and callers get an honest 501. `worker.route_table` matches paths for the edge; the
host turns the same table into aiohttp routes (a test holds the two together).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from durable.contract import DurableObject
from worker.accounts import api as accounts
from worker.accounts import identities, link_doors, session_doors
from worker.accounts.holder import AccountHolder
from worker.api_page import doors as api_page
from worker.backup import api as backup
from worker.backup import attachments
from worker.backup import sweep as backup_sweep
from worker.backup.holder import AttachmentHolder, BackupHolder
from worker.data_holders import DataHolder
from worker.deployment import doors as deployment
from worker.env import Env
from worker.errors import NotOpenYet
from worker.idempotency import IdempotencyBox
from worker.identity.caller import ANYONE, PERSON, Caller, Who
from worker.limiter.actor import RateLimiter
from worker.limits import KEYS_BYTES, SIGN_IN, WRITES, RateLimit
from worker.profiles import api as profiles
from worker.profiles.import_room import ImportRoom
from worker.relay import keys_api as keys
from worker.relay import socket_api
from worker.relay.inbox import Inbox
from worker.relay.inbox_holder import InboxHolder
from worker.relay.keys_holder import KeysHolder
from worker.route_table import Resource, Route
from worker.route_table import RouteTable as Table
from worker.web import Request, Response

__all__ = [
    "ACTORS",
    "AT_START",
    "DATA_HOLDERS",
    "ROUTES",
    "SCHEDULES",
    "Resource",
    "Route",
    "RouteTable",
]


async def _planned_door(request: Request, caller: Caller, env: Env) -> Response:
    raise NotOpenYet("This door is planned; nothing stands behind it in this version.")


def _planned(area: str, *doors: str, limit: RateLimit | None = None) -> list[Route]:
    """Doors of an area that opens in a later version: "METHOD[,METHOD] /path"."""
    return [
        Route(method, path, _planned_door, ANYONE, area, planned=area, limit=limit)
        for methods, path in (door.split(" ") for door in doors)
        for method in methods.split(",")
    ]


IMPORT = Who("profiles:import")
RECENT = Who(person=True, recent=True)
ANY_PERSON = Who(person=True, audience="any")
# Who has nothing to end gets the same answer, so it is open; what it ends it asks proof for.
SIGN_OUT = Who(audience="any")
BACKUP = Who(person=True, audience="backup")
RELAY = Who(person=True, audience="relay")
RELAY_SOCKET = Who(person=True, audience="relay", query_token=True)
OPEN_SOCKET = keys.with_hint(socket_api.open_socket)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/healthz", deployment.healthz, ANYONE, "The process answers."),
    Route("GET", "/readyz", deployment.readyz, ANYONE, "The stores answer too."),
    Route("GET", "/openapi.json", api_page.get_document, ANYONE, "All of this as OpenAPI."),
    Route("GET", "/docs", api_page.get_page, ANYONE, "The same for people."),
    Route("GET", "/docs/{file}", api_page.get_page_file, ANYONE, "Style and scripts of the page."),
    Route("POST", "/api/profiles/import", profiles.import_profiles, IMPORT, "Import NDJSON."),
    Route("GET", "/api/profiles/import/report", profiles.get_report, IMPORT, "Read a report."),
    Route("GET", "/api/profiles/get-report", profiles.get_report, IMPORT, "Its day-one name."),
    Route(
        "GET",
        "/api/profiles/import/progress",
        profiles.watch_import,
        Who("profiles:import", query_token=True),
        "Live progress (WebSocket).",
    ),
    Route("GET", "/api/profiles/item", profiles.get_item, ANYONE, "Read one profile."),
    Route("GET", "/api/profiles", profiles.list_profiles, ANYONE, "List ids."),
    Route("GET", "/api/profiles/count", profiles.count_profiles, ANYONE, "Count profiles."),
    Route(
        "GET",
        "/api/profiles/export",
        profiles.export_profiles,
        Who("profiles:export"),
        "All profiles as NDJSON.",
    ),
    Route("POST", "/v1/users", accounts.register("api", 201), ANYONE, "Sign up.", limit=SIGN_IN),
    Route(
        "PUT",
        "/v1/users/me/password",
        accounts.change_password,
        RECENT,
        "Change the password.",
        limit=SIGN_IN,
    ),
    Route("POST", "/v1/sessions", accounts.begin_session("api"), ANYONE, "Sign in.", limit=SIGN_IN),
    # Nobody guesses a refresh token, so only the general limit holds.
    Route("POST", "/v1/sessions/refresh", accounts.refresh, ANYONE, "Go on with a session."),
    Route("GET", "/v1/sessions", session_doors.list_sessions, PERSON, "List one's sessions."),
    Route("DELETE", "/v1/sessions", session_doors.sign_out, SIGN_OUT, "Sign out."),
    Route("DELETE", "/v1/sessions/{id}", session_doors.end_session, PERSON, "End one session."),
    Route("POST", "/v1/tokens", session_doors.other_token, PERSON, "Get another token."),
    Route("POST", "/v1/tickets", session_doors.ticket, ANY_PERSON, "Get a WebSocket ticket."),
    Route(
        "POST",
        "/auth/register",
        accounts.register("relay", 200, also=keys.with_account, body_bytes=KEYS_BYTES),
        ANYONE,
        "Sign up for the relay, with keys.",
        limit=SIGN_IN,
    ),
    Route(
        "POST",
        "/auth/login",
        accounts.begin_session("relay"),
        ANYONE,
        "The day-one name of signing in.",
        limit=SIGN_IN,
    ),
    Route("GET", "/api/auth/session", session_doors.who_am_i, PERSON, "Who am I."),
    Route("POST", "/api/auth/signout", session_doors.sign_out, SIGN_OUT, "Its day-one name."),
    Route("POST", "/api/auth/magic-link", link_doors.ask, ANYONE, "Mail a link.", limit=SIGN_IN),
    # The links of one mail may be opened again and again; nobody guesses one.
    Route("GET", "/api/auth/magic-link/verify", link_doors.verify, ANYONE, "Open a mailed link."),
    Route(
        "POST",
        "/v1/sessions/key/challenge",
        identities.sign_in_challenge,
        ANYONE,
        "Get a challenge to sign in.",
        limit=SIGN_IN,
    ),
    Route(
        "POST",
        "/v1/sessions/key",
        identities.sign_in,
        ANYONE,
        "Sign in with a linked key pair.",
        limit=SIGN_IN,
    ),
    Route("GET", "/v1/identities", identities.list_identities, PERSON, "List one's ways in."),
    Route("DELETE", "/v1/identities/{id}", identities.remove, RECENT, "Remove a way in."),
    Route(
        "POST",
        "/v1/identities/password",
        identities.add_password,
        RECENT,
        "Add a username and a password.",
        limit=SIGN_IN,
    ),
    Route(
        "POST",
        "/v1/identities/email",
        link_doors.ask_to_link,
        RECENT,
        "Mail a link that adds a mailbox.",
        limit=SIGN_IN,
    ),
    Route(
        "POST",
        "/v1/identities/email/verify",
        link_doors.verify_for_session,
        PERSON,
        "Open such a link, for programs.",
        limit=SIGN_IN,
    ),
    Route(
        "POST",
        "/v1/identities/key/challenge",
        identities.key_challenge,
        RECENT,
        "Get a challenge to add a key pair.",
        limit=SIGN_IN,
    ),
    Route(
        "POST", "/v1/identities/key", identities.add_key, RECENT, "Add a key pair.", limit=SIGN_IN
    ),
    *_planned(
        "accounts",
        "GET /auth/signin",
        "GET /auth/error",
        "GET /auth/link",
        "GET /api/auth/start/{provider}",
        "GET /api/auth/callback/{provider}",
        "POST /api/auth/exchange/{provider}",
        "POST /api/auth/github/device-code",
        "POST /api/auth/github/device-token",
        limit=SIGN_IN,
    ),
    *_planned(
        "accounts",
        "POST /api/replication/token",
    ),
    *_planned("profiles", "POST /bulk/import"),
    *_planned(
        "chats",
        "GET,POST /api/chats",
        "GET /api/chats/{id}",
        "GET,POST /api/chats/{id}/messages",
        "GET,PUT /api/chats/{id}/policy",
        "GET /api/chats/{id}/live",
    ),
    *_planned(
        "privacy",
        "GET,POST /api/privacy/consent",
        "GET /api/privacy/export",
        "GET,PUT /api/privacy/personal-data",
        "DELETE /api/privacy/account",
    ),
    *_planned(
        "user storage",
        "GET /api/v1/challenge",
        "GET /electric/v1/challenge",
        "POST /electric/v1/ingest",
        "GET /electric/v1/user_card",
        "GET /electric/v1/user_storage",
        "GET /electric/v1/user_storage/{user_hash}",
    ),
    Route(
        "POST", "/v1/backup", backup.put_backup, BACKUP, "Store the encrypted backup.", limit=WRITES
    ),
    Route("GET", "/v1/backup", backup.get_backup, BACKUP, "Read the encrypted backup."),
    Route("DELETE", "/v1/backup", backup.delete_backup, BACKUP, "Delete the encrypted backup."),
    Route(
        "POST", "/v1/attachments", attachments.add, BACKUP, "Store an opaque file.", limit=WRITES
    ),
    Route("GET", "/v1/attachments/{id}", attachments.get, BACKUP, "Read an opaque file."),
    Route("DELETE", "/v1/attachments/{id}", attachments.remove_own, BACKUP, "Delete one's own."),
    Route("PUT", "/v1/keys", keys.put_keys, RELAY, "Store one's keys.", limit=WRITES),
    Route("POST", "/keys", keys.put_keys, RELAY, "Its day-one name.", limit=WRITES),
    Route(
        "POST", "/v1/keys/one-time", keys.add_one_time, RELAY, "Add one-time keys.", limit=WRITES
    ),
    Route("GET", "/v1/keys/count", keys.count_keys, RELAY, "How many keys are left."),
    Route("GET", "/v1/keys/{username}", keys.get_bundle, RELAY, "Take somebody's bundle."),
    Route("GET", "/keys/{username}", keys.get_bundle, RELAY, "Its day-one name."),
    Route("GET", "/ws", OPEN_SOCKET, RELAY_SOCKET, "The relay (WebSocket)."),
    *_planned(
        "library",
        "POST /api/writes/batch",
        "GET /electric-proxy/v1/shape",
        "GET,POST /api/library/blobs",
        "GET,DELETE /api/library/blobs/{hash}",
        "GET,PUT /api/settings",
    ),
)

# Actor classes by the class_name of wrangler_compat.toml.
ACTORS: Mapping[str, type[DurableObject]] = {
    "ImportRoom": ImportRoom,
    "IdempotencyBox": IdempotencyBox,
    "RateLimiter": RateLimiter,
    "Inbox": Inbox,
}

# What runs by the clock: the cron expressions of wrangler_compat.toml.
SCHEDULES: Mapping[str, Callable[[Env], Awaitable[None]]] = {
    "17 3 * * *": deployment.tidy_database,
    "41 * * * *": deployment.in_turn(accounts.purge, keys.tidy),
    "43 * * * *": backup_sweep.sweep,
}

# Who holds data of people, by the name that an export shows.
DATA_HOLDERS: Mapping[str, DataHolder] = {
    "relay_inbox": InboxHolder(),
    "backup": BackupHolder(),
    "attachments": AttachmentHolder(),
    "relay_keys": KeysHolder(),
    # The last: the others refer to it.
    "account": AccountHolder(),
}

# What a host does before it serves: its state is then its own, and nothing of before still runs.
AT_START: tuple[Callable[[Env], Awaitable[None]], ...] = (backup_sweep.release_all,)


class RouteTable(Table):
    """The matcher of these doors, unless it is given others."""

    def __init__(self, routes: Iterable[Route] = ROUTES) -> None:
        super().__init__(routes)
