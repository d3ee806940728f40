-- What a host counts exactly: failed sign-ins and where one went well, mails, sign-ups
-- (worker/limiter/stored.py). At the edge the actor RateLimiter keeps it instead.
CREATE TABLE counters (
    id TEXT PRIMARY KEY,      -- SHA-256 of the row's name and a keyed pseudonym: leads to nobody
    version INTEGER NOT NULL, -- two that change it at once: the second one fails and looks again
    state TEXT NOT NULL,      -- JSON, as worker/limiter/counting.py has it
    ends_at INTEGER NOT NULL  -- milliseconds: from then on it says nothing
) STRICT, WITHOUT ROWID;
CREATE INDEX counters_by_end ON counters (ends_at);
