-- The relay's key store: public keys only, base64. Times are milliseconds since the epoch.
CREATE TABLE relay_identities (
    account_id TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    identity_key TEXT NOT NULL,          -- Curve25519, 33 bytes
    registration_id INTEGER NOT NULL,
    signed_id INTEGER NOT NULL,          -- the signed prekey
    signed_key TEXT NOT NULL,
    signed_signature TEXT NOT NULL,      -- XEdDSA by the identity key
    last_resort_id INTEGER,              -- the Kyber prekey that is never used up
    last_resort_key TEXT,
    last_resort_signature TEXT,
    updated_at INTEGER NOT NULL,
    changed_at INTEGER                   -- when the identity changed, until the inbox knows of it
) STRICT;
CREATE INDEX relay_identities_changed ON relay_identities (changed_at)
    WHERE changed_at IS NOT NULL;

-- One-time prekeys. Of one that was given out the end of the key stays for a while, so that an
-- upload that is sent again cannot bring it back.
CREATE TABLE one_time_prekeys (
    seq INTEGER PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('ec', 'kyber')),
    key_id INTEGER NOT NULL,
    public_key TEXT NOT NULL,
    signature TEXT,                      -- Kyber prekeys are signed
    taken_at INTEGER,
    UNIQUE (account_id, kind, key_id)
) STRICT;
CREATE INDEX one_time_prekeys_left ON one_time_prekeys (account_id, kind, seq)
    WHERE taken_at IS NULL;
CREATE INDEX one_time_prekeys_taken ON one_time_prekeys (taken_at) WHERE taken_at IS NOT NULL;
