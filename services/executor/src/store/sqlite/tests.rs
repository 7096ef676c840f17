use std::collections::BTreeSet;
use std::time::Duration;

use runwarden_kit::audit::{Entry, OutboxStore as _};

use super::*;
use crate::attempt::AttemptState;
use crate::job::tests::example;
use crate::store::IdempotencyClaim;

async fn store() -> (tempfile::TempDir, SqliteJobs) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap();
    (folder, store)
}

fn accepting(job: &Job) -> Acceptance {
    Acceptance { job: job.clone(), idempotency: None, entries: Vec::new() }
}

fn claim_of(key: &str, digest: &str) -> Option<IdempotencyClaim> {
    Some(IdempotencyClaim { principal: "sa_1".into(), key_hash: key.into(), body_digest: digest.into() })
}

#[tokio::test]
async fn a_job_and_its_audit_entry_become_durable_together_or_not_at_all() {
    let (_folder, store) = store().await;
    let entry = Entry { entry_id: "rec_1".into(), ..Entry::default() };
    let first = example();
    store.accept(Acceptance { entries: vec![entry.clone()], ..accepting(&first) }).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 1);
    // The same entry id again fails the whole transaction.
    let second = example();
    assert!(store.accept(Acceptance { entries: vec![entry], ..accepting(&second) }).await.is_err());
    assert!(store.get("acme", &second.id).await.unwrap().is_none());
    store.remove(&["rec_1".into()]).await.unwrap();
    assert_eq!(store.pending(10).await.unwrap(), []);
}

#[tokio::test]
async fn the_same_key_finds_the_same_job_and_another_body_is_refused() {
    let (_folder, store) = store().await;
    let job = example();
    let acceptance = Acceptance { idempotency: claim_of("k", "a"), ..accepting(&job) };
    assert!(matches!(store.accept(acceptance).await.unwrap(), Accepted::New));
    let again = Acceptance { idempotency: claim_of("k", "a"), ..accepting(&example()) };
    match store.accept(again).await.unwrap() {
        Accepted::Replayed(earlier) => assert_eq!(earlier.id, job.id),
        other => panic!("{other:?}"),
    }
    let other = Acceptance { idempotency: claim_of("k", "b"), ..accepting(&example()) };
    assert!(matches!(store.accept(other).await.unwrap(), Accepted::KeyReused));
    // Another tenant's key is another key.
    let foreign = Job { tenant: "other".into(), ..example() };
    let acceptance = Acceptance { idempotency: claim_of("k", "b"), ..accepting(&foreign) };
    assert!(matches!(store.accept(acceptance).await.unwrap(), Accepted::New));
}

