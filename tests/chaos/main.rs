//! The whole system as real processes that are killed all the time, beside a controller that fails all the time: at
//! the end every promise must have been kept. What a round does is decided by its seed; docs/testing-chaos.md says how
//! to run it for long and how to do a round again.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod caller;
mod dice;
mod failpoints;
mod faults;
mod kinds;
mod levers;
mod operator;
mod plan;
mod promises;
mod report;
mod round;
mod trail;
mod truth;
mod witness;

use std::time::{SystemTime, UNIX_EPOCH};

use plan::{Plan, Size};

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(format!("RUNWARDEN_CHAOS_{name}")).ok()?;
    let number = value.parse();
    assert!(number.is_ok(), "RUNWARDEN_CHAOS_{name} is not a number: {value}");
    number.ok()
}

/// A round with the given seed, or with one that nobody knows yet. Its last bit says what the system is made of.
async fn round(last_bit: u64) {
    let fresh = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos()) % 1_000_000
    };
    let seed = (setting("SEED").unwrap_or_else(fresh) & !1) | last_bit;
    let seconds = setting("SECONDS").unwrap_or(45).max(5);
    let jobs = setting("JOBS").and_then(|jobs| u32::try_from(jobs).ok());
    let jobs = jobs.unwrap_or_else(|| u32::try_from(seconds * 6).unwrap_or(300));
    let plan = Plan::new(seed, Size { seconds, jobs });
    println!("   {}", report::replay(&plan));
    let report = Box::pin(round::run(plan, env!("CARGO_BIN_EXE_runwarden"))).await;
    assert!(report.tell(), "promises were broken with seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn together_all_promises_are_kept_whatever_fails() {
    round(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apart_all_promises_are_kept_whatever_fails() {
    round(1).await;
}
