-- A job is one document; the columns beside it are what it is found by.
CREATE TABLE jobs (
    id             TEXT    NOT NULL PRIMARY KEY,
    tenant         TEXT    NOT NULL,
    project        TEXT    NOT NULL,
    template       TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    -- When a worker should look at it next; NULL once it is bound to a run or over.
    due_at         INTEGER,
    -- Which installation the run is on, and its id there: no run is ever bound twice.
    installation   TEXT,
    run_id         INTEGER,
    document       TEXT    NOT NULL
) STRICT;
CREATE INDEX jobs_by_tenant ON jobs (tenant, id);
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_active ON jobs (tenant, template) WHERE state IN ('launching', 'running');
CREATE INDEX jobs_running ON jobs (state) WHERE state = 'running';
CREATE UNIQUE INDEX jobs_by_run ON jobs (installation, run_id) WHERE run_id IS NOT NULL;

-- Each try at launching. `open` is true from before the request leaves until it is known what became of it.
CREATE TABLE attempts (
    job_id              TEXT    NOT NULL REFERENCES jobs (id),
    number              INTEGER NOT NULL,
    installation        TEXT    NOT NULL,
    controller_template INTEGER NOT NULL,
    marked              INTEGER NOT NULL,
    open                INTEGER NOT NULL,
    document            TEXT    NOT NULL,
    PRIMARY KEY (job_id, number)
) STRICT;
CREATE INDEX attempts_open ON attempts (installation, controller_template) WHERE open = 1;

-- What happened to a job, in order: state changes and output.
CREATE TABLE job_events (
    job_id   TEXT    NOT NULL REFERENCES jobs (id),
    number   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    -- 'state': payload is the job's document as it stood; 'output': payload is text.
    kind     TEXT    NOT NULL,
    payload  TEXT    NOT NULL,
    -- For output: the byte offset of its first byte in all of the job's output.
    offset   INTEGER,
    PRIMARY KEY (job_id, number)
) STRICT;
CREATE INDEX job_output ON job_events (job_id, offset) WHERE offset IS NOT NULL;

-- The answer to a repeated request.
CREATE TABLE idempotency (
    tenant       TEXT    NOT NULL,
    principal    TEXT    NOT NULL,
    key_hash     TEXT    NOT NULL,
    body_digest  TEXT    NOT NULL,
    job_id       TEXT    NOT NULL REFERENCES jobs (id),
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant, principal, key_hash)
) STRICT;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Audit entries that were made durable with the change they tell of.
CREATE TABLE outbox (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    entry_id  TEXT    NOT NULL UNIQUE,
    entry     BLOB    NOT NULL
) STRICT;
