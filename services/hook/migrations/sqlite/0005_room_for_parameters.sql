-- What waits has room for what will be written to it (`RESERVED` in delivery.rs).
UPDATE deliveries SET size = size + 8192 - length(CAST(document AS BLOB))
WHERE due_at IS NOT NULL AND length(CAST(document AS BLOB)) < 8192;

-- All that is counted, from what is there.
DELETE FROM stocks;
INSERT INTO stocks (tenant, waiting, kept, bytes)
SELECT tenant, count(due_at), count(*), sum(size) FROM deliveries GROUP BY tenant;
DELETE FROM hook_stocks;
INSERT INTO hook_stocks (tenant, hook, waiting, kept, bytes)
SELECT tenant, hook, count(due_at), count(*), sum(size) FROM deliveries GROUP BY tenant, hook;

-- Deliveries that an earlier version finished and left parameters with. House-keeping takes them out.
CREATE TABLE parameters_left (
    delivery TEXT NOT NULL PRIMARY KEY,
    tenant   TEXT NOT NULL
) STRICT;
INSERT INTO parameters_left (delivery, tenant)
SELECT id, tenant FROM deliveries WHERE due_at IS NULL AND state IN ('submitted', 'refused', 'given_up');
