-- What a submit or a claim costs does not grow with what waits, runs or has finished.

-- How many jobs are new, and how many are launching or running: kept with every change of a job's state instead of counted
-- when somebody asks. Triggers keep them, so that no statement can forget to.
CREATE TABLE job_counts (
    tenant    TEXT    NOT NULL,
    -- 'tenant', and then the name is empty; or 'template', 'controller' or 'principal'.
    scope     TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    waiting   INTEGER NOT NULL,
    under_way INTEGER NOT NULL,
    PRIMARY KEY (tenant, scope, name)
) STRICT, WITHOUT ROWID;

INSERT INTO job_counts (tenant, scope, name, waiting, under_way)
    SELECT tenant, 'tenant', '', sum(state = 'new'), sum(state <> 'new') FROM jobs
        WHERE state IN ('new', 'launching', 'running') GROUP BY tenant
    UNION ALL
    SELECT tenant, 'template', template, sum(state = 'new'), sum(state <> 'new') FROM jobs
        WHERE state IN ('new', 'launching', 'running') GROUP BY tenant, template
    UNION ALL
    SELECT tenant, 'controller', controller, 0, count(*) FROM jobs
        WHERE state IN ('launching', 'running') GROUP BY tenant, controller
    UNION ALL
    SELECT tenant, 'principal', principal, 0, count(*) FROM jobs
        WHERE state IN ('launching', 'running') GROUP BY tenant, principal;

CREATE TRIGGER jobs_counted_when_new AFTER INSERT ON jobs WHEN NEW.state = 'new'
BEGIN
    INSERT INTO job_counts (tenant, scope, name, waiting, under_way)
    VALUES (NEW.tenant, 'tenant', '', 1, 0), (NEW.tenant, 'template', NEW.template, 1, 0)
    ON CONFLICT (tenant, scope, name) DO UPDATE SET waiting = waiting + 1;
END;

CREATE TRIGGER jobs_counted_when_under_way AFTER INSERT ON jobs WHEN NEW.state IN ('launching', 'running')
BEGIN
    INSERT INTO job_counts (tenant, scope, name, waiting, under_way)
    VALUES (NEW.tenant, 'tenant', '', 0, 1), (NEW.tenant, 'template', NEW.template, 0, 1),
           (NEW.tenant, 'controller', NEW.controller, 0, 1), (NEW.tenant, 'principal', NEW.principal, 0, 1)
    ON CONFLICT (tenant, scope, name) DO UPDATE SET under_way = under_way + 1;
END;

CREATE TRIGGER jobs_counted_when_no_longer_new AFTER UPDATE OF state ON jobs
WHEN OLD.state = 'new' AND NEW.state <> 'new'
BEGIN
    UPDATE job_counts SET waiting = waiting - 1 WHERE tenant = NEW.tenant AND scope = 'tenant' AND name = '';
    UPDATE job_counts SET waiting = waiting - 1 WHERE tenant = NEW.tenant AND scope = 'template' AND name = NEW.template;
END;

CREATE TRIGGER jobs_counted_when_new_again AFTER UPDATE OF state ON jobs
WHEN OLD.state <> 'new' AND NEW.state = 'new'
BEGIN
    INSERT INTO job_counts (tenant, scope, name, waiting, under_way)
    VALUES (NEW.tenant, 'tenant', '', 1, 0), (NEW.tenant, 'template', NEW.template, 1, 0)
    ON CONFLICT (tenant, scope, name) DO UPDATE SET waiting = waiting + 1;
END;

CREATE TRIGGER jobs_counted_when_begun AFTER UPDATE OF state ON jobs
WHEN OLD.state NOT IN ('launching', 'running') AND NEW.state IN ('launching', 'running')
BEGIN
    INSERT INTO job_counts (tenant, scope, name, waiting, under_way)
    VALUES (NEW.tenant, 'tenant', '', 0, 1), (NEW.tenant, 'template', NEW.template, 0, 1),
           (NEW.tenant, 'controller', NEW.controller, 0, 1), (NEW.tenant, 'principal', NEW.principal, 0, 1)
    ON CONFLICT (tenant, scope, name) DO UPDATE SET under_way = under_way + 1;
END;

CREATE TRIGGER jobs_counted_when_over AFTER UPDATE OF state ON jobs
WHEN OLD.state IN ('launching', 'running') AND NEW.state NOT IN ('launching', 'running')
BEGIN
    UPDATE job_counts SET under_way = under_way - 1 WHERE tenant = NEW.tenant AND (scope, name) IN (
        VALUES ('tenant', ''), ('template', NEW.template), ('controller', NEW.controller), ('principal', NEW.principal));
END;

DROP INDEX jobs_active_template;
DROP INDEX jobs_active_controller;
DROP INDEX jobs_active_principal;

-- Which jobs can be taken now is one look into an index, whatever waits for its time: jobs that are due at once have 0
-- there. Those that were begun are looked at again in time, however many new ones wait for theirs.
DROP INDEX jobs_due;
DROP INDEX jobs_waiting;
CREATE INDEX jobs_ready ON jobs (tenant, controller, template, rank DESC, id, principal)
    WHERE due_at = 0 AND holder IS NULL;
CREATE INDEX jobs_timed ON jobs (tenant, controller, template, due_at, rank DESC, id, principal)
    WHERE due_at > 0 AND holder IS NULL;
CREATE INDEX jobs_timed_begun ON jobs (tenant, controller, template, rank DESC, id, due_at)
    WHERE due_at > 0 AND holder IS NULL AND rank >= 10;
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at > 0 AND holder IS NULL;

-- What new jobs were accepted under: those of something else are found without reading the others.
ALTER TABLE jobs ADD COLUMN launch_digest TEXT NOT NULL DEFAULT '';
UPDATE jobs SET launch_digest = coalesce(json_extract(document, '$.launch_digest'), '')
    WHERE state NOT IN ('succeeded', 'failed', 'canceled', 'error');
CREATE INDEX jobs_grounds ON jobs (tenant, template, controller, launch_digest) WHERE state = 'new';
