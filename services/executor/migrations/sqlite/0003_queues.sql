-- Who holds a job, and the number that tells its holders apart. They were in the document before, with a time until
-- when they held; clocks are no longer compared.
ALTER TABLE jobs ADD COLUMN holder TEXT;
ALTER TABLE jobs ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET fence = coalesce(json_extract(document, '$.lease.fence'), 0);
-- Which waiting job goes first: higher ranks before lower ones, then older ids before younger ones.
ALTER TABLE jobs ADD COLUMN rank INTEGER NOT NULL DEFAULT 1;
UPDATE jobs SET rank = 11 WHERE state = 'launching';
UPDATE jobs SET rank = 21, document = json_set(document, '$.attempt_open', json('true'))
    WHERE state = 'launching' AND id IN (SELECT job_id FROM attempts WHERE open = 1);
-- Whose jobs are counted together.
ALTER TABLE jobs ADD COLUMN principal TEXT NOT NULL DEFAULT '';
UPDATE jobs SET principal = json_extract(document, '$.requested_by');
-- When its first attempt was begun, and until when it must be.
ALTER TABLE jobs ADD COLUMN begun_at INTEGER;
UPDATE jobs SET begun_at = json_extract(document, '$.launched_at');
ALTER TABLE jobs ADD COLUMN start_by INTEGER;
-- Grows over all jobs with every change of one: who follows them reads on from where they were.
ALTER TABLE jobs ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
CREATE TABLE feed (version INTEGER NOT NULL) STRICT;
INSERT INTO feed (version) VALUES (0);

DROP INDEX jobs_active;
DROP INDEX jobs_running;
CREATE INDEX jobs_running ON jobs (id) WHERE state = 'running';
CREATE INDEX jobs_waiting ON jobs (tenant, controller, template, rank DESC, id, due_at)
    WHERE due_at IS NOT NULL AND holder IS NULL;
CREATE INDEX jobs_new ON jobs (tenant, template, rank, id) WHERE state = 'new';
CREATE INDEX jobs_held ON jobs (holder) WHERE holder IS NOT NULL;
CREATE INDEX jobs_expiring ON jobs (start_by) WHERE start_by IS NOT NULL AND due_at IS NOT NULL;
CREATE INDEX jobs_by_version ON jobs (version);
CREATE INDEX jobs_active_template ON jobs (tenant, template) WHERE state IN ('launching', 'running');
CREATE INDEX jobs_active_controller ON jobs (tenant, controller) WHERE state IN ('launching', 'running');
CREATE INDEX jobs_active_principal ON jobs (tenant, principal) WHERE state IN ('launching', 'running');
CREATE INDEX jobs_begun_template ON jobs (tenant, template, begun_at) WHERE begun_at IS NOT NULL;
CREATE INDEX jobs_begun_controller ON jobs (tenant, controller, begun_at) WHERE begun_at IS NOT NULL;
CREATE INDEX jobs_begun_principal ON jobs (tenant, principal, begun_at) WHERE begun_at IS NOT NULL;

-- Executors that live count up.
CREATE TABLE executors (
    holder TEXT    NOT NULL PRIMARY KEY,
    beat   INTEGER NOT NULL
) STRICT;

-- Which executor follows the runs of which controller.
CREATE TABLE watches (
    tenant     TEXT NOT NULL,
    controller TEXT NOT NULL,
    holder     TEXT NOT NULL,
    PRIMARY KEY (tenant, controller)
) STRICT;
