//! What a look at a controller's template serves, and what it does not.

use futures::future::join_all;

use super::*;

impl World {
    /// A job that is accepted now.
    async fn accept_now(&self) -> Job {
        let job = Job {
            due_at: Some(AT_ONCE),
            launch_digest: self.template.launch_digest.clone(),
            created_at: SystemClock.now(),
            ..example()
        };
        self.store().await.accept(Acceptance::of(job.clone())).await.unwrap();
        job
    }

    /// So many jobs that were accepted just now, claimed.
    async fn claimed(&self, launcher: &Launcher, count: usize) -> Vec<Job> {
        for _ in 0..count {
            self.accept_now().await;
        }
        let mut claimed = Vec::new();
        while let Some(job) = launcher.take().await {
            claimed.push(job);
        }
        claimed
    }

    /// How often its template was read.
    async fn looks(&self) -> u64 {
        let counted = self.lever(reqwest::Method::GET, "requests?path=/job_templates/ID/launch/", json!({})).await;
        let items = counted["items"].as_array().unwrap_or_else(|| panic!("{counted}"));
        items.iter().filter(|item| item["method"] == "GET").filter_map(|item| item["answered"].as_u64()).sum()
    }
}

#[tokio::test]
async fn jobs_that_wait_for_the_same_template_are_launched_by_one_look() {
    let world = World::new(22).await;
    let launcher = world.executor("a", 0).await;
    let claimed = world.claimed(&launcher, 5).await;
    let before = world.looks().await;
    assert!(join_all(claimed.into_iter().map(|job| launcher.step(job))).await.into_iter().all(|done| done.is_ok()));
    assert_eq!((world.sandbox.launched(), world.looks().await - before), (5, 1));
    assert_eq!(
        launcher.looks.kept(),
        0,
        "a view takes of its tenant's memory, and goes with the launches that used it"
    );
}

#[tokio::test]
async fn a_job_is_never_launched_by_what_was_there_before_it_was_accepted() {
    let world = World::new(22).await;
    let launcher = world.executor("a", 0).await;
    for looks in 1..3 {
        let before = world.looks().await;
        world.accept_now().await;
        let claimed = launcher.take().await.unwrap();
        assert!(launcher.step(claimed).await.is_ok());
        assert_eq!((world.sandbox.launched(), world.looks().await - before), (looks, 1));
    }
    world.hide(true).await;
    world.accept_now().await;
    let claimed = launcher.take().await.unwrap();
    assert!(launcher.step(claimed).await.is_err(), "it is hidden since");
    assert_eq!(world.sandbox.launched(), 2);
}

#[tokio::test]
async fn a_look_that_fails_is_nobody_elses() {
    let world = World::new(22).await;
    let launcher = world.executor("a", 0).await;
    let claimed = world.claimed(&launcher, 3).await;
    let forbidden = json!({"kind": "refused", "status": 403, "json": {"detail": "You do not have permission."}});
    world.order(json!({"method": "GET", "path": "/job_templates/22/", "fault": forbidden})).await;
    let done = join_all(claimed.into_iter().map(|job| launcher.step(job))).await;
    assert_eq!(done.iter().filter(|done| done.is_err()).count(), 1);
    assert_eq!(world.sandbox.launched(), 2);
}
