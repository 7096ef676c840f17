-- One row per key. All keys of one commit carry its revision.
CREATE TABLE config_entry (
    key      TEXT    NOT NULL PRIMARY KEY COLLATE BINARY,
    value    BLOB    NOT NULL,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX config_entry_by_revision ON config_entry (revision);

-- What was deleted and when, so that a watcher that was away learns of it. Kept for a bounded number of revisions.
CREATE TABLE config_tombstone (
    key      TEXT    NOT NULL PRIMARY KEY COLLATE BINARY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX config_tombstone_by_revision ON config_tombstone (revision);

-- The one row that says how far the store is (head) and up to where deletions were forgotten (floor).
CREATE TABLE config_revision (
    only  INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    head  INTEGER NOT NULL,
    floor INTEGER NOT NULL
) STRICT;
INSERT INTO config_revision (only, head, floor) VALUES (1, 0, 0);
