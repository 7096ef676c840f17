-- How far jobs were followed: kept in the transaction that makes the messages that follow from it.
CREATE TABLE followed (
    one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    cursor INTEGER NOT NULL
) STRICT;

-- Messages to receivers. An id is that of its callback, job and event, so that following jobs twice makes none twice.
CREATE TABLE messages (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    tenant     TEXT    NOT NULL,
    callback   TEXT    NOT NULL,
    job        TEXT    NOT NULL,
    event      TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    -- waiting, delivered or dead.
    state      TEXT    NOT NULL,
    attempts   INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    tried_at   INTEGER,
    status     INTEGER NOT NULL,
    problem    TEXT    NOT NULL
) STRICT;
CREATE INDEX messages_waiting ON messages (callback, due_at, number) WHERE state = 'waiting';
CREATE INDEX messages_of ON messages (tenant, callback, number);
CREATE INDEX messages_dead ON messages (callback, created_at) WHERE state = 'dead';
CREATE INDEX messages_dead_by_age ON messages (created_at) WHERE state = 'dead';
CREATE INDEX messages_delivered_by_age ON messages (created_at) WHERE state = 'delivered';

-- Receivers that have accepted nothing since then.
CREATE TABLE failing (
    callback TEXT    NOT NULL PRIMARY KEY,
    since    INTEGER NOT NULL
) STRICT;
