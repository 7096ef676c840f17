//! How soon everything goes on after a kill: most jobs run, some wait for a place, and a few runs end while nobody
//! looks, which makes room for as many of those that wait.

use std::time::{Duration, Instant};

use runwarden_harness::{Signal, until_within};
use serde_json::Value;

use crate::controller::{Controller, Options};
use crate::figures::Table;
use crate::machine;
use crate::stage::Stage;

/// Runs until it is cancelled.
const TEMPLATE: &str = "hangs";
/// How many runs one request asks for at most.
const BATCH: u64 = 200;
/// How many runs end while Runwarden is down.
const ENDED: usize = 20;
/// What is aimed for, seconds.
const AIM: f64 = 5.0;
/// How long anything may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Measures it.
pub(crate) async fn measure(quick: bool) {
    let (jobs, running) = if quick { (500, 400) } else { (10_000, 9_000) };
    let mut stage = Stage::set(&Options { room: 20_000, speed: 20.0, latency_ms: 0 }).await;
    stage.map(TEMPLATE, running).await;
    let begun = Instant::now();
    let ids = stage.submit_all(TEMPLATE, 0..jobs).await;
    stage.controller.launched(running, PATIENCE).await;
    let launching = begun.elapsed();
    let caller = stage.caller().await;
    let bound = async || {
        let page = caller.get("/api/v1/jobs?state=launching&page_size=1").await.expect(200);
        page.get("items").and_then(Value::as_array).is_some_and(Vec::is_empty).then_some(())
    };
    until_within(PATIENCE, "all launches to be answered", bound).await;

    stage.system.end(Signal::Kill).await;
    let ledger = stage.controller.ledger(0).await;
    assert_eq!(ledger.len() as u64, running, "no more are launched than may run");
    let ended: Vec<&str> = ledger
        .iter()
        .take(ENDED)
        .filter_map(|entry| entry.extra_vars.get("n")?.as_u64())
        .filter_map(|n| ids.get(usize::try_from(n).ok()?).map(String::as_str))
        .collect();
    for entry in ledger.iter().take(ENDED) {
        stage.controller.finish(entry.run).await;
    }
    stage.controller.reset_requests().await;

    let start = Instant::now();
    let starting = async {
        stage.system.start_again().await;
        start.elapsed()
    };
    let told = async {
        let mut times = Vec::new();
        for id in &ended {
            let over = async || {
                let call = caller.call(reqwest::Method::GET, &format!("/api/v1/jobs/{id}"));
                // Until it is up there is nobody to ask.
                let job = call.try_send().await.ok().filter(|answer| answer.status == 200)?.json();
                (job.get("state").and_then(Value::as_str) == Some("succeeded")).then_some(())
            };
            until_within(PATIENCE, "an ended run to be told", over).await;
            times.push(start.elapsed());
        }
        times
    };
    let controller = &stage.controller;
    let (ready, swept, launched, told) =
        tokio::join!(starting, swept(controller, running, start), launched(controller, running, start), told);
    let (first, last) = (told.first().copied().unwrap_or_default(), told.last().copied().unwrap_or_default());

    let mut table = Table::default();
    let rate = running as f64 / launching.as_secs_f64();
    table.told(
        format!("{jobs} jobs submitted, {running} launched in"),
        format!("{:.0} s ({rate:.0} /s)", launching.as_secs_f64()),
    );
    let mut row = |what: &str, time: Duration| table.aimed(what, time.as_secs_f64(), "s", AIM);
    row("start to ready", ready);
    row("start to the first sweep over all runs", swept);
    row("start to the first waiting job launched", launched);
    row("start to the first ended run told", first);
    row(&format!("start to all {ENDED} ended runs told"), last);
    row("all of it", ready.max(swept).max(launched).max(last));
    table.print("Going on after a kill");
    println!("\nLoad average after it: {}", machine::load());
    stage.system.end(Signal::Kill).await;
}

/// When so many requests for runs were answered as it takes to ask about all.
async fn swept(controller: &Controller, runs: u64, start: Instant) -> Duration {
    let requests = runs.div_ceil(BATCH);
    let all = async || (controller.answered("/unified_jobs/").await >= requests).then_some(());
    until_within(PATIENCE, "the first sweep", all).await;
    start.elapsed()
}

async fn launched(controller: &Controller, before: u64, start: Instant) -> Duration {
    controller.launched(before + 1, PATIENCE).await;
    start.elapsed()
}
