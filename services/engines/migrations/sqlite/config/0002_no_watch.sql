-- Deletions were remembered for watchers only, and nobody watches: what follows a prefix asks what was written since.
DROP TABLE config_tombstone;
ALTER TABLE config_revision DROP COLUMN floor;
