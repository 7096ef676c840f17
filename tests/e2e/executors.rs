//! Several executors on one store: work is shared, and goes on elsewhere when one of them dies.

use std::time::Duration;

use runwarden_harness::fleet::{Fleet, Restart};
use runwarden_harness::jobs::text;
use runwarden_harness::{Controller, Signal, Tenant, until};
use serde_json::json;

use super::{deployment, settings};

/// How long one that is killed stays away: longer than any test.
const FOR_GOOD: Duration = Duration::from_secs(600);

async fn two() -> (Controller, Fleet, Tenant) {
    let controller = Controller::start().await;
    let settings = settings().impatient().set("RUNWARDEN_EXECUTOR_LEASE", "2s");
    let fleet = Fleet::apart(&settings, 2).await;
    let acme = Tenant::onboard(fleet.reach(), "acme", &controller).await;
    acme.map("deploy", "deploy").await;
    acme.map_bare("hangs", "hangs").await;
    (controller, fleet, acme)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_of_two_executors_held_goes_on_when_it_dies() {
    for dies in ["executor-1", "executor-2"] {
        let (controller, fleet, acme) = two().await;
        let mut running = Vec::new();
        for _ in 0..4 {
            running.push(text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned());
        }
        for job in &running {
            acme.launcher.becomes(job, "running").await;
        }
        // Launches are out when it dies, whichever of the two sent them.
        controller.at_next_launches(vec![json!({"kind": "slow", "ms": 1500}); 6]).await;
        let mut launching = Vec::new();
        for _ in 0..6 {
            launching.push(text(&acme.launcher.submit("deploy", deployment()).await, "id").to_owned());
        }
        until("launches to be out", async || (controller.faults_due().await < 6).then_some(())).await;
        fleet.restart(dies, Restart { signal: Signal::Kill, ripe: None, down: FOR_GOOD, next: Vec::new() });
        controller.finish_all("successful").await;
        for job in running.iter().chain(&launching) {
            let job = over(&acme, job).await;
            assert_eq!(text(&job, "state"), "succeeded", "{dies}: {job}");
        }
        assert_eq!(controller.launches("deploy").len(), 6, "{dies}: each once");
        assert_eq!(controller.launches("hangs").len(), 4, "{dies}: each once");
    }
}

/// A job once it is over, through a balancer whose other half is gone.
async fn over(acme: &Tenant, id: &str) -> serde_json::Value {
    runwarden_harness::until_within(Duration::from_secs(90), "the job to end", async || {
        let answer = acme.launcher.get(&format!("/api/v1/jobs/{id}")).await;
        let job = (answer.status == 200).then(|| answer.json())?;
        ["succeeded", "failed", "canceled", "error", "unknown"].contains(&text(&job, "state")).then_some(job)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_executors_share_what_there_is_to_do_and_launch_each_job_once() {
    let (controller, _fleet, acme) = two().await;
    let mut jobs = Vec::new();
    for n in 0..40 {
        let parameters = json!({"environment": "dev", "version": format!("1.{n}")});
        jobs.push(text(&acme.launcher.submit("deploy", parameters).await, "id").to_owned());
    }
    for job in &jobs {
        let job = acme.launcher.over(job).await;
        assert_eq!(text(&job, "state"), "succeeded", "{job}");
    }
    let mut versions: Vec<String> =
        controller.ledger().iter().map(|entry| entry.extra_vars["version"].as_str().unwrap().to_owned()).collect();
    versions.sort();
    versions.dedup();
    assert_eq!((versions.len(), controller.launched()), (40, 40));
}
