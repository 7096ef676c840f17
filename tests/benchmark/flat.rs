//! What accepting and claiming a job costs beside nothing, beside many jobs that wait, and beside many that have ended.

use std::sync::Arc;

use runwarden_executor::job::{Job, JobState};
use runwarden_executor::store::{Claim, Claimed, JobStore};
use runwarden_executor::wait::limits::Limits;
use runwarden_executor::wait::scheduler::Turn;

use crate::figures::{Table, ms};
use crate::store::{accept, fresh, job, now};
use crate::usage::Usage;

/// Beside how many.
const BESIDE: [u64; 3] = [0, 10_000, 1_000_000];
/// How many are accepted, and then claimed, each time: processor time is counted in hundredths of a second.
const EACH: u64 = 8_000;
/// How many callers there are at once.
const CALLERS: u64 = 64;
/// How much more it may cost than beside nothing.
const AIM: f64 = 1.2;

/// Measures both.
pub(crate) async fn measure(quick: bool) {
    for (state, what) in [(JobState::New, "wait"), (JobState::Succeeded, "have ended")] {
        let (_folder, store) = fresh().await;
        let mut table = Table::default();
        let (mut there, mut first) = (0, None);
        for beside in BESIDE.map(|beside| if quick { beside / 1000 } else { beside }) {
            let beside = beside.max(there);
            put(&store, state, beside - there).await;
            let each = if quick { EACH / 100 } else { EACH };
            let accepting = cost(each, put(&store, JobState::New, each)).await;
            let claiming = cost(each, claim(&store, each)).await;
            // What was claimed stays, and is as many as nothing.
            there = if state == JobState::New { beside } else { beside.max(there) };
            let (accepting_first, claiming_first) = *first.get_or_insert((accepting, claiming));
            for (name, figure, alone) in
                [("accepting", accepting, accepting_first), ("claiming", claiming, claiming_first)]
            {
                let title = format!("{name} one while {beside} {what}: processor time");
                table.told(title, format!("{:.0} µs", figure * 1000.0));
                if beside > 0 {
                    table.aimed(format!("{name}: of what it costs beside none"), figure / alone.max(0.001), "×", AIM);
                }
            }
        }
        table.print(&format!("What a job costs while others {what}"));
    }
}

/// Milliseconds of this process's time for each of so many.
async fn cost(each: u64, work: impl Future<Output = ()>) -> f64 {
    let before = Usage::of(std::process::id());
    work.await;
    ms(Usage::of(std::process::id()).cpu.saturating_sub(before.cpu)) / each as f64
}

async fn put(store: &Arc<dyn JobStore>, state: JobState, many: u64) {
    each_of(many, store, move |store, number| async move {
        let new = job(number as usize % 16);
        let due_at = new.due_at.filter(|_| state == JobState::New);
        accept(&*store, Job { state, due_at, ..new }).await;
    })
    .await;
}

async fn claim(store: &Arc<dyn JobStore>, many: u64) {
    each_of(many, store, move |store, number| async move {
        let turn = Turn { queue: job(number as usize % 16).queue(), from_rank: 0, without: Vec::new() };
        let claim = Claim { turn: &turn, holder: "exe_1", limits: Limits::default(), now: now() };
        let claimed = store.claim(claim).await.expect("an answer");
        assert!(matches!(claimed, Claimed::Job(_)), "as many are due as are claimed");
    })
    .await;
}

async fn each_of<W: Future<Output = ()> + Send>(
    many: u64,
    store: &Arc<dyn JobStore>,
    work: impl Fn(Arc<dyn JobStore>, u64) -> W + Copy + Send + Sync + 'static,
) {
    let calling: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in (caller..many).step_by(CALLERS as usize) {
                    work(store.clone(), number).await;
                }
            })
        })
        .collect();
    for caller in calling {
        caller.await.expect("a caller");
    }
}
