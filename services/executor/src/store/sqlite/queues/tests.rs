use std::time::Duration;

use runwarden_awx::{Installation, Target};
use runwarden_kit::contract::Rate;
use uuid::Uuid;

use super::*;
use crate::job::tests::example;
use crate::job::{AT_ONCE, Attempt, AttemptState, BEGUN, JobState, Priority};
use crate::store::kernel::queues::SOME;
use crate::store::sqlite::SqliteJobs;
use crate::store::{Acceptance, Begin, Begun, Claim, Claimed, Effects, Executors as _, JobStore as _, Queues as _};
use crate::test_doubles::{installation, template};
use crate::wait::limits::{Limit, Limits};
use runwarden_kit::tenant::TenantId;

async fn store() -> (tempfile::TempDir, SqliteJobs) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap();
    (folder, store)
}

fn at(second: u64) -> Moment {
    Moment::from_micros(0).plus(Duration::from_secs(second))
}

/// A job that is due.
fn due() -> Job {
    Job { due_at: Some(AT_ONCE), ..example() }
}

async fn put(store: &SqliteJobs, job: Job) -> Job {
    store.accept(Acceptance::of(job.clone())).await.unwrap();
    job
}

fn turn_of(job: &Job) -> Turn {
    Turn { queue: job.queue(), from_rank: 0, without: Vec::new() }
}

async fn claim_with(store: &SqliteJobs, turn: &Turn, limits: Limits, now: Moment) -> Claimed {
    store.claim(Claim { turn, holder: "exe_1", limits, now }).await.unwrap()
}

/// Claims the next of a job's queue.
async fn claim(store: &SqliteJobs, like: &Job) -> Option<Job> {
    match claim_with(store, &turn_of(like), Limits::default(), at(10)).await {
        Claimed::Job(job) => Some(*job),
        Claimed::Nothing => None,
        Claimed::Full { .. } | Claimed::Blocked => panic!("nothing stands in the way"),
    }
}

fn intent(job: &Job, placement: &str) -> Attempt {
    Attempt {
        job_id: job.id.clone(),
        number: 1,
        installation: installation(1),
        controller_template: 9,
        account: 1,
        marker: "rw_1".into(),
        placement: placement.into(),
        sent_at: at(1),
        controller_time: None,
        named: None,
        marker_took: None,
        told: crate::job::Told::default(),
        state: AttemptState::Intent,
    }
}

fn beginning(attempt: Attempt) -> Begin {
    Begin { attempt, fence: 1, limits: Limits::default(), now: at(20), entries: Vec::new() }
}

async fn two_claimed_jobs(store: &SqliteJobs) -> (Job, Job) {
    let (a, b) = (due(), due());
    for job in [&a, &b] {
        put(store, job.clone()).await;
        assert_eq!(claim(store, job).await.unwrap().id, job.id);
    }
    (a, b)
}

#[tokio::test]
async fn a_claimed_job_is_nobody_elses_until_it_is_let_go() {
    let (_folder, store) = store().await;
    let job = put(&store, due()).await;
    let claimed = claim(&store, &job).await.unwrap();
    assert_eq!((claimed.id.as_str(), claimed.lease.fence), (job.id.as_str(), 1));
    assert!(claim(&store, &job).await.is_none());
    assert!(store.heads(at(10)).await.unwrap().is_empty());
    store.release(&job.id, 7).await.unwrap();
    assert!(claim(&store, &job).await.is_none(), "only who holds it can let it go");
    store.release(&job.id, 1).await.unwrap();
    assert_eq!(claim(&store, &job).await.unwrap().lease.fence, 2, "the late worker can be told from the new one");
}

