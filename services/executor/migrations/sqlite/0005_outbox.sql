-- Each tenant's audit entries wait by themselves. NULL: an earlier version left the entry and did not say whose it is.
ALTER TABLE outbox ADD COLUMN tenant TEXT;
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
