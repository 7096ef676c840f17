//! Where the processor time of a submit, and of a whole job, goes.
//!
//! Three looks at the same load, each in a time of its own, since one disturbs the other: what the kernel counts for the
//! process and its threads, what it does for it (system calls, syncs, allocations), and samples of its stacks, each
//! given to the step that its innermost known frame belongs to. The last two need perf, and the right to use it; what
//! is missing is said and left out.

mod kernel;
mod steps;
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use runwarden_harness::Api;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::controller::Options;
use crate::stage::{Stage, TEMPLATE, tomorrow};
use crate::usage;

/// How many callers submit, each as soon as its last job was accepted.
const CALLERS: u64 = 16;
/// What is submitted is decided on by this.
const POLICY: &str = include_str!("../compare/policy.rego");

/// How far a job is taken.
#[derive(Clone, Copy)]
enum Upto {
    /// It starts tomorrow.
    Accepted,
    /// Its run ends.
    Ended,
}

/// Measures both.
pub(crate) async fn measure(quick: bool) {
    let look = Duration::from_secs(if quick { 1 } else { 8 });
    for (what, upto) in [("a submit", Upto::Accepted), ("a whole job", Upto::Ended)] {
        let stage = Stage::set(&Options { room: 100_000, speed: 1.0, latency_ms: 0 }).await;
        stage.map(TEMPLATE, 0).await;
        stage.decide_by("parameters", POLICY).await;
        let load = Load::begin(&stage, upto).await;
        // Connections, caches and compiled schemas are not what is measured.
        load.passed(look / 4).await;
        println!(
            "\n## What {what} costs\n\n{CALLERS} callers at once; microseconds of processor time unless it says otherwise."
        );
        let pid = usage::child("up");
        threads::print(pid, &load, look).await;
        kernel::print(pid, &load, look).await;
        steps::print(pid, &load, look).await;
        load.end().await;
    }
}

/// Callers that submit until they are told to stop.
struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    callers: JoinSet<()>,
}

impl Load {
    async fn begin(stage: &Stage, upto: Upto) -> Self {
        let tomorrow = tomorrow();
        let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut callers = JoinSet::new();
        let caller = stage.caller().await;
        for number in 0..CALLERS {
            let (caller, over, answered) = (caller.clone(), over.clone(), answered.clone());
            let tomorrow = tomorrow.clone();
            callers.spawn(async move {
                let mut n = number;
                while !over.load(Ordering::Relaxed) {
                    let start_at = matches!(upto, Upto::Accepted).then_some(tomorrow.as_str());
                    let body = json!({"template": TEMPLATE, "parameters": {"n": n}, "start_at": start_at});
                    submit(&caller, &body, upto).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                    n += CALLERS;
                }
            });
        }
        Self { over, answered, callers }
    }

    /// How many jobs were taken as far as they are to be, in this time from now.
    async fn passed(&self, time: Duration) -> u64 {
        let before = self.count();
        tokio::time::sleep(time).await;
        self.count() - before
    }

    fn count(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        let _ended = self.callers.join_all().await;
    }
}

async fn submit(caller: &Api, body: &Value, upto: Upto) {
    let answer = caller.call(reqwest::Method::POST, "/api/v1/jobs").json(body).send().await.expect(202);
    if matches!(upto, Upto::Accepted) {
        return;
    }
    let id = answer.get("id").and_then(Value::as_str).expect("an id").to_owned();
    let begun = Instant::now();
    loop {
        let job = caller.get(&format!("/api/v1/jobs/{id}?wait=30")).await.expect(200);
        if job.get("finished_at").is_some() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "job {id} ends");
    }
}