#[tokio::test]
async fn an_empty_full_or_blocked_queue_is_passed_over_without_the_write_lock() {
    let (_folder, store) = store().await;
    let one_at_once = Limit { at_once: 1, rate: None };
    let full = Limits { template: one_at_once, ..Limits::default() };
    let (job, next) = (put(&store, due()).await, put(&store, due()).await);
    assert_eq!(claim(&store, &job).await.unwrap().id, job.id);
    let begun = store.begin_attempt(beginning(intent(&job, "none"))).await.unwrap();
    assert!(matches!(begun, Begun::Yes(..)));

    let before = store.engine.database.grouped().writer.begun();
    for _ in 0..3 {
        let held = claim_with(&store, &turn_of(&next), full, at(10)).await;
        assert!(matches!(held, Claimed::Full { scope: LimitScope::Template, .. }));
        let held = claim_with(&store, &turn_of(&next), Limits::default(), at(10)).await;
        assert!(matches!(held, Claimed::Blocked), "the launch that is out could not be told from another");
        let elsewhere = Job { template: "other".into(), ..due() };
        assert!(claim(&store, &elsewhere).await.is_none());
    }
    assert_eq!(store.engine.database.grouped().writer.begun(), before);

    // Only jobs that were accepted for the same wait for it: what a template was mapped to may have changed.
    let changed = put(&store, Job { launch_digest: "mapped anew".into(), priority: Priority::High, ..due() }).await;
    assert_eq!(claim(&store, &next).await.unwrap().id, changed.id);
    assert_eq!(store.engine.database.grouped().writer.begun(), before + 2, "one to accept it and one to take it");
    // What is out is not held back by itself.
    store.release(&job.id, 1).await.unwrap();
    let looked = |job: &mut Job, _: Option<Attempt>, _| {
        job.look_now();
        Ok(Some(Effects::default()))
    };
    store.change(&job.id, at(11), None, &looked).await.unwrap();
    assert_eq!(claim(&store, &next).await.unwrap().id, job.id);
}

#[tokio::test]
async fn what_a_gone_executor_held_is_free_under_a_new_fence() {
    let (_folder, store) = store().await;
    let job = put(&store, due()).await;
    store.beat("exe_1").await.unwrap();
    claim(&store, &job).await.unwrap();
    let shown = store.beats("exe_2").await.unwrap();
    assert_eq!(store.free(&shown[0]).await.unwrap(), Some(1));
    // The gone one comes back late: its fence is worth nothing.
    assert!(matches!(store.begin_attempt(beginning(intent(&job, "none"))).await.unwrap(), Begun::Lost));
    assert_eq!(claim(&store, &job).await.unwrap().lease.fence, 3);
    // An executor that starts again knows that its earlier self is gone.
    assert_eq!(store.resume("exe_1").await.unwrap(), 1);
    assert_eq!(claim(&store, &job).await.unwrap().lease.fence, 5);
}

#[tokio::test]
async fn higher_priorities_go_first_then_older_jobs_and_begun_ones_before_all() {
    let (_folder, store) = store().await;
    let low = put(&store, Job { priority: Priority::Low, ..due() }).await;
    let first = put(&store, due()).await;
    let second = put(&store, due()).await;
    let high = put(&store, Job { priority: Priority::High, ..due() }).await;
    let begun = put(&store, Job { state: JobState::Launching, priority: Priority::Low, ..due() }).await;
    let out = Job { state: JobState::Launching, attempt_open: true, priority: Priority::Low, ..due() };
    let out = put(&store, out).await;
    let mut order = Vec::new();
    while let Some(job) = claim(&store, &low).await {
        order.push(job.id);
    }
    assert_eq!(order, [out.id, begun.id, high.id, first.id, second.id, low.id]);
}

#[tokio::test]
async fn a_place_counts_those_of_the_template_that_go_first() {
    let (_folder, store) = store().await;
    let first = put(&store, due()).await;
    let second = put(&store, due()).await;
    let low = put(&store, Job { priority: Priority::Low, ..due() }).await;
    let high = put(&store, Job { priority: Priority::High, ..due() }).await;
    put(&store, Job { template: "other".into(), ..due() }).await;
    for (job, position) in [(&high, 1), (&first, 2), (&second, 3), (&low, 4)] {
        assert_eq!(store.place(job, &Limits::default(), at(10)).await.unwrap().position, position);
    }
}

