-- Of open attempts, those without a marker are asked for most, and hardly ever there.
CREATE INDEX attempts_unmarked ON attempts (controller_template) WHERE open = 1 AND marked = 0;

-- Keys and audit entries are small: a row is kept in one tree, in the order in which it is looked for, instead of in two or
-- more.
CREATE TABLE idempotency_lean (
    tenant       TEXT    NOT NULL,
    principal    TEXT    NOT NULL,
    key_hash     TEXT    NOT NULL,
    body_digest  TEXT    NOT NULL,
    job_id       TEXT    NOT NULL REFERENCES jobs (id),
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant, principal, key_hash)
) STRICT, WITHOUT ROWID;
INSERT INTO idempotency_lean
    SELECT tenant, principal, key_hash, body_digest, job_id, created_at FROM idempotency
    ORDER BY tenant, principal, key_hash;
DROP TABLE idempotency;
ALTER TABLE idempotency_lean RENAME TO idempotency;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- An audit entry is written and deleted with every change of a job.
CREATE TABLE outbox_lean (
    -- '?' for entries of which an earlier version did not say whose they are.
    tenant   TEXT    NOT NULL,
    number   INTEGER NOT NULL,
    entry_id TEXT    NOT NULL,
    entry    BLOB    NOT NULL,
    PRIMARY KEY (tenant, number)
) STRICT, WITHOUT ROWID;
INSERT INTO outbox_lean SELECT coalesce(tenant, '?'), number, entry_id, entry FROM outbox;
-- The last number that was given: none is given twice, also when nothing waits.
CREATE TABLE outbox_last (number INTEGER NOT NULL) STRICT;
INSERT INTO outbox_last (number) SELECT coalesce(max(number), 0) FROM outbox;
DROP TABLE outbox;
ALTER TABLE outbox_lean RENAME TO outbox;

-- As before, without a list that would be put into a table of its own each time.
DROP TRIGGER jobs_counted_when_over;
CREATE TRIGGER jobs_counted_when_over AFTER UPDATE OF state ON jobs
WHEN OLD.state IN ('launching', 'running') AND NEW.state NOT IN ('launching', 'running')
BEGIN
    UPDATE job_counts SET under_way = under_way - 1 WHERE tenant = NEW.tenant AND scope = 'tenant' AND name = '';
    UPDATE job_counts SET under_way = under_way - 1
        WHERE tenant = NEW.tenant AND scope = 'template' AND name = NEW.template;
    UPDATE job_counts SET under_way = under_way - 1
        WHERE tenant = NEW.tenant AND scope = 'controller' AND name = NEW.controller;
    UPDATE job_counts SET under_way = under_way - 1
        WHERE tenant = NEW.tenant AND scope = 'principal' AND name = NEW.principal;
END;
