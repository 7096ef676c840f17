-- Searches by time. Entries arrive nearly, not exactly, in the order of their times, so a time bounds no index; but
-- whether a thousand neighbouring records hold one of a time is one look into this.
CREATE INDEX records_by_time ON records (tenant, idx >> 10, occurred_at);
