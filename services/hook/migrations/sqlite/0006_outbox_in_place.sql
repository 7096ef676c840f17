-- An audit entry is written and deleted with every delivery: one row in one tree, found by its tenant and its
-- number, instead of a row with three indexes.
CREATE TABLE outbox_in_place (
    -- '?' for entries of which an earlier version did not say whose they are.
    tenant   TEXT    NOT NULL,
    number   INTEGER NOT NULL,
    entry_id TEXT    NOT NULL,
    entry    BLOB    NOT NULL,
    PRIMARY KEY (tenant, number)
) STRICT, WITHOUT ROWID;
INSERT INTO outbox_in_place (tenant, number, entry_id, entry)
    SELECT coalesce(tenant, '?'), number, entry_id, entry FROM outbox;

-- The last number that was given: none is given twice, also when nothing waits.
CREATE TABLE outbox_last (number INTEGER NOT NULL) STRICT;
INSERT INTO outbox_last (number) SELECT coalesce(max(number), 0) FROM outbox;

DROP TABLE outbox;
ALTER TABLE outbox_in_place RENAME TO outbox;
