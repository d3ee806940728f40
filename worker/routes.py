"""
Every door in one table, one line a door: method, path, handler, who may call, how often.

DESIGN.md §8 is the list. A door that nothing stands behind yet is in the table too, so that its
name is taken and callers get an honest 501. openapi.yaml tells what each door does. What a slice
brings besides doors stands in `worker.registry`.
"""

from worker.accounts.doors import identities, links, passwords, sessions
from worker.api_page import doors as api_page
from worker.backup import doors as backup
from worker.deployment import doors as deployment
from worker.identity.caller import ANYONE, PERSON, Who
from worker.limits import SIGN_IN, WRITES
from worker.profiles import doors as profiles
from worker.relay.inbox import doors as relay
from worker.relay.keys import doors as keys
from worker.route_table import Route, planned, words

# Who may call, beside anyone and whoever is signed in.
RECENT = Who(person=True, recent=True)
ANY_PERSON = Who(person=True, audience="any")
# Who has nothing to end gets the same answer, so it is open; what it ends it asks proof for.
SIGN_OUT = Who(audience="any")
IMPORT = Who("profiles:import")
SEE_IMPORT = Who("profiles:import", or_scope="profiles:audit")
WATCH_IMPORT = Who("profiles:import", or_scope="profiles:audit", query_token=True)
EXPORT = Who("profiles:export")
BACKUP = Who(person=True, audience="backup")
RELAY = Who(person=True, audience="relay")
RELAY_SOCKET = Who(person=True, audience="relay", query_token=True)

