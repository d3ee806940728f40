-- Profiles of the live store. One row per person; the newest import wins.
CREATE TABLE profiles (
    profile_id TEXT PRIMARY KEY,     -- as the sender wrote it
    schema_version TEXT NOT NULL,    -- e.g. user_profile.v1
    document TEXT NOT NULL,          -- JSON, exactly as validated
    created_at TEXT NOT NULL,        -- from the document, ISO 8601
    imported_at INTEGER NOT NULL,    -- milliseconds since the epoch
    import_id TEXT NOT NULL          -- the import that wrote this row last
);
