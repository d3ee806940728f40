-- Encrypted backups: one slot per account; the blob lies in R2 (DESIGN §5). Times are milliseconds
-- since the epoch.
CREATE TABLE backups (
    account_id TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,        -- counts for ever, also over a delete: an ETag never returns
    object_key TEXT,                 -- the blob that counts; NULL: there is none
    size INTEGER,                    -- bytes
    sha256 TEXT,                     -- hexadecimal, of the blob
    updated_at INTEGER,
    pending_key TEXT,                -- where an upload under way puts its blob
    pending_at INTEGER               -- when that upload last showed a sign of life
) STRICT;

-- Opaque files, e.g. avatars. Kept while the backup of their owner names them, else for 30 days.
CREATE TABLE attachments (
    id TEXT PRIMARY KEY,             -- 128 random bits: who knows it may read
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    object_key TEXT NOT NULL,
    size INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER               -- NULL while it is referred to
) STRICT;
CREATE INDEX attachments_by_account ON attachments (account_id, created_at);
CREATE INDEX attachments_by_end ON attachments (expires_at) WHERE expires_at IS NOT NULL;