#[tokio::test]
async fn a_place_in_a_long_queue_is_exact_once_its_marks_are_fresh_and_counts_no_further_than_it_says() {
    let (_folder, store) = store().await;
    let mut jobs = Vec::new();
    for n in 0..450_i64 {
        let priority = [Priority::Low, Priority::High, Priority::Normal][usize::try_from(n % 3).unwrap()];
        jobs.push(put(&store, Job { priority, id: format!("job_{n:05}"), ..due() }).await);
    }
    jobs.sort_by_key(|job| (-job.rank(), job.id.clone()));
    for (ahead, job) in jobs.iter().enumerate() {
        let place = store.place(job, &Limits::default(), at(10)).await.unwrap();
        assert_eq!(usize::try_from(place.position).unwrap(), ahead + 1);
    }
    // What left the head of the queue since the marks were taken leaves at most these places unknown, for a second.
    let first = jobs[0].clone();
    claim(&store, &first).await.unwrap();
    let last = store.place(&jobs[449], &Limits::default(), at(10)).await.unwrap();
    assert!((449..=450).contains(&last.position), "{last:?}");
}

/// Each count is of one range of an index: what stands behind a job, or in other ranks, is not looked at.
#[tokio::test]
async fn a_place_is_counted_in_the_index_of_new_jobs_without_sorting() {
    let (folder, _store) = store().await;
    let connection = rusqlite::Connection::open(folder.path().join("jobs.db")).unwrap();
    for sql in [super::AHEAD_IN_RANK, super::AHEAD_BY_RANK, super::NEXT_RANK, super::IN_RANK] {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let parameters = vec!["1"; statement.parameter_count()];
        let plan = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3)).unwrap();
        let plan: Vec<String> = plan.map(Result::unwrap).collect();
        let searches = plan.iter().filter(|step| step.contains("jobs_new") && step.contains("rank")).count();
        assert!(searches == 1 && !plan.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {plan:?}");
    }
}

#[tokio::test]
async fn who_is_held_back_is_told_by_what() {
    let (_folder, store) = store().await;
    let (_a, _b) = two_claimed_jobs(&store).await;
    let waits = put(&store, due()).await;
    let limits = Limits { controller: Limit { at_once: 2, rate: None }, ..Limits::default() };
    assert_eq!(store.place(&waits, &limits, at(10)).await.unwrap().held_by, Some(LimitScope::Controller));
    assert_eq!(store.place(&waits, &Limits::default(), at(10)).await.unwrap().held_by, None);
}

#[tokio::test]
async fn what_was_accepted_under_something_else_is_found() {
    let (_folder, store) = store().await;
    let old = put(&store, Job { launch_digest: "old".into(), ..due() }).await;
    let new = put(&store, Job { launch_digest: "new".into(), ..due() }).await;
    put(&store, Job { template: "other".into(), ..due() }).await;
    let outdated = store.outdated(&old.queue(), Some("new")).await.unwrap();
    assert_eq!(outdated, std::slice::from_ref(&old.id));
    assert_eq!(store.outdated(&old.queue(), None).await.unwrap(), [old.id, new.id]);
}

