-- Run tasks that Terraform is owed a final result for: one row for each such delivery, made in its transaction.
CREATE TABLE run_tasks (
    delivery TEXT    NOT NULL PRIMARY KEY,
    tenant   TEXT    NOT NULL,
    -- When it is looked at next; NULL: there is nothing left to say.
    due_at   INTEGER,
    -- Where it stands, JSON; NULL: nothing was done yet.
    sequence TEXT,
    version  INTEGER NOT NULL
) STRICT;
CREATE INDEX run_tasks_due ON run_tasks (due_at) WHERE due_at IS NOT NULL;
