-- A run is known by its installation, its id and when it was made: ids come again after a restore. 0 where that is not
-- known, as of the runs of earlier versions.
ALTER TABLE jobs ADD COLUMN run_created INTEGER NOT NULL DEFAULT 0;
DROP INDEX jobs_by_run;
CREATE UNIQUE INDEX jobs_by_run ON jobs (run_id, installation, run_created) WHERE run_id IS NOT NULL;
-- The latest run that is known of an installation.
CREATE INDEX jobs_by_run_created ON jobs (installation, run_created) WHERE run_created > 0;
-- What is told from a stranger's run by its template until it is known when it was made.
UPDATE jobs SET document = json_set(document, '$.run.template',
        (SELECT controller_template FROM attempts WHERE job_id = jobs.id ORDER BY number DESC LIMIT 1))
    WHERE state = 'running' AND run_id IS NOT NULL;
-- One installation may be written in several ways, so they are compared one by one; few are open at once.
DROP INDEX attempts_open;
CREATE INDEX attempts_open ON attempts (controller_template) WHERE open = 1;

-- Runs that should not be, until they have stopped.
CREATE TABLE strays (
    job_id   TEXT    NOT NULL REFERENCES jobs (id),
    attempt  INTEGER NOT NULL,
    due_at   INTEGER NOT NULL,
    document TEXT    NOT NULL,
    PRIMARY KEY (job_id, attempt)
) STRICT;
CREATE INDEX strays_due ON strays (due_at);
