//! What a look for a lost launch may conclude, and from which moment.

use super::*;

/// An empty list, whatever there is.
fn nothing() -> serde_json::Value {
    json!({"kind": "garbage", "json": {"count": 0, "next": null, "previous": null, "results": []}, "status": 200})
}

#[tokio::test]
async fn a_search_is_judged_by_the_moment_it_began_and_not_by_when_it_ended() {
    let world = World::new(22).await;
    let job = world.lost(json!({"kind": "lose_after"})).await;
    let launcher = world.executor("a", 0).await;
    let attempt = launcher.store.last_attempt(&job.id).await.unwrap().unwrap();
    let over_at = launcher.patience.over_at(&attempt);
    // The search shows what there was just before all that can come has come; by its end that moment has passed.
    let before = over_at.minus(Duration::from_millis(200));
    let after = over_at.plus(Duration::from_millis(300));
    let clock = Arc::new(Rushing(Some(before).into(), after));
    let rushing = Launcher { clock, ..launcher };
    world.order(json!({"method": "GET", "path": "/unified_jobs", "fault": nothing()})).await;
    assert!(rushing.reconcile(world.job(&job.id).await, attempt).await.is_ok());
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
        let shift = move |_: &mut Job, last: Option<Attempt>| {
            let moved = |moment: Moment| Moment::from_micros(moment.micros() - too_late * 1_000_000);
            let attempt = last.map(|last| Attempt {
                sent_at: moved(last.sent_at),
                controller_time: last.controller_time.map(moved),
                ..last
            });
            Ok(Some(Effects { attempt, ..Effects::default() }))
        };
        world.store().await.update(&job.id, Moment::from_micros(1), Box::new(shift)).await.unwrap();
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
