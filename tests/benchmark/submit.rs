//! From submitting a job to the controller's being asked to launch it.
//!
//! Jobs are sent at fixed times whatever became of those before (an open loop), over connections that are kept. The
//! time of a job runs from when its caller began to send it to when the launch request came to the controller, which
//! notes that in its ledger; both read the same clock. Before each launch Runwarden reads the template on the
//! controller. What that costs the controller is timed beside the load with the same requests, and the median of it is
//! taken off each job's time. So that jobs live as long as they do elsewhere, their runs are followed to their end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use runwarden_harness::Api;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::controller::Options;
use crate::figures::{Table, Times, ms};
use crate::machine;
use crate::stage::{Stage, TEMPLATE};

const TEMPLATE_ID: u64 = 22;
/// What is aimed for at [`AIMED_RATE`], milliseconds at the 99th percentile.
const AIM: f64 = 10.0;
/// Jobs a second.
const AIMED_RATE: u64 = 50;
/// How long a slow controller takes for each answer, milliseconds.
const SLOW_MS: u64 = 100;
/// More than this after the last was sent, the launches did not keep up.
const KEEPS_UP: Duration = Duration::from_secs(1);
/// How long launches may take to catch up before that is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// What came of one load.
struct Load {
    rate: u64,
    /// From sending to the launch, without the controller's own time.
    net: Times,
    /// With it.
    whole: Times,
    /// From sending to the answer.
    answer: Times,
    /// The controller's own time, median.
    own: f64,
    /// From the last job sent to the last launch.
    behind: Duration,
    /// How late the sender was at worst.
    late: f64,
    /// Of one core, percent.
    cpu: f64,
    controller_cpu: f64,
}

impl Load {
    fn holds(&self) -> bool {
        self.net.quantile(0.99) < AIM && self.behind < KEEPS_UP
    }
}

/// Measures it at several rates, and looks for the highest that holds.
pub(crate) async fn measure(quick: bool) {
    let stage = Stage::set(&Options { room: 10_000, speed: 1.0, latency_ms: 0 }).await;
    stage.map(TEMPLATE, 0).await;
    let (seconds, repeats) = if quick { (2, 1) } else { (30, 3) };
    let mut loads = Vec::new();
    // Connections, caches and compiled schemas are not what is measured.
    let mut sent = offer(&stage, 0, 20, 1).await.0;
    for rate in [10, AIMED_RATE, 100] {
        let times = if rate == AIMED_RATE { repeats } else { 1 };
        for _ in 0..times {
            let (upto, load) = offer(&stage, sent, rate, seconds).await;
            sent = upto;
            loads.push(load);
        }
    }
    let mut table = Table::default();
    for load in &loads {
        tell(&mut table, load);
    }
    if !quick {
        let highest = limit(&stage, sent).await;
        let unit = highest.as_ref().map_or_else(|| "none".to_owned(), |load| format!("{} jobs/s", load.rate));
        table.told(format!("highest rate with p99 under {AIM} ms and nothing left behind, 10 s each"), unit);
        if let Some(load) = &highest {
            tell(&mut table, load);
        }
    }
    slow(&mut table, if quick { 30 } else { 400 }).await;
    table.print("From submit to launch");
    println!("\nLoad average after it: {}", machine::load());
}

/// How many launches a second a controller gets that takes as long for an answer as real ones do: how many are under way
/// at once decides that, not how fast we are.
async fn slow(table: &mut Table, jobs: u64) {
    let stage = Stage::set(&Options { room: 10_000, speed: 1.0, latency_ms: SLOW_MS }).await;
    stage.map(TEMPLATE, 0).await;
    let begun = Instant::now();
    stage.submit_all(TEMPLATE, 0..jobs).await;
    stage.controller.launched(jobs, PATIENCE).await;
    let rate = jobs as f64 / begun.elapsed().as_secs_f64();
    table.told(format!("a controller that takes {SLOW_MS} ms for each answer: launches"), format!("{rate:.1} /s"));
    stage.finished(jobs, PATIENCE).await;
}

/// Climbs until it does not hold any more: coarsely, then finely.
async fn limit(stage: &Stage, mut sent: u64) -> Option<Load> {
    let mut best: Option<Load> = None;
    for step in [50, 10] {
        let mut rate = best.as_ref().map_or(step, |load| load.rate + step);
        loop {
            let (upto, load) = offer(stage, sent, rate, 10).await;
            sent = upto;
            println!("{} jobs/s: {} ms, last launch {:?} after the last job", rate, load.net.shown(), load.behind);
            if !load.holds() {
                break;
            }
            best = Some(load);
            rate += step;
        }
    }
    best
}

