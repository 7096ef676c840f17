//! What following thousands of runs costs: requests to the controller, processor time and memory.

use std::time::{Duration, Instant};

use runwarden_harness::until_within;

use crate::controller::Options;
use crate::figures::Table;
use crate::machine;
use crate::stage::Stage;
use crate::usage::Usage;

/// Runs until it is cancelled.
const TEMPLATE: &str = "hangs";
/// How long launching and settling may take before that is given up.
const PATIENCE: Duration = Duration::from_secs(1800);
/// How often to ask for the end of a sweep.
const LOOK: Duration = Duration::from_millis(200);
/// A run that has been looked at so often since the last launch is not news any more.
const SETTLED: f64 = 3.0;

/// How many runs, how many requests a sweep is aimed at, and how long to look.
struct Plan {
    runs: u64,
    requests: f64,
    look: Duration,
}

/// Measures without runs, and with more and more.
pub(crate) async fn measure(quick: bool) {
    let plans = if quick {
        vec![Plan { runs: 300, requests: 15.0, look: Duration::from_secs(8) }]
    } else {
        let look = Duration::from_secs(60);
        vec![Plan { runs: 2_000, requests: 15.0, look }, Plan { runs: 10_000, requests: 60.0, look }]
    };
    let stage = Stage::set(&Options { room: 20_000, speed: 20.0, latency_ms: 0 }).await;
    stage.map(TEMPLATE, 0).await;
    let mut table = Table::default();
    idle(&stage, &mut table, if quick { 3 } else { 20 }).await;
    let mut before = (0, stage.usage());
    for plan in plans {
        let from = before.0;
        let launching = Instant::now();
        let jobs = stage.submit_all(TEMPLATE, from..plan.runs).await;
        let submitted = launching.elapsed();
        stage.controller.launched(plan.runs, PATIENCE).await;
        let launched = launching.elapsed();
        let rate = |took: Duration| jobs.len() as f64 / took.as_secs_f64();
        table.told(format!("{} more jobs at once: accepted", jobs.len()), format!("{:.0} /s", rate(submitted)));
        table.told(format!("{} more jobs at once: launched", jobs.len()), format!("{:.0} /s", rate(launched)));
        settle(&stage).await;
        let after = look(&stage, &plan, &mut table).await;
        let (more, growth) = (plan.runs - from, after.memory - before.1.memory);
        let scaled = growth * 10_000.0 / more as f64;
        let what = format!("from {from} to {} runs: memory more per 10,000", plan.runs);
        table.aimed(what, scaled, "MiB", 40.0);
        table.told(format!("{} runs: memory", plan.runs), format!("{:.0} MiB", after.memory));
        before = (plan.runs, after);
    }
    table.print("Following runs");
    println!("\nLoad average after it: {}", machine::load());
}

async fn idle(stage: &Stage, table: &mut Table, seconds: u64) {
    let (begun, before) = (Instant::now(), stage.usage());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = stage.usage();
    table.told("no runs: of one core", format!("{:.2} %", after.percent_since(&before, begun.elapsed())));
    table.told("no runs: memory", format!("{:.0} MiB", after.memory));
}

/// Waits until all runs have been seen running.
async fn settle(stage: &Stage) {
    let upto = sweeps(stage).await + SETTLED;
    until_within(PATIENCE, "the runs to be nothing new", async || (sweeps(stage).await >= upto).then_some(())).await;
}

/// Looks from the end of one sweep to that of another.
async fn look(stage: &Stage, plan: &Plan, table: &mut Table) -> Usage {
    let first = next_sweep(stage).await;
    let seconds = stage.metric("runwarden_sweep_seconds_sum").await;
    stage.controller.reset_requests().await;
    let (begun, before, controller_before) = (Instant::now(), stage.usage(), stage.controller_usage());
    // Asking how many sweeps there were costs as much as sweeping does: not while it is measured.
    tokio::time::sleep(plan.look).await;
    let last = next_sweep(stage).await;
    let took = begun.elapsed();
    let (after, controller_after) = (stage.usage(), stage.controller_usage());
    let requests = stage.controller.answered("/api/").await as f64;
    let sweeps = last - first;
    let seconds = stage.metric("runwarden_sweep_seconds_sum").await - seconds;
    let runs = plan.runs;
    table.aimed(format!("{runs} runs: requests a sweep"), requests / sweeps, "", plan.requests);
    table.told(format!("{runs} runs: requests a second"), format!("{:.1}", requests / took.as_secs_f64()));
    table.aimed(format!("{runs} runs: of one core"), after.percent_since(&before, took), "%", 5.0);
    let of_controller = format!("{:.1} %", controller_after.percent_since(&controller_before, took));
    table.told(format!("{runs} runs: of one core, the controller's"), of_controller);
    table.told(format!("{runs} runs: one sweep takes"), format!("{:.2} s", seconds / sweeps));
    table.told(format!("{runs} runs: from sweep to sweep"), format!("{:.1} s", took.as_secs_f64() / sweeps));
    after
}

async fn sweeps(stage: &Stage) -> f64 {
    stage.metric("runwarden_sweep_seconds_count").await
}

/// Waits for the end of the next sweep; answers how many there have been.
async fn next_sweep(stage: &Stage) -> f64 {
    let before = sweeps(stage).await;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = sweeps(stage).await;
        if now > before {
            return now;
        }
    }
}
