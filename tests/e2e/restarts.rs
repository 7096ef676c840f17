//! Whatever ends the process, at whatever moment: the same data is there afterwards, and each job ends once.

use runwarden_harness::events::printed;
use runwarden_harness::jobs::text;
use runwarden_harness::{Api, Controller, Signal, System, Tenant, until};
use runwarden_sandbox::Options;
use serde_json::json;

use super::{acme, deployment, settings};

/// When the process ends.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Accepted,
    Launching,
    Running,
}

async fn a_job_survives(moment: Moment, signal: Signal) {
    // Slow enough to be caught while it runs.
    let controller = Controller::start_with(Options { speed: 4.0, ..Options::default() }).await;
    let mut system = System::start(&settings().that_stays()).await;
    let acme = Tenant::onboard(system.reach(), "acme", &controller).await;
    acme.map("deploy", "deploy").await;
    if let Moment::Launching = moment {
        // After a crash nobody is there to hear the answer, so it is lost; after a stop it is waited for.
        controller
            .at_next_launch(match signal {
                Signal::Kill => json!({"kind": "delay_commit", "commit_after_ms": 300, "hang_ms": 1500}),
                _ => json!({"kind": "slow", "ms": 1000}),
            })
            .await;
    }
    let id = text(&acme.launcher.submit("deploy", deployment()).await, "id").to_owned();
    match moment {
        Moment::Accepted => {}
        // Its request is out, its answer is not there yet.
        Moment::Launching => {
            until("the launch to be out", async || (controller.faults_due().await == 0).then_some(())).await
        }
        Moment::Running => drop(acme.launcher.becomes(&id, "running").await),
    }
    system.restart(signal).await;

    // The token of before is still good.
    let job = acme.launcher.over(&id).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    assert_eq!(controller.launches("deploy").len(), 1, "launched exactly once");
    let output = acme.launcher.output(&id).await;
    assert!(output.contains("PLAY [") && output.contains("PLAY RECAP"), "{output}");
    let trail = acme.admin.trail(&id).await;
    let ends = trail.iter().filter(|record| text(record, "action") == "job.finish").count();
    assert_eq!(ends, 1, "it ended exactly once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_just_accepted_survives_a_stop() {
    a_job_survives(Moment::Accepted, Signal::Term).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_just_accepted_survives_a_crash() {
    a_job_survives(Moment::Accepted, Signal::Kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_being_launched_survives_a_stop() {
    a_job_survives(Moment::Launching, Signal::Term).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_being_launched_survives_a_crash() {
    a_job_survives(Moment::Launching, Signal::Kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_survives_a_stop() {
    a_job_survives(Moment::Running, Signal::Term).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_survives_a_crash() {
    a_job_survives(Moment::Running, Signal::Kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn following_a_job_goes_on_after_a_restart() {
    let controller = Controller::start_with(Options { speed: 2.0, ..Options::default() }).await;
    let mut system = System::start(&settings().that_stays()).await;
    let acme = Tenant::onboard(system.reach(), "acme", &controller).await;
    acme.map("deploy", "deploy").await;
    let id = text(&acme.launcher.submit("deploy", deployment()).await, "id").to_owned();
    let mut events = Vec::new();
    let mut stream = acme.launcher.follow(&id, None).await;
    // Something was printed, and more is to come.
    while !events.iter().any(|event: &runwarden_harness::Event| event.name == "output") {
        events.push(stream.next().await.unwrap());
    }
    system.restart(Signal::Kill).await;
    let after = events.iter().filter_map(|event| event.id).max();
    events.extend(acme.launcher.follow(&id, after).await.rest().await);
    assert_eq!(printed(&events), acme.launcher.output(&id).await, "nothing is lost and nothing comes twice");
    assert_eq!(text(&events.last().unwrap().data, "state"), "succeeded");
    let numbers: Vec<u64> = events.iter().filter_map(|event| event.id).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_was_made_is_there_after_a_restart() {
    let (controller, mut system, acme) = acme(&settings().that_stays()).await;
    acme.map("deploy", "deploy").await;
    let job = acme.launcher.run("deploy", deployment()).await;
    let things = ["projects", "controllers", "templates", "clients", "bindings", "roles", "policies", "jobs"];
    let read = async |api: &Api| {
        let mut all = Vec::new();
        for thing in things {
            all.push(api.all(&format!("/api/v1/{thing}")).await);
        }
        all
    };
    let before = read(&acme.admin).await;
    for signal in [Signal::Term, Signal::Kill] {
        system.restart(signal).await;
        assert_eq!(read(&acme.admin).await, before, "after {signal:?}");
        let again = system.reach().caller(&acme.launcher_credentials).await;
        assert_eq!(again.job(text(&job, "id")).await, job);
    }
    assert_eq!(text(&acme.launcher.run("deploy", deployment()).await, "state"), "succeeded");
    assert_eq!(controller.launched(), 2);
}
