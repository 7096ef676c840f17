-- Controllers of whose runs nothing is known at present: since when, and why.
CREATE TABLE silences (
    tenant     TEXT    NOT NULL,
    controller TEXT    NOT NULL,
    since      INTEGER NOT NULL,
    why        TEXT    NOT NULL,
    PRIMARY KEY (tenant, controller)
) STRICT;