fn tell(table: &mut Table, load: &Load) {
    let rate = load.rate;
    let p99 = load.net.quantile(0.99);
    table.aimed(format!("{rate} jobs/s: submit to launch, controller's time off, p99"), p99, "ms", AIM);
    table.told(format!("{rate} jobs/s: the same, p50 / p90 / p99 / max, ms"), load.net.shown());
    table.told(format!("{rate} jobs/s: with the controller's time ({:.1} ms)", load.own), load.whole.shown());
    table.told(format!("{rate} jobs/s: submit to answer 202"), load.answer.shown());
    let cpu = format!("{:.0} % and {:.0} %", load.cpu, load.controller_cpu);
    table.told(format!("{rate} jobs/s: of one core, Runwarden and controller"), cpu);
    let late = format!("{:.0} ms; sender late by {:.1} ms at most", ms(load.behind), load.late);
    table.told(format!("{rate} jobs/s: last launch after last job"), late);
}

/// Sends jobs, numbered from `first`, at a rate for so many seconds. Answers with the next number.
async fn offer(stage: &Stage, first: u64, rate: u64, seconds: u64) -> (u64, Load) {
    let caller = stage.caller().await;
    let before = stage.controller.launches().await;
    let (used, controller_used) = (stage.usage(), stage.controller_usage());
    let over = Arc::new(AtomicBool::new(false));
    let end = first + rate * seconds;
    let start = Instant::now() + Duration::from_millis(50);
    let (sent, own) = tokio::join!(send(&caller, first..end, rate, start, &over), probe(stage, &over));
    let last = Instant::now();
    stage.controller.launched(before + rate * seconds, PATIENCE).await;
    let behind = last.elapsed();
    let took = start.elapsed();
    let cpu = stage.usage().percent_since(&used, took);
    let controller_cpu = stage.controller_usage().percent_since(&controller_used, took);
    let mut arrived = HashMap::new();
    for entry in stage.controller.ledger(before).await {
        let number = entry.extra_vars.get("n").and_then(Value::as_u64).expect("the job's number");
        let at = entry.requested_at.unix_timestamp_nanos() / 1000;
        assert!(arrived.insert(number, at).is_none(), "job {number} was launched twice");
    }
    let micros = |n: u64, began: i128| (arrived.get(&n).expect("its launch") - began) as f64 / 1000.0;
    let whole: Vec<f64> = sent.iter().map(|job| micros(job.number, job.began)).collect();
    let own = own.quantile(0.5);
    stage.finished(before + rate * seconds, PATIENCE).await;
    let load = Load {
        rate,
        net: Times::of(whole.iter().map(|time| time - own)),
        whole: Times::of(whole),
        answer: Times::of(sent.iter().map(|job| job.answered)),
        own,
        behind,
        late: sent.iter().map(|job| job.late).fold(0.0, f64::max),
        cpu,
        controller_cpu,
    };
    (end, load)
}

struct Sent {
    number: u64,
    /// Microseconds since 1970.
    began: i128,
    /// Milliseconds.
    answered: f64,
    late: f64,
}

async fn send(caller: &Api, numbers: std::ops::Range<u64>, rate: u64, start: Instant, over: &AtomicBool) -> Vec<Sent> {
    let mut under_way = JoinSet::new();
    for (place, number) in (0..).zip(numbers) {
        let due = start + Duration::from_micros(1_000_000 * place / rate);
        tokio::time::sleep_until(due).await;
        let body = json!({"template": TEMPLATE, "parameters": {"n": number}});
        let call = caller.call(Method::POST, "/api/v1/jobs").json(&body);
        under_way.spawn(async move {
            let began = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_micros();
            let begun = Instant::now();
            let late = ms(begun.saturating_duration_since(due));
            let answer = call.send().await;
            let answered = ms(begun.elapsed());
            let _job = answer.expect(202);
            Sent { number, began: i128::try_from(began).expect("a time of this age"), answered, late }
        });
    }
    let sent = under_way.join_all().await;
    over.store(true, Ordering::Release);
    sent
}

/// Times what Runwarden reads before a launch, a few times a second until it is over.
async fn probe(stage: &Stage, over: &AtomicBool) -> Times {
    let mut times = Vec::new();
    while !over.load(Ordering::Acquire) {
        times.push(ms(stage.controller.time_preflight(TEMPLATE_ID).await));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Times::of(times)
}
