//! What is built on a config store, on SQLite.

mod idempotency;
mod outbox;
