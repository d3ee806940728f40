-- Counts attachments and backups into `held`, whatever way a row takes.
CREATE TRIGGER attachments_held_more AFTER INSERT ON attachments BEGIN
    INSERT INTO held (account_id, kind, bytes, items)
    VALUES (new.account_id, 'attachments', new.size, 1)
    ON CONFLICT (account_id, kind) DO UPDATE SET
        bytes = bytes + excluded.bytes, items = items + excluded.items;
END;
CREATE TRIGGER attachments_held_other AFTER UPDATE OF size ON attachments BEGIN
    UPDATE held SET bytes = bytes + new.size - old.size
    WHERE account_id = new.account_id AND kind = 'attachments';
END;
CREATE TRIGGER attachments_held_less AFTER DELETE ON attachments BEGIN
    UPDATE held SET bytes = bytes - old.size, items = items - 1
    WHERE account_id = old.account_id AND kind = 'attachments';
END;
CREATE TRIGGER backups_held_more AFTER INSERT ON backups BEGIN
    INSERT INTO held (account_id, kind, bytes, items)
    VALUES (new.account_id, 'backup', ifnull(new.size, 0), new.object_key IS NOT NULL)
    ON CONFLICT (account_id, kind) DO UPDATE SET
        bytes = bytes + excluded.bytes, items = items + excluded.items;
END;
CREATE TRIGGER backups_held_other AFTER UPDATE OF object_key, size ON backups BEGIN
    UPDATE held SET
        bytes = bytes + ifnull(new.size, 0) - ifnull(old.size, 0),
        items = items + (new.object_key IS NOT NULL) - (old.object_key IS NOT NULL)
    WHERE account_id = new.account_id AND kind = 'backup';
END;
CREATE TRIGGER backups_held_less AFTER DELETE ON backups BEGIN
    UPDATE held SET
        bytes = bytes - ifnull(old.size, 0), items = items - (old.object_key IS NOT NULL)
    WHERE account_id = old.account_id AND kind = 'backup';
END;

INSERT INTO held (account_id, kind, bytes, items)
SELECT account_id, 'attachments', sum(size), count(*) FROM attachments GROUP BY account_id;
INSERT INTO held (account_id, kind, bytes, items)
SELECT account_id, 'backup', ifnull(size, 0), object_key IS NOT NULL FROM backups;
