-- Each one-time prekey is given out once in its life, under whatever id it comes: what is known of a
-- key is told by its end (24 bytes, which its maker drew). Ids are unique among those that wait.
CREATE TABLE one_time_prekeys_once (
    seq INTEGER PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('ec', 'kyber')),
    key_id INTEGER NOT NULL,
    public_key TEXT NOT NULL,            -- of one that was given out: its end alone
    signature TEXT,                      -- Kyber prekeys are signed
    taken_at INTEGER,
    taken_by TEXT                        -- the account that took it, for a day: fair shares
) STRICT;
-- Marks hold on; of a key that waited under two ids the newer stays.
INSERT INTO one_time_prekeys_once (seq, account_id, kind, key_id, public_key, signature, taken_at)
SELECT seq, account_id, kind, key_id, public_key, signature, taken_at FROM (
    SELECT *, row_number() OVER (
        PARTITION BY account_id, kind, substr(public_key, -32) ORDER BY taken_at IS NULL, seq DESC
    ) AS place FROM one_time_prekeys)
WHERE place = 1;
DROP TABLE one_time_prekeys;
ALTER TABLE one_time_prekeys_once RENAME TO one_time_prekeys;

CREATE UNIQUE INDEX one_time_prekeys_keys
    ON one_time_prekeys (account_id, kind, substr(public_key, -32));
CREATE UNIQUE INDEX one_time_prekeys_ids ON one_time_prekeys (account_id, kind, key_id)
    WHERE taken_at IS NULL;
CREATE INDEX one_time_prekeys_order ON one_time_prekeys (account_id, kind, taken_at, seq);
CREATE INDEX one_time_prekeys_taken ON one_time_prekeys (taken_at) WHERE taken_at IS NOT NULL;
CREATE INDEX one_time_prekeys_takers ON one_time_prekeys (taken_by, account_id, kind, taken_at)
    WHERE taken_by IS NOT NULL;
