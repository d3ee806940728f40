-- What each account holds, by kind: counted by the triggers of the slice whose kind it is, in the
-- transaction that changes it. A new kind comes with its triggers and the count of what there is
-- (20261128_backup_count_what_is_held.sql shows how).
CREATE TABLE held (
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    items INTEGER NOT NULL,
    PRIMARY KEY (account_id, kind)
) STRICT, WITHOUT ROWID;

-- What is on its way and counts as held until then: no upload lasts longer.
CREATE TABLE reservations (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX reservations_by_account ON reservations (account_id, kind);
CREATE INDEX reservations_by_end ON reservations (until);