#[tokio::test]
async fn what_is_not_due_is_not_claimed_and_when_it_will_be_is_known() {
    let (_folder, store) = store().await;
    let later = put(&store, Job { due_at: Some(at(60)), ..example() }).await;
    assert!(claim(&store, &later).await.is_none());
    assert!(store.heads(at(59)).await.unwrap().is_empty());
    assert_eq!(store.next_due(at(10)).await.unwrap(), Some(at(60)));
    assert_eq!(store.heads(at(60)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn heads_are_one_for_each_queue() {
    let (_folder, store) = store().await;
    for tenant in ["a", "b"] {
        for template in ["x", "y"] {
            for _ in 0..3 {
                put(&store, Job { tenant: TenantId::trusted(tenant), template: template.into(), ..due() }).await;
            }
        }
    }
    assert_eq!(store.heads(at(10)).await.unwrap().len(), 4);
}

#[tokio::test]
async fn jobs_of_a_full_principal_are_passed_over_and_begun_ones_are_not() {
    let (_folder, store) = store().await;
    let busy = put(&store, due()).await;
    let other = put(&store, Job { requested_by: "sa_2".into(), ..due() }).await;
    let turn = Turn { without: vec!["sa_1".into()], ..turn_of(&busy) };
    let Claimed::Job(claimed) = claim_with(&store, &turn, Limits::default(), at(10)).await else {
        panic!("the other's job may be claimed")
    };
    assert_eq!(claimed.id, other.id);
    assert!(matches!(claim_with(&store, &turn, Limits::default(), at(10)).await, Claimed::Nothing));
    let begun = put(&store, Job { state: JobState::Launching, ..due() }).await;
    for turn in [turn, Turn { from_rank: BEGUN, ..turn_of(&busy) }] {
        let Claimed::Job(claimed) = claim_with(&store, &turn, Limits::default(), at(10)).await else {
            panic!("what was begun goes on")
        };
        assert_eq!(claimed.id, begun.id);
        store.release(&begun.id, claimed.lease.fence).await.unwrap();
    }
}

#[tokio::test]
async fn limits_hold_at_the_claim_and_at_the_beginning() {
    let one = Limit { at_once: 1, rate: None };
    let cases = [
        (LimitScope::Template, Limits { template: one, ..Limits::default() }),
        (LimitScope::Controller, Limits { controller: one, ..Limits::default() }),
        (LimitScope::Principal, Limits { principal: one, ..Limits::default() }),
    ];
    for (scope, limits) in cases {
        let (_folder, store) = store().await;
        let (a, b) = two_claimed_jobs(&store).await;
        let c = put(&store, due()).await;
        // Others that are held count already: they are about to begin.
        let Claimed::Full { scope: full, .. } = claim_with(&store, &turn_of(&c), limits, at(10)).await else {
            panic!("{scope:?} is full")
        };
        assert_eq!(full, scope);
        // Of two that are held, the first may begin.
        let begin = |job| Begin { limits, ..beginning(intent(job, "extra_var")) };
        assert!(matches!(store.begin_attempt(begin(&a)).await.unwrap(), Begun::Yes(..)), "{scope:?}");
        assert!(matches!(store.begin_attempt(begin(&b)).await.unwrap(), Begun::Full(full, _) if full == scope));
        // Another tenant's is another scope.
        let foreign = put(&store, Job { tenant: TenantId::trusted("other"), ..due() }).await;
        assert!(matches!(claim_with(&store, &turn_of(&foreign), limits, at(10)).await, Claimed::Job(_)));
    }
}

#[tokio::test]
async fn no_more_is_begun_in_a_period_than_may_be() {
    let (_folder, store) = store().await;
    let rate = Rate { jobs: 2, period_seconds: 60 };
    let limits = Limits { controller: Limit { at_once: 0, rate: Some(rate) }, ..Limits::default() };
    let mut jobs = Vec::new();
    for second in [0, 30] {
        let job = put(&store, due()).await;
        claim(&store, &job).await.unwrap();
        let begin = Begin { limits, now: at(second), ..beginning(intent(&job, "extra_var")) };
        assert!(matches!(store.begin_attempt(begin).await.unwrap(), Begun::Yes(..)));
        jobs.push(job);
    }
    let third = put(&store, due()).await;
    let claimed = claim_with(&store, &turn_of(&third), limits, at(40)).await;
    let Claimed::Full { scope: LimitScope::Controller, name, until } = claimed else { panic!("two were begun") };
    assert_eq!((name.as_str(), until), ("awx", at(60)));
    assert!(matches!(claim_with(&store, &turn_of(&third), limits, at(61)).await, Claimed::Job(_)));
}

#[tokio::test]
async fn an_open_attempt_without_a_marker_blocks_every_other_launch_of_its_template() {
    let (_folder, store) = store().await;
    let (a, b) = two_claimed_jobs(&store).await;
    let first = intent(&a, "none");
    assert!(matches!(store.begin_attempt(beginning(first.clone())).await.unwrap(), Begun::Yes(..)));
    let marked = beginning(intent(&b, "extra_var"));
    assert!(matches!(store.begin_attempt(marked.clone()).await.unwrap(), Begun::Blocked));
    // Also by another address of the same installation, and when an earlier version wrote down the address alone.
    let target = Target { url: "http://awx".into(), ..template().controller.target };
    let spelled = Installation::new(Some(Uuid::from_u128(1)), &target);
    let spelled = Attempt { installation: spelled, ..intent(&b, "extra_var") };
    assert!(matches!(store.begin_attempt(beginning(spelled)).await.unwrap(), Begun::Blocked));
    let address_alone =
        "UPDATE attempts SET document = json_set(document, '$.installation', 'http://127.0.0.1:1/api/v2')";
    sqlx::query(address_alone).execute(&store.engine.database.write).await.unwrap();
    assert!(matches!(store.begin_attempt(marked.clone()).await.unwrap(), Begun::Blocked));
    let elsewhere = Attempt { controller_template: 10, ..intent(&b, "none") };
    assert!(matches!(store.begin_attempt(beginning(elsewhere.clone())).await.unwrap(), Begun::Yes(..)));
    // Once it is known what became of it, it stands in nobody's way.
    let settled = Effects::default().with_attempt(Attempt { state: AttemptState::Bound { run_id: 3 }, ..first });
    store.change(&a.id, at(30), None, &|_, _, _| Ok(Some(settled.clone()))).await.unwrap();
    let again = Begin { attempt: Attempt { number: 2, ..intent(&b, "none") }, ..marked };
    assert!(matches!(store.begin_attempt(again.clone()).await.unwrap(), Begun::Lost), "its own is still open");
    let nothing = AttemptState::NotLaunched { why: "refused".into() };
    let settled = Effects::default().with_attempt(Attempt { state: nothing, ..elsewhere });
    store.change(&b.id, at(30), None, &|_, _, _| Ok(Some(settled.clone()))).await.unwrap();
    assert!(matches!(store.begin_attempt(again).await.unwrap(), Begun::Yes(..)));
}

#[tokio::test]
async fn an_intent_is_refused_to_who_lost_the_claim_and_after_a_cancel_or_a_deadline() {
    let (_folder, store) = store().await;
    let (a, b) = two_claimed_jobs(&store).await;
    let late = Begin { fence: 0, ..beginning(intent(&a, "extra_var")) };
    assert!(matches!(store.begin_attempt(late).await.unwrap(), Begun::Lost));
    let cancel = |job: &mut Job, _, _| job.request_cancel(at(30)).map(|()| Some(Effects::announced()));
    store.change(&b.id, at(30), None, &cancel).await.unwrap();
    assert!(matches!(store.begin_attempt(beginning(intent(&b, "extra_var"))).await.unwrap(), Begun::Lost));
    let repeated = Attempt { number: 2, ..intent(&a, "extra_var") };
    assert!(matches!(store.begin_attempt(beginning(repeated)).await.unwrap(), Begun::Lost), "numbers leave no gap");
    let expired = put(&store, Job { start_by: Some(at(15)), ..due() }).await;
    claim(&store, &expired).await.unwrap();
    assert!(matches!(store.begin_attempt(beginning(intent(&expired, "extra_var"))).await.unwrap(), Begun::Lost));
}

#[tokio::test]
async fn only_jobs_of_which_nothing_is_out_expire() {
    let (_folder, store) = store().await;
    let late = || Job { start_by: Some(at(15)), ..due() };
    let out = put(&store, late()).await;
    claim(&store, &out).await.unwrap();
    let begin = Begin { now: at(10), ..beginning(intent(&out, "extra_var")) };
    assert!(matches!(store.begin_attempt(begin).await.unwrap(), Begun::Yes(..)));
    let held = put(&store, late()).await;
    claim(&store, &held).await.unwrap();
    store.release(&out.id, 1).await.unwrap();
    // However many were cancelled before: they end as that.
    for _ in 0..=SOME {
        put(&store, Job { start_by: Some(at(12)), cancel_requested: true, attempts: 1, ..due() }).await;
    }
    let waiting = put(&store, late()).await;
    put(&store, Job { start_by: Some(at(100)), ..due() }).await;
    assert_eq!(store.expiring(at(20)).await.unwrap(), [waiting.id]);
    assert!(store.expiring(at(15)).await.unwrap().is_empty());
}
