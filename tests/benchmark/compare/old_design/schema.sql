-- The tables of the design that Runwarden replaces.
CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    project text NOT NULL,
    template text NOT NULL,
    principal text NOT NULL,
    state text NOT NULL,
    parameters jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    start_at timestamptz
);
CREATE INDEX jobs_waiting ON jobs (start_at) WHERE state = 'new';
CREATE INDEX jobs_of_tenant ON jobs (tenant, created_at);
CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    principal text NOT NULL,
    action text NOT NULL,
    resource text NOT NULL,
    outcome text NOT NULL,
    details jsonb NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX audit_of_tenant ON audit_log (tenant, created_at);
