//! What senders really send, and what becomes of it.

mod generic;
mod run_task;
mod stripe;
mod support;
