//! The store of jobs by itself, in this process: durable intents a second, and whole lives of jobs whose controller answers
//! at once.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use runwarden_engines::{EngineSettings, Engines};
use runwarden_executor::Stores;
use runwarden_executor::job::{Attempt, AttemptState, Job, JobState, Run};
use runwarden_executor::store::{
    Acceptance, Accepted, Begin, Begun, Claim, Claimed, Effects, IdempotencyClaim, JobStore, News,
};
use runwarden_executor::wait::limits::Limits;
use runwarden_executor::wait::scheduler::Turn;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;
use serde_json::json;

use crate::figures::{Table, Times, ms};

/// How many templates the jobs are of.
const TEMPLATES: usize = 16;
/// What is aimed for: durable intents a second, and whole lives.
const AIMS: [f64; 2] = [20_000.0, 3_000.0];
const INSTALLATION: &str = "https://awx.example/api/v2";

/// What is done over and over.
#[derive(Clone, Copy)]
enum What {
    Accept,
    Live,
}

pub(crate) async fn measure(quick: bool) {
    let time = Duration::from_secs(if quick { 1 } else { 15 });
    let mut table = Table::default();
    for ((what, name), aim) in
        [(What::Accept, "intents accepted"), (What::Live, "whole lives of jobs")].into_iter().zip(AIMS)
    {
        for callers in [1, 64, 512] {
            let (a_second, times) = of(what, callers, time).await;
            if callers == 1 {
                table.told(format!("{name}, one caller"), format!("{a_second:.0} /s"));
            } else {
                table.aimed(format!("{name}, {callers} callers"), a_second, "/s", aim);
            }
            table.told(format!("{name}, {callers} at once: each takes"), format!("{} ms", times.shown()));
        }
    }
    table.print("The store by itself (p50 / p90 / p99 / max)");
}

/// A store without jobs, in a folder of its own.
pub(crate) async fn fresh() -> (tempfile::TempDir, Arc<dyn JobStore>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engines = Engines::open(EngineSettings::embedded(folder.path())).expect("embedded engines");
    let store = Stores::open(&engines, None).await.expect("a fresh store").jobs;
    (folder, store)
}

