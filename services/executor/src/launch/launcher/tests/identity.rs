//! A controller that is restored: ids come again, and what it has forgotten is not absent.

use super::*;

/// Launches a job and binds it.
async fn launched(world: &World, launcher: &Launcher) -> Job {
    let job = world.accept().await;
    let job = world.look(launcher, &job.id).await;
    assert_eq!(job.state, JobState::Running, "{job:?}");
    job
}

#[tokio::test]
async fn a_run_whose_id_an_ended_job_holds_is_bound_and_not_launched_again() {
    for lost in [false, true] {
        let world = World::new(22).await;
        let launcher = world.executor("a", 0).await;
        let first = launched(&world, &launcher).await;
        let end = |job: &mut Job, _: Option<Attempt>, _| {
            job.end(JobState::Succeeded, Moment::from_micros(9), None)?;
            Ok(Some(Effects::announced()))
        };
        world.store().await.change(&first.id, Moment::from_micros(9), None, &end).await.unwrap();
        world.restore().await;
        let second = if lost {
            let lost = world.lost(json!({"kind": "lose_after"})).await;
            world.look(&world.executor("b", 0).await, &lost.id).await
        } else {
            launched(&world, &launcher).await
        };
        assert_eq!((second.state, second.attempts), (JobState::Running, 1), "{second:?}");
        let (one, two) = (first.run.unwrap(), second.run.unwrap());
        assert_eq!(one.id, two.id, "the id came again");
        assert_ne!(one.created, two.created);
        assert_eq!(world.sandbox.launched(), 2);
    }
}

#[tokio::test]
async fn a_controller_that_has_forgotten_what_it_knew_proves_no_absence() {
    let world = World::new(22).await;
    launched(&world, &world.executor("a", 0).await).await;
    // It happens, its answer is lost, and the controller is put back to before both.
    let job = world.lost(json!({"kind": "lose_after"})).await;
    world.restore().await;
    let job = world.look(&world.executor("b", OVER).await, &job.id).await;
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Unknown, Some(reason::UNTRACEABLE)), "{job:?}");
    assert!(job.reason_detail.as_ref().unwrap().contains("restored from an older backup"), "{job:?}");
    assert_eq!(world.sandbox.launched(), 2, "and nothing is launched again");
}

#[tokio::test]
async fn what_was_mapped_on_one_installation_is_not_launched_on_another() {
    let (world, elsewhere) = (World::new(22).await, World::new(22).await);
    let pinned = |world: &World| {
        let client = Client::new(
            &world.template.controller.target,
            &Credential::bearer(world.sandbox.token()),
            crate::controllers::limits(),
        );
        let (client, id) = (client.unwrap(), world.template.controller_template);
        async move {
            let view = client.template(TemplateKind::Job, id).await.unwrap();
            let parts = view.parts_at(&client.installation(runwarden_awx::Ask::Once).await.unwrap());
            (runwarden_awx::fingerprint(&parts), parts)
        }
    };
    let (fingerprint, fingerprint_parts) = pinned(&world).await;
    let template = Template { fingerprint, fingerprint_parts, ..world.template.clone() };
    let world = World { template, ..world };
    launched(&world, &world.executor("a", 0).await).await;
    // Its controller is pointed to another, which has the same template under the same number.
    let controller = elsewhere.template.controller.clone();
    let moved = Template { controller, ..world.template.clone() };
    let launcher = world.executor_as(elsewhere.sandbox.token(), "b", 0).await;
    let templates = Arc::new(One(moved));
    let launcher = Launcher { shared: Shared { templates, ..launcher.shared.clone() }, ..launcher };
    world.accept().await;
    let claimed = launcher.take().await.unwrap();
    let halted = launcher.step(claimed).await;
    let Err(Halt::Stopped(Stop::End(JobState::Error, reason::TEMPLATE_CHANGED, why))) = halted else { panic!() };
    assert!(why.contains("accept_drift"), "{why}");
    assert_eq!((world.sandbox.launched(), elsewhere.sandbox.launched()), (1, 0));
}
