-- What was sent of a job, for whoever looks at what asked for it.
CREATE INDEX messages_of_job ON messages (tenant, job, number);
