//! The controller's answer to a launch is lost, before or after it took effect: still exactly one launch.

use runwarden_harness::jobs::text;
use runwarden_harness::{Api, until};
use serde_json::{Value, json};

use super::{acme, deployment, settings};

/// What the launcher tries to tell a run by.
#[derive(Clone, Copy)]
enum Template {
    Marked,
    Markerless,
}

async fn exactly_one_launch(template: Template, fault: Value, attempts: usize) {
    let (controller, system, acme) = acme(&settings().impatient()).await;
    let (name, parameters) = match template {
        Template::Marked => ("deploy", deployment()),
        Template::Markerless => ("plain", json!({})),
    };
    match template {
        Template::Marked => acme.map(name, name).await,
        Template::Markerless => acme.map_bare(name, name).await,
    };
    controller.at_next_launch(fault).await;
    let job = acme.launcher.run(name, parameters).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    assert_eq!(controller.launches(name).len(), 1, "launched exactly once");
    let trail = acme.admin.trail(text(&job, "id")).await;
    let launches = trail.iter().filter(|record| text(record, "action") == "job.launch").count();
    assert_eq!(launches, attempts, "each attempt's intent is on record");
    assert!(system.log().contains("it is not known whether the launch happened"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_never_arrived_is_made_again_once_that_is_certain() {
    exactly_one_launch(Template::Marked, json!({"kind": "lose_before"}), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_whose_answer_was_lost_is_found() {
    exactly_one_launch(Template::Marked, json!({"kind": "lose_after"}), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_takes_effect_after_its_answer_was_lost_is_found() {
    exactly_one_launch(Template::Marked, json!({"kind": "delay_commit", "commit_after_ms": 1500, "hang_ms": 100}), 1)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_takes_longer_than_it_is_waited_for_is_found() {
    exactly_one_launch(Template::Marked, json!({"kind": "delay_commit", "commit_after_ms": 2700, "hang_ms": 10000}), 1)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_error_page_proves_nothing() {
    exactly_one_launch(Template::Marked, json!({"kind": "status", "status": 502}), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_launch_is_waited_for_and_nobody_takes_over() {
    let (controller, system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    // Longer than a claim holds by itself.
    controller.at_next_launch(json!({"kind": "slow", "ms": 12_000})).await;
    let job = acme.launcher.run("deploy", deployment()).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    assert_eq!(controller.launched(), 1);
    let trail = acme.admin.trail(text(&job, "id")).await;
    assert_eq!(trail.iter().filter(|record| text(record, "action") == "job.launch").count(), 1);
    assert!(!system.log().contains("it is not known whether the launch happened"));
    assert!(!system.log().contains("whose answer was lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_marker_a_launch_that_never_arrived_is_made_again() {
    exactly_one_launch(Template::Markerless, json!({"kind": "lose_before"}), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_marker_a_launch_whose_answer_was_lost_is_found() {
    exactly_one_launch(Template::Markerless, json!({"kind": "lose_after"}), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_marker_a_late_launch_is_found() {
    exactly_one_launch(
        Template::Markerless,
        json!({"kind": "delay_commit", "commit_after_ms": 1500, "hang_ms": 100}),
        1,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_marker_others_wait_until_a_lost_launch_is_settled() {
    let (controller, _system, acme) = acme(&settings().impatient()).await;
    acme.map_bare("plain", "plain").await;
    controller.at_next_launch(json!({"kind": "delay_commit", "commit_after_ms": 1500, "hang_ms": 100})).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(text(&acme.launcher.submit("plain", json!({})).await, "id").to_owned());
    }
    for id in &ids {
        assert_eq!(text(&acme.launcher.over(id).await, "state"), "succeeded");
    }
    assert_eq!(controller.launches("plain").len(), 3, "one launch for each job");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_be_several_jobs_is_left_to_a_person() {
    let (controller, _system, acme) = acme(&settings().impatient()).await;
    acme.map_bare("plain", "plain").await;
    controller.at_next_launch(json!({"kind": "delay_commit", "commit_after_ms": 100, "hang_ms": 1500})).await;
    let id = text(&acme.launcher.submit("plain", json!({})).await, "id").to_owned();
    until("the launch to be out", async || (controller.faults_due().await == 0).then_some(())).await;
    // Somebody uses Runwarden's account to launch the very same by hand.
    let sandbox = Api::with_token(&controller.sandbox().url(), &controller.sandbox().token());
    let _by_hand = sandbox.post("/api/v2/job_templates/9/launch/", &json!({})).await.expect(201);
    let job = acme.launcher.over(&id).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("unknown", "ambiguous"), "{job}");
    assert_eq!(controller.launches("plain").len(), 2, "never another launch on a guess");
}
