//! What operators see of a request: its trace in an OTLP collector, its log lines, its traces in the metrics.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod collector;
mod figures;
mod job;
mod lines;
mod walk;
