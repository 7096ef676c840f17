-- Jobs are claimed by controller, so that one that hangs does not hold up the others' jobs.
ALTER TABLE jobs ADD COLUMN controller TEXT NOT NULL DEFAULT '';
UPDATE jobs SET controller = json_extract(document, '$.controller');
