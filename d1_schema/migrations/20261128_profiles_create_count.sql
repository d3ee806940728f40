-- How many profiles there are, kept by the table itself: counting them is a scan that anybody may ask for.
-- (INSERT OR REPLACE deletes without telling triggers; nothing of ours does it, and a nightly job counts anew.)
CREATE TABLE profile_count (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    total INTEGER NOT NULL           -- rows of profiles
);
INSERT INTO profile_count SELECT 1, count(*) FROM profiles;

CREATE TRIGGER profiles_counted AFTER INSERT ON profiles BEGIN
    UPDATE profile_count SET total = total + 1;
END;

CREATE TRIGGER profiles_uncounted AFTER DELETE ON profiles BEGIN
    UPDATE profile_count SET total = total - 1;
END;
