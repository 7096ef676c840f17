//! What is asked before an attempt, and what becomes of the job.

use runwarden_kit::audit::Outcome;
use runwarden_kit::contract::Lapse;

use super::*;
use crate::launch::authority::{Principal, Standing};
use crate::ports::{Decision, Evaluation};
use crate::test_doubles::{SHOWN_IN_TESTS, yes};

async fn outbox(world: &World) -> Vec<runwarden_kit::audit::Entry> {
    use runwarden_kit::audit::OutboxStore as _;
    world.store().await.pending("acme", 100).await.unwrap()
}

/// Has everything that is due taken one step further.
async fn go_on(launcher: &Launcher) {
    let scheduler =
        Scheduler::new(8, launcher.shared.known.clone(), launcher.shared.breaker.clone(), launcher.shared.work.clone());
    while let Some((job, _place)) = launcher.claim(&scheduler, &mut Heads::default()).await.unwrap() {
        let holding = Holding::of(&job, launcher.shared.store.clone());
        launcher.take_further(job, &scheduler).await;
        holding.let_go().await;
    }
}

#[tokio::test]
async fn a_job_whose_client_was_deleted_or_whose_policies_changed_is_not_launched() {
    let world = World::new(22).await;
    let launcher = world.executor("a", 0).await;
    for (standing, verdict, reason) in [
        (Standing::Lapsed(Lapse::Gone), None, "authority_revoked"),
        (Standing::Lapsed(Lapse::NotPermitted), None, "authority_revoked"),
        (Standing::Lapsed(Lapse::TenantClosed), None, "tenant_disabled"),
        (Standing::Holds(Principal::default()), Some(no()), "policy_denied"),
    ] {
        *world.said.standing.lock().unwrap() = Some(Ok(standing));
        *world.said.verdict.lock().unwrap() = verdict.clone().map(|no| Ok(Evaluation::Decided(no)));
        let job = world.accept().await;
        go_on(&launcher).await;
        let ended = world.job(&job.id).await;
        assert_eq!((ended.state, ended.reason.as_deref()), (JobState::Error, Some(reason)));
        let entries: Vec<_> = outbox(&world).await.into_iter().filter(|entry| entry.object_id == job.id).collect();
        let record = entries.iter().find(|entry| entry.action == "job.authorize").expect("it is on record");
        assert_eq!(record.outcome(), Outcome::Denied);
        let decided = verdict.map(|no| (no.id, no.policy_digest)).unwrap_or_default();
        assert_eq!((record.decision_id.clone(), record.policy_digest.clone()), decided);
        assert!(
            record.details_json.contains(&format!("\"accepted_by\":\"{}\"", job.decision_id)),
            "{}",
            record.details_json
        );
        assert!(entries.iter().any(|entry| entry.action == "job.finish"));
    }
    assert_eq!(world.sandbox.launched(), 0);
}

#[tokio::test]
async fn while_nobody_can_be_asked_a_job_waits_and_then_launches_on_the_new_decision() {
    let world = World::new(22).await;
    let launcher = world.executor("a", 0).await;
    let job = world.accept().await;
    let away = || Some(Err(Error::unavailable("away")));
    let failing = || Some(Ok(Evaluation::Failed(no())));
    for (standing, verdict) in [(away(), None), (None, Some(Err(Error::unavailable("away")))), (None, failing())] {
        *world.said.standing.lock().unwrap() = standing;
        *world.said.verdict.lock().unwrap() = verdict;
        go_on(&launcher).await;
        let waits = world.job(&job.id).await;
        assert!(waits.state == JobState::New && waits.progress.starts_with("waiting"), "{waits:?}");
        assert_eq!(waits.attempts, 0);
        hurry(&world, &job).await;
    }
    assert_eq!(world.sandbox.launched(), 0);
    *world.said.verdict.lock().unwrap() = None;
    go_on(&launcher).await;
    assert_eq!((world.job(&job.id).await.state, world.sandbox.launched()), (JobState::Running, 1));
    let entries = outbox(&world).await;
    let launch = entries.iter().find(|entry| entry.action == "job.launch").unwrap();
    let now = yes();
    assert_eq!((&launch.decision_id, &launch.policy_digest), (&now.id, &now.policy_digest));
    assert!(launch.details_json.contains("\"decided_again\":true") && launch.details_json.contains("input of now"));
}

#[tokio::test]
async fn what_was_shown_a_moment_ago_is_not_asked_again_and_what_was_shown_before_that_is() {
    let world = World::new(22).await;
    let launcher = world.executor("a", 0).await;
    let fresh = world.accept().await;
    launcher.authority.shown.note(&fresh.id, Instant::now());
    go_on(&launcher).await;
    assert_eq!((world.sandbox.launched(), world.said.asked()), (1, 0));
    let launch = outbox(&world).await.into_iter().find(|entry| entry.action == "job.launch").unwrap();
    assert_eq!(launch.decision_id, fresh.decision_id, "launched on the decision it was accepted by");
    let older = world.accept().await;
    launcher.authority.shown.note(&older.id, Instant::now().checked_sub(SHOWN_IN_TESTS).unwrap());
    go_on(&launcher).await;
    assert_eq!((world.sandbox.launched(), world.said.asked()), (2, 1));
}

#[tokio::test]
async fn what_is_out_is_looked_for_without_asking_and_another_attempt_is_not_made_without() {
    let world = World::new(22).await;
    let launcher = world.executor("a", 0).await;
    let job = world.accept().await;
    world.fault(json!({"kind": "lose_before"})).await;
    go_on(&launcher).await;
    assert!(launcher.shared.store.last_attempt(&job.id).await.unwrap().unwrap().is_open());
    assert_eq!(world.said.asked(), 1);
    *world.said.standing.lock().unwrap() = Some(Ok(Standing::Lapsed(Lapse::Disabled)));
    // Long after: everything it could have become is over.
    let later = world.executor("b", 3600).await;
    let mut now = world.job(&job.id).await;
    while !now.state.is_end() {
        hurry(&world, &job).await;
        go_on(&later).await;
        now = world.job(&job.id).await;
    }
    assert_eq!(now.reason.as_deref(), Some("authority_revoked"));
    assert_eq!((now.attempts, world.sandbox.launched()), (1, 0));
    let last = later.shared.store.last_attempt(&job.id).await.unwrap().unwrap();
    assert!(matches!(last.state, AttemptState::NotLaunched { .. }), "the absence was proven first: {last:?}");
}

/// A refusal of now.
fn no() -> Decision {
    let reasons = vec!["not on fridays".to_owned()];
    Decision {
        allowed: false,
        reasons,
        id: "dec_no".into(),
        policy_digest: "other policies".into(),
        ..Decision::default()
    }
}

/// As if the pause before the next look had passed.
async fn hurry(world: &World, job: &Job) {
    let hurry = |job: &mut Job, _: Option<Attempt>, _| {
        job.look_now();
        Ok(Some(Effects::default()))
    };
    world.store().await.change(&job.id, Moment::from_micros(1), None, &hurry).await.unwrap();
}
