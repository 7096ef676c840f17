//! Whatever ends the process, at whatever moment: the same data is there afterwards, and each job ends once.

use runwarden_harness::events::printed;
use runwarden_harness::jobs::text;
use runwarden_harness::{Api, Controller, Signal, System, Tenant, until};
use runwarden_sandbox::Options;
use serde_json::json;

use super::{acme, deployment, settings};

/// Three jobs, each caught at another moment, and then the process ends.
async fn jobs_survive(signal: Signal) {
    // Slow enough to be caught while it runs.
    let controller = Controller::start_with(Options { speed: 2.0, ..Options::default() }).await;
    // A crash between the intent and its request leaves a launch that must be waited out.
    let mut system = System::start(&settings().impatient().that_stays()).await;
    let acme = Tenant::onboard(system.reach(), "acme", &controller).await;
    for template in ["running", "launching", "accepted"] {
        acme.map(template, "deploy").await;
    }
    let submit = async |template: &str| {
        let job = acme.launcher.submit(template, deployment()).await;
        text(&job, "id").to_owned()
    };
    let running = submit("running").await;
    acme.launcher.becomes(&running, "running").await;
    // After a crash nobody is there to hear the answer, so it is lost; after a stop it is waited for.
    let fault = match signal {
        Signal::Kill => json!({"kind": "delay_commit", "commit_after_ms": 300, "hang_ms": 1500}),
        _ => json!({"kind": "slow", "ms": 1000}),
    };
    controller.at_next_launch(fault).await;
    let launching = submit("launching").await;
    until("the launch to be out", async || (controller.faults_due().await == 0).then_some(())).await;
    let accepted = submit("accepted").await;
    assert_eq!(text(&acme.launcher.job(&launching).await, "state"), "launching");
    assert_eq!(text(&acme.launcher.job(&running).await, "state"), "running");
    system.restart(signal).await;

    // The token of before is still good.
    for id in [&running, &launching, &accepted] {
        let job = acme.launcher.over(id).await;
        assert_eq!(text(&job, "state"), "succeeded", "{job}");
        let output = acme.launcher.output(id).await;
        assert!(output.contains("PLAY [") && output.contains("PLAY RECAP"), "{output}");
        let trail = acme.admin.trail(id).await;
        let ends = trail.iter().filter(|record| text(record, "action") == "job.finish").count();
        assert_eq!(ends, 1, "it ended exactly once");
    }
    assert_eq!(controller.launched(), 3, "each was launched exactly once");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_at_every_moment_of_their_lives_survive_a_stop() {
    jobs_survive(Signal::Term).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_at_every_moment_of_their_lives_survive_a_crash() {
    jobs_survive(Signal::Kill).await;
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
            let mut items = api.all(&format!("/api/v1/{thing}")).await;
            // The minute of a secret's last use is the one thing that reading it changes.
            for secret in items.iter_mut().filter_map(|item| item.get_mut("secrets")?.as_array_mut()).flatten() {
                secret["last_used_at"] = json!(null);
            }
            all.push(items);
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
