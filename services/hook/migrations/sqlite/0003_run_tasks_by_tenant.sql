-- Each tenant's tasks have their turn: they are looked for tenant by tenant.
DROP INDEX run_tasks_due;
CREATE INDEX run_tasks_due ON run_tasks (tenant, due_at) WHERE due_at IS NOT NULL;
