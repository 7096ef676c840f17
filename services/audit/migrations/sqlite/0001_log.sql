-- The log of every tenant: records, the tiles of its Merkle tree, and the checkpoints that were signed over it.
-- The triggers are no proof, since whoever owns the file can drop them; they keep a mistake from becoming one.

CREATE TABLE records (
    tenant      TEXT    NOT NULL,
    idx         INTEGER NOT NULL CHECK (idx >= 0),
    entry_id    TEXT    NOT NULL,
    -- The line exactly as it was hashed. All columns below repeat what it says, to search by.
    line        TEXT    NOT NULL,
    occurred_at INTEGER NOT NULL,
    principal   TEXT    NOT NULL,
    client_id   TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    object_type TEXT    NOT NULL,
    object_id   TEXT    NOT NULL,
    job         TEXT,
    PRIMARY KEY (tenant, idx),
    UNIQUE (tenant, entry_id)
) STRICT;

CREATE INDEX records_by_job ON records (tenant, job, idx) WHERE job IS NOT NULL;
CREATE INDEX records_by_principal ON records (tenant, principal, idx);
CREATE INDEX records_by_client ON records (tenant, client_id, idx);
CREATE INDEX records_by_action ON records (tenant, action, idx);

CREATE TABLE tiles (
    tenant     TEXT    NOT NULL,
    level      INTEGER NOT NULL CHECK (level >= 0),
    tile_index INTEGER NOT NULL CHECK (tile_index >= 0),
    hashes     BLOB    NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (tenant, level, tile_index)
) STRICT;

CREATE TABLE checkpoints (
    tenant TEXT    NOT NULL,
    size   INTEGER NOT NULL CHECK (size > 0),
    note   TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (tenant, size)
) STRICT;

CREATE TRIGGER records_stay_as_they_are BEFORE UPDATE ON records
BEGIN SELECT RAISE(ABORT, 'a record never changes'); END;

CREATE TRIGGER records_stay BEFORE DELETE ON records
BEGIN SELECT RAISE(ABORT, 'a record is never removed'); END;

CREATE TRIGGER records_follow_one_another BEFORE INSERT ON records
WHEN NEW.idx <> (SELECT coalesce(max(idx) + 1, 0) FROM records WHERE tenant = NEW.tenant)
BEGIN SELECT RAISE(ABORT, 'a record comes after the last one'); END;

CREATE TRIGGER tiles_only_grow BEFORE UPDATE ON tiles
WHEN NEW.tenant <> OLD.tenant OR NEW.level <> OLD.level OR NEW.tile_index <> OLD.tile_index
    OR substr(NEW.hashes, 1, length(OLD.hashes)) <> OLD.hashes
BEGIN SELECT RAISE(ABORT, 'a tile only grows'); END;

CREATE TRIGGER tiles_stay BEFORE DELETE ON tiles
BEGIN SELECT RAISE(ABORT, 'a tile is never removed'); END;

CREATE TRIGGER checkpoints_stay_as_they_are BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'a checkpoint never changes'); END;

CREATE TRIGGER checkpoints_stay BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'a checkpoint is never removed'); END;

CREATE TRIGGER checkpoints_only_grow BEFORE INSERT ON checkpoints
WHEN NEW.size <= (SELECT max(size) FROM checkpoints WHERE tenant = NEW.tenant)
BEGIN SELECT RAISE(ABORT, 'a checkpoint covers more than the last one'); END;
