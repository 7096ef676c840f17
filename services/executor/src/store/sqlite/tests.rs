use std::collections::BTreeSet;

use prost::Message as _;
use runwarden_kit::audit::OutboxStore as _;
use runwarden_kit::caller::Visible;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use sqlx::Row as _;

use super::*;
use crate::job::tests::example;
use crate::job::{Attempt, Job, JobState, Run, Stray};
use crate::store::{
    Acceptance, Accepted, Effects, Executors as _, Happening, IdempotencyClaim, JobFilter, JobStore as _, Queues as _,
    Room, StrayRuns as _, Watches as _,
};
use crate::test_doubles::installation;
use crate::wait::scheduler::Goal;

async fn store() -> (tempfile::TempDir, SqliteJobs) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap();
    (folder, store)
}

fn run(id: i64, created: i64) -> Run {
    let created = Some(Moment::from_micros(created));
    Run { installation: installation(1), kind: "job".into(), id, template: Some(9), created }
}

fn accepting(job: &Job) -> Acceptance {
    Acceptance::of(job.clone())
}

fn claim_of(key: &str, digest: &str) -> Option<IdempotencyClaim> {
    Some(IdempotencyClaim { principal: "sa_1".into(), key_hash: key.into(), body_digest: digest.into() })
}

#[tokio::test]
async fn a_job_and_its_audit_entry_become_durable_together_or_not_at_all() {
    let (_folder, store) = store().await;
    let entry = Entry { entry_id: "rec_1".into(), ..Entry::default() };
    let first = example();
    store.accept(Acceptance { entries: vec![entry], ..accepting(&first) }).await.unwrap();
    assert_eq!(store.count("").await.unwrap(), 1);
    // An entry that cannot be written fails the whole transaction.
    sqlx::raw_sql(
        "CREATE TRIGGER refuse BEFORE INSERT ON outbox WHEN NEW.entry_id = 'rec_2' BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    .execute(&store.engine.database.write)
    .await
    .unwrap();
    let second = example();
    let entries = vec![Entry { entry_id: "rec_2".into(), ..Entry::default() }];
    assert!(store.accept(Acceptance { entries, ..accepting(&second) }).await.is_err());
    assert!(store.get(&TenantId::trusted("acme"), &second.id).await.unwrap().is_none());
    store.settle("", &["rec_1".into()], &[]).await.unwrap();
    assert_eq!(store.pending("", 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_was_asked_is_kept_once_and_shown_with_everything_that_happens() {
    let (_folder, store) = store().await;
    let parameters = serde_json::json!({"version": "a long text ".repeat(1000)});
    let parameters = parameters.as_object().unwrap().clone();
    let job = Job { parameters, sealed_parameters: Some("c2VhbGVk".into()), ..example() };
    store.accept(accepting(&job)).await.unwrap();
    for _ in 0..3 {
        let told = |_: &mut Job, _: Option<Attempt>, _| Ok(Some(Effects::announced()));
        store.change(&job.id, Moment::from_micros(2), None, &told).await.unwrap();
    }
    let events = store.events(&job.id, 0, 10).await.unwrap();
    assert_eq!(events.len(), 4);
    for event in events {
        let Happening::State(told) = event.what else { panic!("{event:?}") };
        assert_eq!((&told.parameters, &told.sealed_parameters), (&job.parameters, &job.sealed_parameters));
    }
    let sql = "SELECT max(length(payload)) AS longest FROM job_events";
    let row = sqlx::query(sql).fetch_one(&store.engine.database.read).await.unwrap();
    assert!(row.get::<i64, _>("longest") < 4000, "{}", row.get::<i64, _>("longest"));
    assert_eq!(store.get(&TenantId::trusted("acme"), &job.id).await.unwrap().unwrap().parameters, job.parameters);
}

#[tokio::test]
async fn the_same_key_finds_the_same_job_and_another_body_is_refused() {
    let (_folder, store) = store().await;
    let job = example();
    let acceptance = Acceptance { idempotency: claim_of("k", "a"), ..accepting(&job) };
    assert!(matches!(store.accept(acceptance).await.unwrap(), Accepted::New(_)));
    let again = Acceptance { idempotency: claim_of("k", "a"), ..accepting(&example()) };
    match store.accept(again).await.unwrap() {
        Accepted::Replayed(earlier) => assert_eq!(earlier.id, job.id),
        other => panic!("{other:?}"),
    }
    let other = Acceptance { idempotency: claim_of("k", "b"), ..accepting(&example()) };
    assert!(matches!(store.accept(other).await.unwrap(), Accepted::KeyReused));
    // Another tenant's key is another key.
    let foreign = Job { tenant: TenantId::trusted("other"), ..example() };
    let acceptance = Acceptance { idempotency: claim_of("k", "b"), ..accepting(&foreign) };
    assert!(matches!(store.accept(acceptance).await.unwrap(), Accepted::New(_)));
}

#[tokio::test]
async fn a_tenant_sees_its_own_jobs_and_a_project_member_its_projects_only() {
    let (_folder, store) = store().await;
    let mine = example();
    let hidden = Job { project: "db".into(), ..example() };
    let foreign = Job { tenant: TenantId::trusted("other"), ..example() };
    for job in [&mine, &hidden, &foreign] {
        store.accept(accepting(job)).await.unwrap();
    }
    assert!(store.get(&TenantId::trusted("acme"), &foreign.id).await.unwrap().is_none());
    let acme = TenantId::trusted("acme");
    let one = JobFilter { limit: 1, ..JobFilter::default() };
    let web = Visible::Projects(BTreeSet::from(["web".to_owned()]));
    let page = store.list(&acme, &web, one.clone()).await.unwrap();
    assert_eq!(page.iter().map(|j| &j.id).collect::<Vec<_>>(), [&mine.id]);
    let next = JobFilter { before: Some(mine.id.clone()), ..one.clone() };
    assert!(store.list(&acme, &web, next).await.unwrap().is_empty(), "hidden rows must not be paged through");
    assert!(store.list(&acme, &Visible::Projects(BTreeSet::new()), one).await.unwrap().is_empty());
}

#[tokio::test]
async fn no_run_is_bound_to_two_jobs() {
    let (_folder, store) = store().await;
    let bind = |job: &mut Job, _, _| {
        job.state = JobState::Running;
        job.run = Some(run(7, 100));
        Ok(Some(Effects::announced()))
    };
    let (a, b, c) = (example(), example(), example());
    for job in [&a, &b, &c] {
        store.accept(accepting(job)).await.unwrap();
    }
    store.change(&a.id, Moment::from_micros(2), None, &bind).await.unwrap();
    assert!(store.change(&b.id, Moment::from_micros(2), None, &bind).await.is_err());
    let bound: Vec<Run> = store.bound(&[6, 7]).await.unwrap().into_iter().map(|bound| bound.run).collect();
    assert_eq!(bound, [run(7, 100)]);
    assert_eq!(store.get(&TenantId::trusted("acme"), &b.id).await.unwrap().unwrap().state, JobState::New);
    // Whoever is about to bind it is told so; another run that got its id is another run, and can be bound.
    for (found, taken) in [(run(7, 100), true), (run(7, 200), false)] {
        let change = |job: &mut Job, _: Option<Attempt>, held: bool| {
            assert_eq!(held, taken);
            if held {
                return Ok(None);
            }
            job.state = JobState::Running;
            job.run = Some(found.clone());
            Ok(Some(Effects::announced()))
        };
        store.change(&c.id, Moment::from_micros(2), Some(&found), &change).await.unwrap();
    }
    assert_eq!(store.get(&TenantId::trusted("acme"), &c.id).await.unwrap().unwrap().run, Some(run(7, 200)));
    let by = async |micros| store.latest_run(&installation(1), Moment::from_micros(micros)).await;
    assert_eq!(by(99).await.unwrap(), None);
    assert_eq!(by(150).await.unwrap(), Some(run(7, 100)));
    assert_eq!(by(300).await.unwrap(), Some(run(7, 200)));
}

#[tokio::test]
async fn runs_that_should_not_be_are_kept_until_they_are_settled() {
    let (_folder, store) = store().await;
    let job = example();
    store.accept(accepting(&job)).await.unwrap();
    let stray = Stray {
        tenant: TenantId::trusted("acme"),
        job: job.id.clone(),
        attempt: 1,
        controller: "awx".into(),
        run: run(7, 100),
        found_at: Moment::from_micros(5),
        due_at: crate::job::AT_ONCE,
        looks: 0,
    };
    let effects = Effects { stray: Some(stray.clone()), ..Effects::default() };
    let change = |_: &mut Job, _: Option<Attempt>, _| Ok(Some(effects.clone()));
    store.change(&job.id, Moment::from_micros(5), None, &change).await.unwrap();
    let now = Moment::from_micros(10);
    assert_eq!(store.strays(now, 10).await.unwrap(), std::slice::from_ref(&stray));
    assert!(store.take_stray(&stray, now.plus(std::time::Duration::from_secs(60))).await.unwrap());
    assert!(!store.take_stray(&stray, now).await.unwrap(), "somebody else has it");
    assert!(store.strays(now, 10).await.unwrap().is_empty());
    let looked = Stray { due_at: now, looks: 1, ..stray };
    store.keep_stray(&looked).await.unwrap();
    assert_eq!(store.strays(now, 10).await.unwrap(), std::slice::from_ref(&looked));
    for entries in [1, 1] {
        store
            .settle_stray(&looked, Entry { entry_id: "settled".into(), tenant: "acme".into(), ..Entry::default() })
            .await
            .unwrap();
        assert_eq!((store.count_strays().await.unwrap(), store.count("acme").await.unwrap()), (0, entries));
    }
}

#[tokio::test]
async fn output_is_read_back_byte_for_byte_from_any_offset() {
    let (_folder, store) = store().await;
    let job = example();
    store.accept(accepting(&job)).await.unwrap();
    for piece in ["PLAY [all] ***\n", "ok: [hôst]\n", "ende\n"] {
        let effects = Effects { output: Some(piece.into()), ..Effects::default() };
        store.change(&job.id, Moment::from_micros(2), None, &|_, _, _| Ok(Some(effects.clone()))).await.unwrap();
    }
    let whole = "PLAY [all] ***\nok: [hôst]\nende\n";
    for offset in (0..=whole.len()).filter(|at| whole.is_char_boundary(*at)) {
        assert_eq!(store.output(&job.id, offset as u64, 1000).await.unwrap(), whole[offset..]);
    }
    assert_eq!(store.output(&job.id, 0, 4).await.unwrap(), "PLAY");
    assert_eq!(store.output(&job.id, 9999, 4).await.unwrap(), "");
    let events = store.events(&job.id, 1, 10).await.unwrap();
    assert_eq!(events.len(), 3, "after the state event that acceptance wrote");
    assert_eq!(events[1].what, Happening::Output("ok: [hôst]\n".into()));
}

#[tokio::test]
async fn more_jobs_than_may_wait_are_refused_and_repeats_are_not() {
    let (_folder, store) = store().await;
    let room = Room { of_template: 2, of_tenant: 3 };
    let accept = async |job: Job| store.accept(Acceptance { room, ..accepting(&job) }).await.unwrap();
    let full = |accepted: Accepted| match accepted {
        Accepted::QueueFull { of, .. } => Some(of),
        Accepted::New(_) | Accepted::Replayed(_) | Accepted::KeyReused => None,
    };
    let first = example();
    let keyed = Acceptance { room, idempotency: claim_of("k", "a"), ..accepting(&first) };
    assert!(matches!(store.accept(keyed.clone()).await.unwrap(), Accepted::New(_)));
    assert_eq!(full(accept(example()).await), None);
    assert_eq!(full(accept(example()).await), Some("template"));
    let other = || Job { template: "other".into(), ..example() };
    assert_eq!(full(accept(other()).await), None);
    assert_eq!(full(accept(other()).await), Some("tenant"));
    assert_eq!(full(accept(Job { tenant: TenantId::trusted("neighbour"), ..example() }).await), None);
    let again = Acceptance { job: example(), ..keyed };
    assert!(matches!(store.accept(again).await.unwrap(), Accepted::Replayed(_)), "it is in the queue already");
    // What was begun waits no more.
    let begin = |job: &mut Job, _, _| job.become_state(JobState::Launching).map(|()| Some(Effects::announced()));
    store.change(&first.id, Moment::from_micros(2), None, &begin).await.unwrap();
    assert_eq!(full(accept(example()).await), None);
}

#[tokio::test]
async fn who_follows_jobs_reads_on_from_where_they_were() {
    let (_folder, store) = store().await;
    let (a, b) = (example(), example());
    for job in [&a, &b] {
        store.accept(accepting(job)).await.unwrap();
    }
    let before = store.version().await.unwrap();
    let bind = |job: &mut Job, _, _| {
        job.state = JobState::Running;
        job.run = Some(run(7, 100));
        Ok(Some(Effects::announced()))
    };
    store.change(&a.id, Moment::from_micros(2), None, &bind).await.unwrap();
    let changed = store.changed(before, 10).await.unwrap();
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].running.as_ref().map(|job| &job.id), Some(&a.id));
    assert_eq!(store.running("", 10).await.unwrap().len(), 1);
    assert!(store.running(&a.id, 10).await.unwrap().is_empty());
    let end = |job: &mut Job, _, _| {
        job.end(JobState::Succeeded, Moment::from_micros(3), None).map(|()| Some(Effects::announced()))
    };
    store.change(&a.id, Moment::from_micros(3), None, &end).await.unwrap();
    let after = store.changed(changed[0].version, 10).await.unwrap();
    assert!(after.len() == 1 && after[0].running.is_none() && after[0].id == a.id);
    assert!(store.changed(after[0].version, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn one_executor_follows_a_controller_until_it_is_gone() {
    let (_folder, store) = store().await;
    assert!(store.watch(&TenantId::trusted("acme"), "awx", "exe_1").await.unwrap());
    assert!(!store.watch(&TenantId::trusted("acme"), "awx", "exe_2").await.unwrap());
    assert!(store.watch(&TenantId::trusted("acme"), "awx", "exe_1").await.unwrap());
    assert!(store.watch(&TenantId::trusted("acme"), "other", "exe_2").await.unwrap());
    store.beat("exe_1").await.unwrap();
    let shown = store.beats("exe_2").await.unwrap();
    store.beat("exe_1").await.unwrap();
    assert_eq!(store.free(&shown[0]).await.unwrap(), None, "it has moved");
    let shown = store.beats("exe_2").await.unwrap();
    assert_eq!(store.free(&shown[0]).await.unwrap(), Some(0));
    assert!(store.watch(&TenantId::trusted("acme"), "awx", "exe_2").await.unwrap());
    store.unwatch("exe_2").await.unwrap();
    assert!(store.watch(&TenantId::trusted("acme"), "other", "exe_1").await.unwrap());
}

#[tokio::test]
async fn what_an_earlier_version_kept_is_known_by_what_is_known_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let earlier = runwarden_engines::sqlite::open(&path, &MIGRATIONS[..3]).await.unwrap();
    let job = Job { state: JobState::Running, launched_at: Some(Moment::from_micros(50)), ..example() };
    let mut document = serde_json::to_value(&job).unwrap();
    document["run"] = serde_json::json!({"installation": "https://AWX.example/api/v2", "kind": "job", "id": 7});
    sqlx::query(
        "INSERT INTO jobs (id, tenant, project, template, state, created_at, installation, run_id, document)
         VALUES (?, 'acme', 'web', 'deploy', 'running', 1, 'https://AWX.example/api/v2', 7, ?)",
    )
    .bind(&job.id)
    .bind(document.to_string())
    .execute(&earlier.write)
    .await
    .unwrap();
    sqlx::query("INSERT INTO attempts VALUES (?, 1, 'https://AWX.example/api/v2', 9, 1, 0, '{}')")
        .bind(&job.id)
        .execute(&earlier.write)
        .await
        .unwrap();
    earlier.write.close().await;
    earlier.read.close().await;
    let store = SqliteJobs::open(&path).await.unwrap();
    let kept = store.running("", 10).await.unwrap().remove(0).run.unwrap();
    assert_eq!((kept.template, kept.created, kept.installation.address()), (Some(9), None, "https://awx.example"));
    // Its id is taken for runs of its time, and free for one that got it long after.
    let known = |created: u64| Run {
        installation: kept.installation.clone(),
        created: Some(Moment::from_micros(50).plus(std::time::Duration::from_secs(created))),
        ..run(7, 0)
    };
    let bound = store.bound(&[7]).await.unwrap();
    assert!(bound[0].is(&known(1)) && !bound[0].is(&known(7200)));
}

#[tokio::test]
async fn what_was_kept_beside_jobs_in_two_trees_is_there_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let earlier = runwarden_engines::sqlite::open(&path, &MIGRATIONS[..7]).await.unwrap();
    let job = example();
    let entry = |id: &str, tenant: &str| Entry { entry_id: id.into(), tenant: tenant.into(), ..Entry::default() };
    let attempt: Attempt = serde_json::from_value(serde_json::json!({
        "job_id": job.id, "number": 1, "installation": "https://awx.example/api/v2", "controller_template": 9,
        "account": 1, "marker": "", "placement": "none", "sent_at": 5, "state": {"is": "intent"},
    }))
    .unwrap();
    let insert = |sql: &'static str| sqlx::query(sql).bind(job.id.clone());
    for statement in [
        insert(
            "INSERT INTO jobs (id, tenant, project, template, controller, state, created_at, document)
             VALUES (?, 'acme', 'web', 'deploy', 'awx', 'launching', 1, ?)",
        )
        .bind(serde_json::to_string(&job).unwrap()),
        insert("INSERT INTO attempts VALUES (?, 1, 'https://awx.example/api/v2', 9, 0, 1, ?)")
            .bind(serde_json::to_string(&attempt).unwrap()),
        insert("INSERT INTO job_events VALUES (?, 2, 7, 'output', 'later', 6)"),
        insert("INSERT INTO job_events VALUES (?, 1, 6, 'output', 'first ', 0)"),
        insert("INSERT INTO idempotency VALUES ('acme', 'sa_1', 'key', 'digest', ?, 1)"),
        sqlx::query("INSERT INTO outbox (number, entry_id, tenant, entry) VALUES (7, 'rec_7', 'acme', ?)")
            .bind(entry("rec_7", "acme").encode_to_vec()),
        sqlx::query("INSERT INTO outbox (number, entry_id, tenant, entry) VALUES (4, 'rec_4', NULL, ?)")
            .bind(entry("rec_4", "acme").encode_to_vec()),
    ] {
        statement.execute(&earlier.write).await.unwrap();
    }
    earlier.close().await;

    let store = SqliteJobs::open(&path).await.unwrap();
    assert_eq!(store.attempts(&job.id).await.unwrap(), std::slice::from_ref(&attempt));
    let other = Goal { installation: attempt.installation.clone(), controller_template: 9, marked: true };
    assert!(store.is_in_the_way(&other).await.unwrap(), "it has no marker, and is open");
    assert_eq!(store.output(&job.id, 0, 100).await.unwrap(), "first later");
    let (digest, made) = store.find_by_key(&job.tenant, "sa_1", "key").await.unwrap().unwrap();
    assert_eq!((digest.as_str(), made.id.as_str()), ("digest", job.id.as_str()));
    store.accept(Acceptance { entries: vec![entry("rec_0", "acme")], ..accepting(&example()) }).await.unwrap();
    assert_eq!(store.waiting().await.unwrap(), ["acme"]);
    let waiting = store.pending("acme", 9).await.unwrap();
    assert_eq!(waiting, [entry("rec_4", "acme"), entry("rec_7", "acme"), entry("rec_0", "acme")], "in their order");
}

#[tokio::test]
#[should_panic(expected = "Job(\"job_1\") was not asked for")]
async fn a_step_that_nothing_serialises_fails_its_test() {
    let (_folder, store) = store().await;
    let step = store.engine.transaction((), |(), rows| {
        Box::pin(async move {
            rows.serialise(Serialise::Job("job_2".into())).await?;
            rows.job("job_1").await
        })
    });
    let _job = step.await;
}

#[tokio::test]
#[should_panic(expected = "others may wait in a circle")]
async fn what_is_serialised_out_of_order_fails_its_test() {
    let (_folder, store) = store().await;
    let step = store.engine.transaction((), |(), rows| {
        Box::pin(async move {
            rows.serialise(Serialise::Run(7)).await?;
            rows.serialise(Serialise::Job("job_1".into())).await
        })
    });
    let _done = step.await;
}

#[tokio::test]
async fn a_transaction_that_waits_for_something_else_fails_and_leaves_nothing() {
    let (_folder, store) = store().await;
    let waits = store.engine.transaction((), |(), rows| {
        Box::pin(async move {
            rows.beat("exe_1").await?;
            tokio::task::yield_now().await;
            Ok(())
        })
    });
    waits.await.unwrap_err();
    assert!(store.beats("").await.unwrap().is_empty());
}
