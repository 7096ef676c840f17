//! What a submit or a claim costs does not grow with what waits, runs or has finished: counts are kept, and each look is
//! one into an index.

use std::time::Duration;

use runwarden_kit::clock::Moment;
use rusqlite::{Connection, params_from_iter};

use super::{SqliteJobs, heads};
use crate::job::tests::example;
use crate::job::{AT_ONCE, Job, JobState};
use crate::store::{Acceptance, Claim, Claimed, Effects, JobStore as _, Queues as _};
use crate::wait::limits::Limits;
use crate::wait::scheduler::Turn;

const KEPT: &str = "SELECT tenant, scope, name, waiting, under_way FROM job_counts
    WHERE waiting <> 0 OR under_way <> 0 ORDER BY tenant, scope, name";
const COUNTED: &str = "
    WITH counted (tenant, scope, name, waiting, under_way) AS (
        SELECT tenant, 'tenant', '', sum(state = 'new'), sum(state IN ('launching', 'running')) FROM jobs GROUP BY tenant
        UNION ALL
        SELECT tenant, 'template', template, sum(state = 'new'), sum(state IN ('launching', 'running')) FROM jobs
            GROUP BY tenant, template
        UNION ALL
        SELECT tenant, 'controller', controller, 0, sum(state IN ('launching', 'running')) FROM jobs
            GROUP BY tenant, controller
        UNION ALL
        SELECT tenant, 'principal', principal, 0, sum(state IN ('launching', 'running')) FROM jobs
            GROUP BY tenant, principal)
    SELECT * FROM counted WHERE waiting <> 0 OR under_way <> 0 ORDER BY tenant, scope, name";

type Row = (String, String, String, i64, i64);

fn rows(connection: &Connection, sql: &str) -> Vec<Row> {
    let mut statement = connection.prepare(sql).unwrap();
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    statement.query_map((), read).unwrap().map(Result::unwrap).collect()
}

async fn opened() -> (tempfile::TempDir, SqliteJobs, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let store = SqliteJobs::open(&path).await.unwrap();
    let connection = Connection::open(&path).unwrap();
    (folder, store, connection)
}

#[tokio::test]
async fn what_is_kept_is_what_would_be_counted_whatever_happened() {
    let (_folder, store, connection) = opened().await;
    let states = [
        JobState::New,
        JobState::AwaitingApproval,
        JobState::Launching,
        JobState::Running,
        JobState::Unknown,
        JobState::Succeeded,
        JobState::Canceled,
    ];
    for (n, from) in states.into_iter().enumerate() {
        for (m, to) in states.into_iter().enumerate() {
            let job = Job {
                state: from,
                template: format!("t{}", n % 2),
                controller: format!("c{}", m % 2),
                requested_by: format!("sa_{}", (n + m) % 3),
                ..example()
            };
            store.accept(Acceptance::of(job.clone())).await.unwrap();
            // Whether a job may go there is not what is tested: the counts must follow wherever it goes.
            let change = move |job: &mut Job, _, _| {
                job.state = to;
                Ok(Some(Effects::default()))
            };
            store.change(&job.id, Moment::from_micros(1), None, &change).await.unwrap();
        }
        assert_eq!(rows(&connection, KEPT), rows(&connection, COUNTED), "from {from:?}");
    }
    assert!(rows(&connection, KEPT).iter().any(|row| row.3 > 1) && rows(&connection, KEPT).iter().any(|row| row.4 > 1));
}

/// Whatever is in the tables: none of them is read, or sorted, to find the first due job of a queue.
#[tokio::test]
async fn the_next_queue_with_a_due_job_is_one_look_into_an_index() {
    let (_folder, _store, connection) = opened().await;
    for sql in heads::statements() {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let parameters = vec!["a"; statement.parameter_count()];
        let plan = statement.query_map(params_from_iter(parameters), |row| row.get::<_, String>(3)).unwrap();
        let plan: Vec<String> = plan.map(Result::unwrap).collect();
        // A scan along the index ends with the first row, since the index is in the wanted order.
        assert!(
            plan.len() == 1 && (plan[0].contains("jobs_ready") || plan[0].contains("jobs_timed")),
            "{sql}: {plan:?}"
        );
    }
}

/// Whoever follows all jobs reads those that changed since, and nothing else.
#[tokio::test]
async fn what_changed_since_is_a_walk_along_an_index() {
    let (_folder, _store, connection) = opened().await;
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", super::watches::CHANGED_JOBS)).unwrap();
    let plan = statement.query_map([1, 1], |row| row.get::<_, String>(3)).unwrap();
    let plan: Vec<String> = plan.map(Result::unwrap).collect();
    assert!(plan.len() == 1 && plan[0].starts_with("SEARCH jobs USING INDEX jobs_by_version"), "{plan:?}");
}

