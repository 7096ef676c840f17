-- How much is kept of each hook, so that none takes all of its tenant's room.
CREATE TABLE hook_stocks (
    tenant  TEXT    NOT NULL,
    hook    TEXT    NOT NULL,
    waiting INTEGER NOT NULL,
    kept    INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    PRIMARY KEY (tenant, hook)
) STRICT;
CREATE INDEX deliveries_done_of_hook ON deliveries (tenant, hook, received_at) WHERE due_at IS NULL;

-- All bytes count: of what it contains, of what is sealed of it, and of the delivery itself.
UPDATE deliveries SET size = size + length(CAST(document AS BLOB));
INSERT INTO hook_stocks (tenant, hook, waiting, kept, bytes)
SELECT tenant, hook, count(due_at), count(*), sum(size) FROM deliveries GROUP BY tenant, hook;
UPDATE stocks SET bytes = coalesce((SELECT sum(size) FROM deliveries WHERE deliveries.tenant = stocks.tenant), 0);
