//! What a look for a lost launch may conclude, and from which moment.

use runwarden_kit::caller::{self, Caller};
use runwarden_kit::contract::RequestInfo;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;

use super::*;
use crate::launch::resolver::{Resolver, Said};

/// An empty list, whatever there is.
fn nothing() -> serde_json::Value {
    json!({"kind": "garbage", "json": {"count": 0, "next": null, "previous": null, "results": []}, "status": 200})
}

#[tokio::test]
async fn a_search_is_judged_by_the_moment_it_began_and_not_by_when_it_ended() {
    let world = World::new(22).await;
    let job = world.lost(json!({"kind": "lose_after"})).await;
    let launcher = world.executor("a", 0).await;
    let attempt = launcher.shared.store.last_attempt(&job.id).await.unwrap().unwrap();
    let over_at = launcher.patience.over_at(&attempt);
    // The search shows what there was just before all that can come has come; by its end that moment has passed.
    let before = over_at.minus(Duration::from_millis(200));
    let after = over_at.plus(Duration::from_millis(300));
    let clock = Arc::new(Rushing(Some(before).into(), after));
    let rushing = Launcher { shared: Shared { clock, ..launcher.shared.clone() }, ..launcher };
    world.order(json!({"method": "GET", "path": "/unified_jobs", "fault": nothing()})).await;
    assert!(rushing.reconciler().reconcile(world.job(&job.id).await, attempt).await.is_ok());
    let waits = world.job(&job.id).await;
    assert_eq!((waits.state, waits.attempt_open), (JobState::Launching, true), "{waits:?}");
    // The next look sees it.
    let found = world.look(&world.executor("b", OVER).await, &job.id).await;
    assert_eq!((found.state, found.attempts, world.sandbox.launched()), (JobState::Running, 1, 1));
}

#[tokio::test]
async fn a_run_with_our_marker_is_ours_whatever_its_controllers_clock_said() {
    for too_late in [300i64, -1800] {
        let world = World::new(22).await;
        let job = world.lost(json!({"kind": "lose_after"})).await;
        // As if a node of the controller had made it whose clock is wrong.
        let shift = move |_: &mut Job, last: Option<Attempt>, _| {
            let moved = |moment: Moment| Moment::from_micros(moment.micros() - too_late * 1_000_000);
            let attempt = last.map(|last| Attempt {
                sent_at: moved(last.sent_at),
                controller_time: last.controller_time.map(moved),
                ..last
            });
            Ok(Some(Effects { attempt, ..Effects::default() }))
        };
        world.store().await.change(&job.id, Moment::from_micros(1), None, &shift).await.unwrap();
        let found = world.look(&world.executor("b", OVER + too_late.abs()).await, &job.id).await;
        assert_eq!((found.state, found.attempts, world.sandbox.launched()), (JobState::Running, 1, 1), "{too_late}");
    }
}

#[tokio::test]
async fn another_tenants_run_that_is_hidden_is_no_sign_that_the_controller_forgot() {
    let world = World::new(22).await;
    // The last run that the installation is known to have had before the launch is one of others.
    let others = world.accept().await;
    let others = world.look(&world.executor("a", 0).await, &others.id).await;
    let run = others.run.unwrap().id;
    let lost = world.lost(json!({"kind": "lose_before"})).await;
    // The search; then lists leave the other run out, and asking for it by itself is forbidden.
    let order = |path: &str, fault| json!({"method": "GET", "path": path, "fault": fault});
    world.order(order("/unified_jobs", json!({"kind": "none"}))).await;
    world.order(order("/unified_jobs", nothing())).await;
    let forbidden = json!({"kind": "refused", "status": 403, "json": {"detail": "You do not have permission."}});
    world.order(order(&format!("/jobs/{run}/"), forbidden)).await;
    let looked = world.look(&world.executor("b", OVER).await, &lost.id).await;
    assert_eq!((looked.state, looked.attempt_open), (JobState::Launching, false), "{looked:?}");
    assert!(looked.progress.contains("launching again"), "{looked:?}");
}

#[tokio::test]
async fn a_wall_clock_that_was_wrong_or_is_set_proves_no_absence() {
    let world = World::new(22).await;
    // By the clock of who sends it, it was sent an hour ago.
    let behind = world.executor("behind", -3600).await;
    let job = world.accept().await;
    let claimed = behind.take().await.unwrap();
    world.fault(json!({"kind": "lose_before"})).await;
    assert!(behind.step(claimed).await.is_ok());
    let waits = world.look(&world.executor("b", 0).await, &job.id).await;
    assert_eq!((waits.state, waits.attempt_open), (JobState::Launching, true), "{waits:?}");
    // One that knows of it for long enough may conclude.
    let patient = Launcher { seen: FirstSeen::ahead(Duration::from_secs(60)), ..world.executor("c", 0).await };
    assert!(!world.look(&patient, &job.id).await.attempt_open);
}

