-- What foreign senders delivered, and what became of it.
CREATE TABLE deliveries (
    id          TEXT    NOT NULL PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    -- The hook's id: a hook that is made again under an old name is another one.
    hook        TEXT    NOT NULL,
    -- What a repeat carries too; NULL: nothing is a repeat of this one.
    mark        TEXT,
    state       TEXT    NOT NULL,
    -- When it is worked on next; NULL: it is done with.
    due_at      INTEGER,
    received_at INTEGER NOT NULL,
    -- Bytes of what it contains.
    size        INTEGER NOT NULL,
    -- The delivery, JSON.
    document    TEXT    NOT NULL,
    -- What filter and mapping see, JSON.
    event       TEXT    NOT NULL,
    -- What nobody may see of it, sealed; JSON.
    sealed      TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX deliveries_by_mark ON deliveries (hook, mark) WHERE mark IS NOT NULL;
CREATE INDEX deliveries_by_hook ON deliveries (tenant, hook, id);
CREATE INDEX deliveries_due ON deliveries (tenant, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_done ON deliveries (received_at) WHERE due_at IS NULL;
CREATE INDEX deliveries_done_of_tenant ON deliveries (tenant, received_at) WHERE due_at IS NULL;

-- How much is kept of each tenant.
CREATE TABLE stocks (
    tenant  TEXT    NOT NULL PRIMARY KEY,
    waiting INTEGER NOT NULL,
    kept    INTEGER NOT NULL,
    bytes   INTEGER NOT NULL
) STRICT;

-- Audit entries, one queue a tenant, until they are handed over.
CREATE TABLE outbox (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    entry_id TEXT NOT NULL UNIQUE,
    tenant   TEXT,
    entry    BLOB NOT NULL
) STRICT;
CREATE INDEX outbox_by_tenant ON outbox (tenant, number);

-- Entries that the audit log refused for what they are.
CREATE TABLE outbox_set_aside (
    tenant   TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    refused  BLOB NOT NULL,
    PRIMARY KEY (tenant, entry_id)
) STRICT;

-- How far each tenant's audit log was when it was seen last. It never goes back.
CREATE TABLE outbox_seen (
    tenant   TEXT    NOT NULL PRIMARY KEY,
    restores INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    head     BLOB    NOT NULL
) STRICT;