# What two areas do together, which do not know each other: an account with its keys, both or
# neither; a socket that also hints when few keys are left.
sign_up_with_keys = passwords.register("relay", 200, keys.with_account, body_bytes=keys.KEYS_BYTES)
open_socket = keys.with_hint(relay.open_socket)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/healthz", deployment.healthz, ANYONE),
    Route("GET", "/readyz", deployment.readyz, ANYONE),
    Route("GET", "/openapi.json", api_page.get_document, ANYONE),
    Route("GET", "/docs", api_page.get_page, ANYONE),
    Route("GET", "/docs/{file}", api_page.get_page_file, ANYONE),
    # Profiles
    Route("POST", "/api/profiles/import", profiles.import_profiles, IMPORT, stores=True),
    Route("GET", "/api/profiles/import/report", profiles.get_report, SEE_IMPORT),
    Route("GET", "/api/profiles/get-report", profiles.get_report, SEE_IMPORT),
    Route("POST", "/api/profiles/import/abandon", profiles.abandon_import, IMPORT),
    Route("GET", "/api/profiles/import/progress", profiles.watch_import, WATCH_IMPORT),
    Route("GET", "/api/profiles/item", profiles.get_item, ANYONE),
    Route("GET", "/api/profiles", profiles.list_profiles, ANYONE),
    Route("GET", "/api/profiles/count", profiles.count_profiles, ANYONE),
    Route("GET", "/api/profiles/export", profiles.export_profiles, EXPORT),
    planned("POST", "/bulk/import", "profiles"),
    # Accounts and sessions. Nobody guesses a refresh token, nor the link of a mail, which may be
    # opened again and again: there only the general limit holds.
    Route("POST", "/v1/users", passwords.register("api", 201), ANYONE, SIGN_IN, stores=True),
    Route("PUT", "/v1/users/me/password", passwords.change_password, RECENT, SIGN_IN),
    Route("POST", "/v1/sessions", passwords.begin_session("api"), ANYONE, SIGN_IN),
    Route("POST", "/v1/sessions/refresh", sessions.refresh, ANYONE),
    Route("GET", "/v1/sessions", sessions.list_sessions, PERSON),
    Route("DELETE", "/v1/sessions", sessions.sign_out, SIGN_OUT),
    Route("DELETE", "/v1/sessions/{id}", sessions.end_session, PERSON),
    Route("POST", "/v1/tokens", sessions.other_token, PERSON),
    Route("POST", "/v1/tickets", sessions.ticket, ANY_PERSON),
    Route("POST", "/auth/register", sign_up_with_keys, ANYONE, SIGN_IN, stores=True),
    Route("POST", "/auth/login", passwords.begin_session("relay"), ANYONE, SIGN_IN),
    Route("GET", "/api/auth/session", sessions.who_am_i, PERSON),
    Route("POST", "/api/auth/signout", sessions.sign_out, SIGN_OUT),
    Route("POST", "/api/auth/magic-link", links.ask, ANYONE, SIGN_IN),
    Route("GET", "/api/auth/magic-link/verify", links.verify, ANYONE),
    Route("POST", "/api/auth/magic-link/code", links.verify_code, ANYONE, SIGN_IN),
    Route("POST", "/v1/sessions/key/challenge", identities.sign_in_challenge, ANYONE, SIGN_IN),
    Route("POST", "/v1/sessions/key", identities.sign_in, ANYONE, SIGN_IN),
    Route("GET", "/v1/identities", identities.list_identities, PERSON),
    Route("DELETE", "/v1/identities/{id}", identities.remove, RECENT),
    Route("POST", "/v1/identities/password", identities.add_password, RECENT, SIGN_IN, stores=True),
    Route("POST", "/v1/identities/email", links.ask_to_link, RECENT, SIGN_IN),
    Route("POST", "/v1/identities/email/verify", links.verify_for_session, PERSON, SIGN_IN),
    Route("POST", "/v1/identities/key/challenge", identities.key_challenge, RECENT, SIGN_IN),
    Route("POST", "/v1/identities/key", identities.add_key, RECENT, SIGN_IN, stores=True),
    planned("GET", "/auth/signin", "accounts", SIGN_IN),
    planned("GET", "/auth/error", "accounts", SIGN_IN),
    planned("GET", "/auth/link", "accounts", SIGN_IN),
    planned("GET", "/api/auth/start/{provider}", "accounts", SIGN_IN),
    planned("GET", "/api/auth/callback/{provider}", "accounts", SIGN_IN),
    planned("POST", "/api/auth/exchange/{provider}", "accounts", SIGN_IN),
    planned("POST", "/api/auth/github/device-code", "accounts", SIGN_IN),
    planned("POST", "/api/auth/github/device-token", "accounts", SIGN_IN),
    planned("POST", "/api/replication/token", "accounts"),
    # Backup and attachments
    Route("POST", "/v1/backup", backup.put_backup, BACKUP, WRITES, stores=True),
    Route("GET", "/v1/backup", backup.get_backup, BACKUP),
    Route("DELETE", "/v1/backup", backup.delete_backup, BACKUP),
    Route("POST", "/v1/attachments", backup.add_attachment, BACKUP, WRITES, stores=True),
    Route("GET", "/v1/attachments/{id}", backup.get_attachment, BACKUP),
    Route("DELETE", "/v1/attachments/{id}", backup.delete_attachment, BACKUP),
    # The relay
    Route("PUT", "/v1/keys", keys.put_keys, RELAY, WRITES, stores=True),
    Route("POST", "/keys", keys.put_keys, RELAY, WRITES, stores=True),
    Route("POST", "/v1/keys/one-time", keys.add_one_time, RELAY, WRITES, stores=True),
    Route("DELETE", "/v1/keys/one-time", keys.clear_one_time, RELAY, WRITES),
    Route("GET", "/v1/keys/count", keys.count_keys, RELAY),
    Route("GET", "/v1/keys/digest", keys.digest_keys, RELAY),
    Route("GET", "/v1/keys/{username}", keys.get_bundle, RELAY),
    Route("GET", "/keys/{username}", keys.get_bundle, RELAY),
    Route("GET", "/ws", open_socket, RELAY_SOCKET),
    # Chats
    planned("GET", "/api/chats", "chats"),
    planned("POST", "/api/chats", "chats"),
    planned("GET", "/api/chats/{id}", "chats"),
    planned("GET", "/api/chats/{id}/messages", "chats"),
    planned("POST", "/api/chats/{id}/messages", "chats"),
    planned("GET", "/api/chats/{id}/policy", "chats"),
    planned("PUT", "/api/chats/{id}/policy", "chats"),
    planned("GET", "/api/chats/{id}/live", "chats"),
    # Privacy
    planned("GET", "/api/privacy/consent", "privacy"),
    planned("POST", "/api/privacy/consent", "privacy"),
    planned("GET", "/api/privacy/export", "privacy"),
    planned("GET", "/api/privacy/personal-data", "privacy"),
    planned("PUT", "/api/privacy/personal-data", "privacy"),
    planned("DELETE", "/api/privacy/account", "privacy"),
    # User storage
    planned("GET", "/api/v1/challenge", "user storage"),
    planned("GET", "/electric/v1/challenge", "user storage"),
    planned("POST", "/electric/v1/ingest", "user storage"),
    planned("GET", "/electric/v1/user_card", "user storage"),
    planned("GET", "/electric/v1/user_storage", "user storage"),
    planned("GET", "/electric/v1/user_storage/{user_hash}", "user storage"),
    # The library
    planned("POST", "/api/writes/batch", "library"),
    planned("GET", "/electric-proxy/v1/shape", "library"),
    planned("GET", "/api/library/blobs", "library"),
    planned("POST", "/api/library/blobs", "library"),
    planned("GET", "/api/library/blobs/{hash}", "library"),
    planned("DELETE", "/api/library/blobs/{hash}", "library"),
    planned("GET", "/api/settings", "library"),
    planned("PUT", "/api/settings", "library"),
)

# No usernames: `/v1/keys/count` must not be somebody's bundle.
WORDS = words(ROUTES)