#[tokio::test]
async fn a_marked_run_is_found_although_what_was_sealed_can_never_be_opened() {
    let world = World::new(22).await;
    let job = world.lost(json!({"kind": "lose_after"})).await;
    let seal = |job: &mut Job, _: Option<Attempt>, _| {
        job.sealed_parameters = Some("c2VhbGVk".into());
        Ok(Some(Effects::default()))
    };
    world.store().await.change(&job.id, Moment::from_micros(1), None, &seal).await.unwrap();
    let early = world.executor("a", 0).await;
    let attempt = early.shared.store.last_attempt(&job.id).await.unwrap().unwrap();
    let looked = early.reconciler().reconcile(world.job(&job.id).await, attempt).await;
    assert!(matches!(looked, Err(Halt::Broken(_))), "it may be opened yet");
    let found = world.look(&world.executor("b", OVER).await, &job.id).await;
    assert_eq!((found.state, world.sandbox.launched()), (JobState::Running, 1), "{found:?}");
}

#[tokio::test]
async fn what_another_template_waits_for_is_not_made_ready_again_and_again() {
    // Nothing can mark launches of the controller's template, which two templates stand for.
    let world = World::new(9).await;
    let launcher = world.executor("a", 0).await;
    let lost = world.accept().await;
    world.fault(json!({"kind": "lose_before"})).await;
    let claimed = launcher.take().await.unwrap();
    assert!(launcher.step(claimed).await.is_ok());
    let waits = Job { template: "other".into(), ..example() };
    let waits = Job { due_at: Some(AT_ONCE), launch_digest: world.template.launch_digest.clone(), ..waits };
    launcher.shared.store.accept(Acceptance::of(waits.clone())).await.unwrap();
    let scheduler = Scheduler::new(8, launcher.shared.known.clone(), Breaker::default(), launcher.shared.work.clone());
    let mut tried = 0;
    for _ in 0..20 {
        // As if the pause had passed.
        scheduler.settled(&waits.queue());
        let claimed = launcher.claim(&scheduler, &mut Heads::default()).await.unwrap();
        if let Some((job, _place)) = claimed {
            tried += u64::from(job.id == waits.id);
            launcher.take_further(job, &scheduler).await;
        }
    }
    assert_eq!(tried, 1, "after that a look shows that it has to wait");
    let given_up = |job: &mut Job, last: Option<Attempt>, _| {
        let attempt = last.map(|last| Attempt { state: AttemptState::GivenUp { why: "test".into() }, ..last });
        job.attempt_open = false;
        job.end(JobState::Error, Moment::from_micros(9), None)?;
        Ok(Some(Effects { attempt, ..Effects::default() }))
    };
    launcher.shared.store.change(&lost.id, Moment::from_micros(9), None, &given_up).await.unwrap();
    scheduler.settled(&waits.queue());
    let (job, _place) =
        launcher.claim(&scheduler, &mut Heads::default()).await.unwrap().expect("nothing is in the way");
    assert_eq!(job.id, waits.id);
    launcher.take_further(job, &scheduler).await;
    assert_eq!((world.job(&waits.id).await.state, world.sandbox.launched()), (JobState::Running, 1));
}

#[tokio::test]
async fn that_a_job_waits_for_the_same_is_told_once() {
    let world = World::new(22).await;
    let launcher = world.executor("a", 0).await;
    let job = world.accept().await;
    let mut told = Vec::new();
    for _ in 0..50 {
        let hurry = |job: &mut Job, _: Option<Attempt>, _| {
            job.look_now();
            Ok(Some(Effects::default()))
        };
        launcher.shared.store.change(&job.id, Moment::from_micros(1), None, &hurry).await.unwrap();
        let claimed = launcher.take().await.unwrap();
        let stop = Stop::Later("the controller's credential cannot be read".into());
        ledger::stop(&launcher.shared, &job.id, claimed.lease.fence, stop, None).await.unwrap();
        told.push(launcher.shared.store.events(&job.id, 0, 1000).await.unwrap().len());
    }
    assert_eq!((told[0], told[49]), (2, 2), "accepted, and waiting");
    assert_eq!(world.job(&job.id).await.setbacks, 50);
}

/// Templates of which one is removed while its launch is made ready.
struct Removed(One, std::sync::atomic::AtomicUsize);

#[async_trait]
impl Templates for Removed {
    async fn template(&self, tenant: &TenantId, name: &str) -> Result<Option<Arc<Template>>> {
        let asked = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if asked == 0 { self.0.template(tenant, name).await } else { Ok(None) }
    }

    async fn controller(&self, tenant: &TenantId, name: &str) -> Result<Option<Controller>> {
        self.0.controller(tenant, name).await
    }

