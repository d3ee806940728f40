-- Accounts, the ways into them, and sessions (DESIGN §4). Times are milliseconds since the epoch.
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,             -- UUIDv7
    role TEXT NOT NULL CHECK (role IN ('owner', 'participant', 'admin')),
    created_at INTEGER NOT NULL,
    last_active_at INTEGER NOT NULL, -- to the day: sign-ins and refreshes move it
    disabled_at INTEGER
) STRICT;

-- One row for each way in. Of an e-mail only its keyed hash is here.
CREATE TABLE identities (
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('password', 'oidc', 'email', 'pq_key')),
    issuer TEXT NOT NULL,            -- oidc: issuer; email: id of the look-up key; otherwise ''
    subject TEXT NOT NULL,           -- username, sub, e-mail hash, user_hash
    secret TEXT,                     -- password: its hash (PHC string); pq_key: the public key
    created_at INTEGER NOT NULL,
    PRIMARY KEY (kind, issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_by_account ON identities (account_id);

-- A session that ended outlives its account for a day: while access tokens of it may still live,
-- other hosts learn from its row that they must not.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,             -- UUIDv7
    account_id TEXT NOT NULL,
    method TEXT NOT NULL,            -- how the person proved who they are: an identity's kind
    auth_time INTEGER NOT NULL,      -- when, in epoch seconds
    device_id TEXT NOT NULL,         -- UUID that the client keeps, or ''
    label TEXT NOT NULL,             -- what the client calls itself, or ''
    generation INTEGER NOT NULL,     -- how often the refresh token was rotated
    refresh_hash TEXT NOT NULL,      -- SHA-256 (base64url) of the one refresh token that holds
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,     -- slides with every refresh
    revoked_at INTEGER
) STRICT;
CREATE INDEX sessions_by_account ON sessions (account_id);
CREATE INDEX sessions_by_revocation ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Tickets and links that were used, until they would have expired anyway.
CREATE TABLE spent_tokens (
    id TEXT PRIMARY KEY,
    expires_at INTEGER NOT NULL      -- epoch seconds
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_tokens_by_end ON spent_tokens (expires_at);