#[tokio::test]
async fn a_tenant_sees_its_own_jobs_and_a_project_member_its_projects_only() {
    let (_folder, store) = store().await;
    let mine = example();
    let hidden = Job { project: "db".into(), ..example() };
    let foreign = Job { tenant: "other".into(), ..example() };
    for job in [&mine, &hidden, &foreign] {
        store.accept(accepting(job)).await.unwrap();
    }
    assert!(store.get("acme", &foreign.id).await.unwrap().is_none());
    let filter = |visible| JobFilter {
        tenant: "acme".into(),
        visible,
        states: Vec::new(),
        template: None,
        project: None,
        created_after: None,
        before: None,
        limit: 1,
    };
    let web = Visible::Projects(BTreeSet::from(["web".to_owned()]));
    let page = store.list(filter(web.clone())).await.unwrap();
    assert_eq!(page.iter().map(|j| &j.id).collect::<Vec<_>>(), [&mine.id]);
    let next = JobFilter { before: Some(mine.id.clone()), ..filter(web) };
    assert!(store.list(next).await.unwrap().is_empty(), "hidden rows must not be paged through");
    assert!(store.list(filter(Visible::Projects(BTreeSet::new()))).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_claimed_job_is_nobody_elses_until_its_lease_ends() {
    let (_folder, store) = store().await;
    let job = example();
    store.accept(accepting(&job)).await.unwrap();
    let now = Moment::from_micros(10);
    let until = now.plus(Duration::from_secs(30));
    let claimed = store.claim(now, until, &Full::default()).await.unwrap().unwrap();
    assert_eq!((claimed.id.as_str(), claimed.lease.fence), (job.id.as_str(), 1));
    assert!(store.claim(now, until, &Full::default()).await.unwrap().is_none());
    let later = store.claim(until, until.plus(Duration::from_secs(30)), &Full::default()).await.unwrap().unwrap();
    assert_eq!(later.lease.fence, 2, "the late worker can be told from the new one");
}

#[tokio::test]
async fn jobs_of_those_without_a_place_are_passed_over() {
    let (_folder, store) = store().await;
    let now = Moment::from_micros(10);
    let until = now.plus(Duration::from_secs(30));
    let of = |tenant: &str, controller: &str| Job { tenant: tenant.into(), controller: controller.into(), ..example() };
    for job in [of("evil", "hangs"), of("evil", "works"), of("acme", "hangs")] {
        store.accept(accepting(&job)).await.unwrap();
    }
    let whose = |job: Option<Job>| job.map(|job| (job.tenant, job.controller));
    let pair = |tenant: &str, controller: &str| Some((tenant.to_owned(), controller.to_owned()));
    let evil = Full { tenants: vec!["evil".into()], controllers: Vec::new() };
    assert_eq!(whose(store.claim(now, until, &evil).await.unwrap()), pair("acme", "hangs"));
    assert_eq!(store.next_due(&evil).await.unwrap(), Some(until), "the lease of what was claimed");
    let hangs = Full { tenants: Vec::new(), controllers: vec![("evil".into(), "hangs".into())] };
    assert_eq!(whose(store.claim(now, until, &hangs).await.unwrap()), pair("evil", "works"));
    assert_eq!(whose(store.claim(now, until, &hangs).await.unwrap()), None);
    assert_eq!(whose(store.claim(now, until, &Full::default()).await.unwrap()), pair("evil", "hangs"));
}

#[tokio::test]
async fn no_run_is_bound_to_two_jobs() {
    let (_folder, store) = store().await;
    let bind = |job: &mut Job, _| {
        job.state = JobState::Running;
        job.run = Some(crate::job::Run { installation: "https://awx".into(), kind: "job".into(), id: 7 });
        Ok(Some(Effects::told()))
    };
    let (a, b) = (example(), example());
    for job in [&a, &b] {
        store.accept(accepting(job)).await.unwrap();
    }
    store.update(&a.id, Moment::from_micros(2), Box::new(bind)).await.unwrap();
    assert!(store.update(&b.id, Moment::from_micros(2), Box::new(bind)).await.is_err());
    assert_eq!(store.bound("https://awx", &[6, 7]).await.unwrap(), [7]);
    assert_eq!(store.get("acme", &b.id).await.unwrap().unwrap().state, JobState::New);
}

#[tokio::test]
async fn output_is_read_back_byte_for_byte_from_any_offset() {
    let (_folder, store) = store().await;
    let job = example();
    store.accept(accepting(&job)).await.unwrap();
    for piece in ["PLAY [all] ***\n", "ok: [hôst]\n", "ende\n"] {
        let effects = Effects { output: Some(piece.into()), ..Effects::default() };
        store.update(&job.id, Moment::from_micros(2), Box::new(move |_, _| Ok(Some(effects)))).await.unwrap();
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

fn intent(job: &Job, placement: &str) -> Attempt {
    Attempt {
        job_id: job.id.clone(),
        number: 1,
        installation: "https://awx".into(),
        controller_template: 9,
        account: 1,
        marker: "rw_1".into(),
        placement: placement.into(),
        sent_at: Moment::from_micros(1),
        state: AttemptState::Intent,
    }
}

fn beginning(attempt: Attempt) -> Begin {
    Begin { attempt, fence: 1, max_concurrent: 0, now: Moment::from_micros(20), entries: Vec::new() }
}

async fn two_claimed_jobs(store: &SqliteJobs) -> (Job, Job) {
    let (a, b) = (example(), example());
    let (now, until) = (Moment::from_micros(10), Moment::from_micros(1_000_000));
    for job in [&a, &b] {
        store.accept(accepting(job)).await.unwrap();
        store.claim(now, until, &Full::default()).await.unwrap().unwrap();
    }
    (a, b)
}

#[tokio::test]
async fn an_open_attempt_without_a_marker_blocks_every_other_launch_of_its_template() {
    let (_folder, store) = store().await;
    let (a, b) = two_claimed_jobs(&store).await;
    let first = intent(&a, "none");
    assert!(matches!(store.begin_attempt(beginning(first.clone())).await.unwrap(), Begun::Yes(_)));
    let marked = beginning(intent(&b, "extra_var"));
    assert!(matches!(store.begin_attempt(marked.clone()).await.unwrap(), Begun::Blocked));
    let elsewhere = Attempt { controller_template: 10, ..intent(&b, "none") };
    assert!(matches!(store.begin_attempt(beginning(elsewhere.clone())).await.unwrap(), Begun::Yes(_)));
    // Once it is known what became of it, it stands in nobody's way.
    let settled = Effects::default().with_attempt(Attempt { state: AttemptState::Bound { run_id: 3 }, ..first });
    store.update(&a.id, Moment::from_micros(30), Box::new(move |_, _| Ok(Some(settled)))).await.unwrap();
    let again = Begin { attempt: Attempt { number: 2, ..intent(&b, "none") }, ..marked };
    assert!(matches!(store.begin_attempt(again.clone()).await.unwrap(), Begun::Lost), "its own is still open");
    let nothing = AttemptState::NotLaunched { why: "refused".into() };
    let settled = Effects::default().with_attempt(Attempt { state: nothing, ..elsewhere });
    store.update(&b.id, Moment::from_micros(30), Box::new(move |_, _| Ok(Some(settled)))).await.unwrap();
    assert!(matches!(store.begin_attempt(again).await.unwrap(), Begun::Yes(_)));
}

#[tokio::test]
async fn an_intent_is_refused_to_who_lost_the_claim_and_after_a_cancel() {
    let (_folder, store) = store().await;
    let (a, b) = two_claimed_jobs(&store).await;
    let late = Begin { fence: 0, ..beginning(intent(&a, "extra_var")) };
    assert!(matches!(store.begin_attempt(late).await.unwrap(), Begun::Lost));
    let cancel = |job: &mut Job, _| job.request_cancel(Moment::from_micros(30)).map(|()| Some(Effects::told()));
    store.update(&b.id, Moment::from_micros(30), Box::new(cancel)).await.unwrap();
    assert!(matches!(store.begin_attempt(beginning(intent(&b, "extra_var"))).await.unwrap(), Begun::Lost));
    let repeated = Attempt { number: 2, ..intent(&a, "extra_var") };
    assert!(matches!(store.begin_attempt(beginning(repeated)).await.unwrap(), Begun::Lost), "numbers leave no gap");
}

#[tokio::test]
async fn no_more_jobs_of_a_template_launch_at_once_than_it_allows() {
    let (_folder, store) = store().await;
    let (a, b) = two_claimed_jobs(&store).await;
    let one = |job| Begin { max_concurrent: 1, ..beginning(intent(job, "extra_var")) };
    assert!(matches!(store.begin_attempt(one(&a)).await.unwrap(), Begun::Yes(_)));
    assert!(matches!(store.begin_attempt(one(&b)).await.unwrap(), Begun::Full));
}