    async fn report_drift(&self, _: &Template, _: &[String]) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_template_that_is_removed_while_its_launch_is_made_ready_launches_nothing() {
    let world = World::new(22).await;
    let templates = Arc::new(Removed(One(world.template.clone()), 0.into()));
    let launcher = world.executor("a", 0).await;
    let launcher = Launcher { shared: Shared { templates, ..launcher.shared.clone() }, ..launcher };
    world.accept().await;
    let claimed = launcher.take().await.unwrap();
    let halted = launcher.step(claimed).await;
    assert!(matches!(halted, Err(Halt::Stopped(Stop::End(JobState::Error, reason::TEMPLATE_REMOVED, _)))));
    assert_eq!(world.sandbox.launched(), 0);
}

#[tokio::test]
async fn a_person_may_give_up_on_a_launch_that_nobody_can_look_for_any_more() {
    let world = World::new(22).await;
    let job = world.lost(json!({"kind": "lose_before"})).await;
    let launcher = world.executor("a", 0).await;
    let outbox = runwarden_kit::audit::Outbox::undrained(world.store().await);
    let resolver = |clock_off| Resolver {
        shared: Shared { breaker: Breaker::default(), clock: Arc::new(Off(clock_off)), ..launcher.shared.clone() },
        outbox: outbox.clone(),
        patience: launcher.patience,
    };
    let person = Caller::example(&[Permission::JobsResolve], caller::Scope::tenant(&TenantId::trusted(&job.tenant)));
    let launching = person.authorize(world.job(&job.id).await).unwrap();
    let early = resolver(0).resolve(&launching, Said::GiveUp, "its credential is gone").await;
    assert_eq!(early.unwrap_err().reason(), ErrorReason::Conflict, "it may still commit");
    let ended = resolver(OVER).resolve(&launching, Said::GiveUp, "its credential is gone").await.unwrap();
    assert_eq!((ended.state, ended.reason.as_deref()), (JobState::Failed, Some(reason::GIVEN_UP)));
    assert!(!launcher.shared.store.last_attempt(&job.id).await.unwrap().unwrap().is_open());
    assert_eq!(world.sandbox.launched(), 0);
}

/// Templates whose owner is away.
struct Away(One);

#[async_trait]
impl Templates for Away {
    async fn template(&self, _: &TenantId, _: &str) -> Result<Option<Arc<Template>>> {
        Err(Error::unavailable("The project service cannot be reached now."))
    }

    async fn controller(&self, tenant: &TenantId, name: &str) -> Result<Option<Controller>> {
        self.0.controller(tenant, name).await
    }

    async fn report_drift(&self, _: &Template, _: &[String]) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_launch_is_left_to_a_person_because_a_service_is_away() {
    // Nothing can mark its launches: runs are compared by what was sent, and the template says what that was.
    let world = World::new(9).await;
    let job = world.lost(json!({"kind": "lose_after"})).await;
    let launcher = world.executor("b", OVER).await;
    let templates = Arc::new(Away(One(world.template.clone())));
    let launcher = Launcher { shared: Shared { templates, ..launcher.shared.clone() }, ..launcher };
    let attempt = launcher.shared.store.last_attempt(&job.id).await.unwrap().unwrap();
    assert!(matches!(launcher.reconciler().reconcile(world.job(&job.id).await, attempt).await, Err(Halt::Broken(_))));
    assert_eq!(world.job(&job.id).await.state, JobState::Launching);
    let found = world.look(&world.executor("c", OVER).await, &job.id).await;
    assert_eq!((found.state, found.attempts, world.sandbox.launched()), (JobState::Running, 1, 1));
}

#[tokio::test]
async fn a_lost_launch_is_compared_with_what_its_run_was_told_then_and_not_with_what_settings_say_now() {
    let mut world = World::new(22).await;
    world.template.request_info = RequestInfo::Variables;
    let job = world.lost(json!({"kind": "lose_after"})).await;
    let attempt = world.store().await.last_attempt(&job.id).await.unwrap().unwrap();
    assert_eq!(attempt.told.variables["runwarden_job_id"], job.id, "it was durable before the launch was sent");
    let launcher = world.executor("a", 0).await;
    let moved: Arc<str> = "https://elsewhere.example".into();
    let launcher = Launcher { shared: Shared { public_url: moved, ..launcher.shared.clone() }, ..launcher };
    let found = world.look(&launcher, &job.id).await;
    assert_eq!((found.state, found.condemned), (JobState::Running, None), "{}", found.progress);
    let told = world.sandbox.ledger()[0].extra_vars.clone();
    assert_eq!(told["runwarden_job_url"], format!("https://runwarden.example/api/v1/jobs/{}", job.id));
    assert_eq!(world.sandbox.launched(), 1);
}
