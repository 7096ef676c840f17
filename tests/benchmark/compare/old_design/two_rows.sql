-- What the database alone can do: the same two rows, in one durable transaction.
BEGIN;
INSERT INTO jobs (id, tenant, project, template, principal, state, parameters, created_at, start_at)
VALUES (gen_random_uuid(), 'acme', 'web', 'ask-variables', 'ci', 'new', '{"n": 1}', now(), now() + interval '1 day');
INSERT INTO audit_log (tenant, principal, action, resource, outcome, details, created_at)
VALUES ('acme', 'ci', 'job.submit', 'x', 'success', '{"template": "ask-variables"}', now());
COMMIT;
