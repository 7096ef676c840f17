//! Runs that should not be, and controllers that are not where they were.

use runwarden_kit::audit::OutboxStore as _;

use super::*;

#[tokio::test]
async fn a_stray_run_is_not_forgotten_because_its_controller_leads_elsewhere_now() {
    let world = World::new(22).await;
    let launcher = world.executor("a", 0).await;
    let job = world.accept().await;
    let bound = world.look(&launcher, &job.id).await;
    let stray = Stray {
        tenant: job.tenant.clone(),
        job: job.id.clone(),
        attempt: 1,
        controller: job.controller.clone(),
        run: bound.run.clone().unwrap(),
        found_at: launcher.shared.clock.now(),
        due_at: AT_ONCE,
        looks: 0,
    };
    let effects = Effects { stray: Some(stray), ..Effects::default() };
    let keep = |_: &mut Job, _: Option<Attempt>, _| Ok(Some(effects.clone()));
    world.store().await.change(&job.id, Moment::from_micros(1), None, &keep).await.unwrap();
    // The controller is pointed to another installation, which has a run with the same id.
    let elsewhere = World { folder: tempfile::tempdir().unwrap(), ..World::new(22).await };
    let theirs = elsewhere.accept().await;
    let theirs = elsewhere.look(&elsewhere.executor("a", 0).await, &theirs.id).await;
    assert_eq!(theirs.run.unwrap().id, bound.run.unwrap().id);
    let moved = Strays {
        shared: Shared {
            templates: Arc::new(One(elsewhere.template.clone())),
            controllers: elsewhere.executor("b", 0).await.shared.controllers.clone(),
            ..strays_of(&launcher).shared
        },
    };
    moved.look_at_all().await.unwrap();
    assert_eq!(world.store().await.count_strays().await.unwrap(), 1, "nothing is known of it");
    let entries = world.store().await.pending("acme", 100).await.unwrap();
    assert!(entries.iter().all(|entry| entry.action != "job.stray_settled"), "{entries:?}");
}