/// How many were done in a second by so many callers, each of which waits for its answer, and how long each took.
async fn of(what: What, callers: usize, time: Duration) -> (f64, Times) {
    let (_folder, store) = fresh().await;
    let over = Arc::new(AtomicBool::new(false));
    let runs = Arc::new(AtomicI64::new(0));
    let begun = Instant::now();
    let calling: Vec<_> = (0..callers)
        .map(|caller| {
            let (store, over, runs) = (store.clone(), over.clone(), runs.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let one = Instant::now();
                    let job = job(caller % TEMPLATES);
                    match what {
                        What::Accept => accept(&*store, job).await,
                        What::Live => live(&*store, job, runs.fetch_add(1, Ordering::Relaxed)).await,
                    }
                    times.push(ms(one.elapsed()));
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for caller in calling {
        times.extend(caller.await.expect("a caller"));
    }
    (times.len() as f64 / begun.elapsed().as_secs_f64(), Times::of(times))
}

/// A job as callers submit them, that is due at once.
pub(crate) fn job(template: usize) -> Job {
    let job = json!({
        "id": runwarden_kit::id::new("job"), "tenant": "acme", "project": "web", "template": format!("deploy-{template}"),
        "controller": "awx", "launch_digest": "0".repeat(64), "state": "new", "reason": null, "reason_detail": null,
        "parameters": {"version": "1.2.3", "environment": "production", "hosts": ["web-1", "web-2", "web-3"]},
        "sealed_parameters": null, "payload_digest": "1".repeat(64), "requested_by": "sa_1", "requested_by_name": "ci",
        "client_id": "client_1", "request_id": "req_1", "trace_id": "2".repeat(32), "decision_id": "dec_1",
        "policy_digest": "3".repeat(64), "created_at": now(), "launched_at": null, "finished_at": null, "outcome": null,
        "run": null,
    });
    let job: Job = serde_json::from_value(job).expect("a job");
    Job { due_at: Some(now()), ..job }
}

pub(crate) fn now() -> Moment {
    Moment::from_micros(i64::try_from(since_1970().as_micros()).unwrap_or(i64::MAX))
}

fn since_1970() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

fn entry(action: &str, job: &Job) -> Entry {
    Entry {
        entry_id: runwarden_kit::id::new("rec"),
        tenant: job.tenant.to_string(),
        service: "executor".into(),
        action: action.into(),
        object_type: "job".into(),
        object_id: job.id.clone(),
        decision_id: job.decision_id.clone(),
        policy_digest: job.policy_digest.clone(),
        payload_digest: job.payload_digest.clone(),
        request_id: job.request_id.clone(),
        ..Entry::default()
    }
}

/// With its key and its audit entry.
pub(crate) async fn accept(store: &dyn JobStore, job: Job) {
    let key_hash = job.id.clone();
    let key = IdempotencyClaim { principal: "sa_1".into(), key_hash, body_digest: job.payload_digest.clone() };
    let entries = vec![entry("job.submit", &job)];
    let acceptance = Acceptance { idempotency: Some(key), entries, ..Acceptance::of(job) };
    assert!(matches!(store.accept(acceptance).await.expect("an answer"), Accepted::New(_)), "it is new");
}

/// From acceptance to the end. What is claimed may be another caller's job: each claims one for each that it accepts.
async fn live(store: &dyn JobStore, job: Job, run: i64) {
    let turn = Turn { queue: job.queue(), from_rank: 0, without: Vec::new() };
    accept(store, job).await;
    let claim = Claim { turn: &turn, holder: "exe_1", limits: Limits::default(), now: now() };
    let Claimed::Job(job) = store.claim(claim).await.expect("an answer") else {
        unreachable!("as many are due as are claimed")
    };
    let attempt = intent(&job);
    let begin = Begin {
        attempt: attempt.clone(),
        fence: job.lease.fence,
        limits: Limits::default(),
        now: now(),
        entries: vec![entry("job.launch", &job)],
    };
    assert!(matches!(store.begin_attempt(begin).await.expect("an answer"), Begun::Yes(..)), "nothing is in the way");
    let (fence, launched) = (job.lease.fence, run_of(run));
    let bound = Attempt { state: AttemptState::Bound { run_id: run }, ..attempt };
    let bind = |job: &mut Job, _: Option<Attempt>, is_held: bool| {
        assert!(!is_held, "no other job has this run");
        job.bind(launched.clone(), now())?;
        job.attempt_open = false;
        job.lease.release(fence);
        Ok(Some(Effects::announced().learned(bound.clone(), entry("job.bind", job))))
    };
    changed(store.change(&job.id, now(), Some(&launched), &bind)).await;
    let end = |job: &mut Job, _: Option<Attempt>, _: bool| {
        job.end(JobState::Succeeded, now(), None)?;
        Ok(Some(Effects::announced().with_entry(entry("job.finish", job)).with_news(News::Finished)))
    };
    changed(store.change(&job.id, now(), None, &end)).await;
}

async fn changed<T, E: std::fmt::Debug>(change: impl Future<Output = Result<Option<T>, E>>) {
    assert!(change.await.expect("an answer").is_some(), "the job is there");
}

fn run_of(id: i64) -> Run {
    let run = json!({"installation": INSTALLATION, "kind": "job", "id": id, "template": 9, "created": now()});
    serde_json::from_value(run).expect("a run")
}

fn intent(job: &Job) -> Attempt {
    let attempt = json!({
        "job_id": job.id, "number": 1, "installation": INSTALLATION, "controller_template": 9, "account": 1,
        "marker": "rw_1", "placement": "extra_var", "sent_at": now(), "state": {"is": "intent"},
    });
    serde_json::from_value(attempt).expect("an attempt")
}