#[tokio::test]
async fn jobs_whose_time_has_come_take_their_turn_by_rank_among_those_due_at_once() {
    use crate::job::Priority::{High, Low, Normal};
    let (_folder, store, _connection) = opened().await;
    let at = |second: u64| AT_ONCE.plus(Duration::from_secs(second));
    let mut ids = Vec::new();
    for (due, priority) in
        [(AT_ONCE, Normal), (at(5), High), (at(6), Low), (AT_ONCE, Low), (at(6), High), (at(50), High)]
    {
        let job = Job { due_at: Some(due), priority, ..example() };
        store.accept(Acceptance::of(job.clone())).await.unwrap();
        ids.push(job.id);
    }
    let turn = Turn { queue: example().queue(), from_rank: 0, without: Vec::new() };
    let mut order = Vec::new();
    loop {
        let claim = Claim { turn: &turn, holder: "exe_1", limits: Limits::default(), now: at(10) };
        let Claimed::Job(job) = store.claim(claim).await.unwrap() else { break };
        order.push(ids.iter().position(|id| *id == job.id).unwrap());
    }
    assert_eq!(order, [1, 4, 0, 2, 3], "high ones, the normal one, low ones; not what is due later");
    assert_eq!(store.next_due(at(10)).await.unwrap(), Some(at(50)));
}

#[tokio::test]
async fn the_heads_of_queues_are_the_first_of_what_is_due_in_each() {
    let (_folder, store, _connection) = opened().await;
    let at = |second: u64| AT_ONCE.plus(Duration::from_secs(second));
    let mut ids = Vec::new();
    for (template, due) in
        [("b", at(5)), ("b", AT_ONCE), ("a", at(5)), ("c", at(50)), ("d", AT_ONCE), ("d", AT_ONCE), ("e", at(1))]
    {
        let job = Job { due_at: Some(due), template: template.into(), ..example() };
        store.accept(Acceptance::of(job.clone())).await.unwrap();
        ids.push(job.id);
    }
    let heads = store.heads(at(10)).await.unwrap();
    let found: Vec<(&str, usize)> = heads
        .iter()
        .map(|head| (head.queue.template.as_str(), ids.iter().position(|id| *id == head.job).unwrap()))
        .collect();
    assert_eq!(found, [("a", 2), ("b", 0), ("d", 4), ("e", 6)]);
}

#[tokio::test]
async fn a_launch_that_is_out_is_the_head_of_its_queue_whatever_was_due_before_it() {
    use crate::job::Priority::Low;
    let (_folder, store, _connection) = opened().await;
    let at = |second: u64| AT_ONCE.plus(Duration::from_secs(second));
    let new = Job { due_at: Some(at(5)), priority: Low, ..example() };
    let out = Job { state: JobState::Launching, attempt_open: true, due_at: Some(at(6)), ..example() };
    let later = Job { due_at: Some(at(50)), id: runwarden_kit::id::new("job"), ..out.clone() };
    for job in [&new, &out, &later] {
        store.accept(Acceptance::of(job.clone())).await.unwrap();
    }
    let heads = store.heads(at(10)).await.unwrap();
    assert_eq!(heads.iter().map(|head| (&head.job, head.rank)).collect::<Vec<_>>(), [(&out.id, out.rank())]);
    assert_eq!(store.heads(at(5)).await.unwrap()[0].job, new.id);
    let turn = Turn { queue: example().queue(), from_rank: 0, without: Vec::new() };
    let claim = Claim { turn: &turn, holder: "exe_1", limits: Limits::default(), now: at(10) };
    let Claimed::Job(claimed) = store.claim(claim).await.unwrap() else { panic!("it is due") };
    assert_eq!(claimed.id, out.id);
}

#[tokio::test]
async fn a_clock_that_was_ahead_when_something_was_claimed_makes_nothing_else_due() {
    let (_folder, store, _connection) = opened().await;
    let at = |second: u64| AT_ONCE.plus(Duration::from_secs(second));
    let jobs = [1000, 1001].map(|second| Job { due_at: Some(at(second)), ..example() });
    for job in &jobs {
        store.accept(Acceptance::of(job.clone())).await.unwrap();
    }
    let turn = Turn { queue: example().queue(), from_rank: 0, without: Vec::new() };
    let claim = |now| Claim { turn: &turn, holder: "exe_1", limits: Limits::default(), now };
    assert!(matches!(store.claim(claim(at(5000))).await.unwrap(), Claimed::Job(_)));
    assert!(matches!(store.claim(claim(at(10))).await.unwrap(), Claimed::Nothing));
    assert_eq!(store.next_due(at(10)).await.unwrap(), Some(at(1001)));
}
