//! Stopping jobs: on request, when they take too long; and not starting too many.

use runwarden_harness::Api;
use runwarden_harness::jobs::text;
use serde_json::{Value, json};

use super::{acme, deployment, settings};

async fn cancel(api: &Api, id: &str) -> Value {
    api.act(&format!("/api/v1/jobs/{id}/cancel")).await.expect(202)
}

fn bare(more: Value) -> Value {
    let mut settings = json!({"parameters": {"type": "object", "properties": {}}});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_cancelled_and_a_finished_one_is_not() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("hangs", "hangs").await;
    acme.map("deploy", "deploy").await;
    let id = text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    acme.launcher.becomes(&id, "running").await;
    assert_eq!(cancel(&acme.launcher, &id).await["cancel_requested"], true);
    let ended = acme.launcher.over(&id).await;
    assert_eq!((text(&ended, "state"), text(&ended, "reason")), ("canceled", "canceled_by_caller"), "{ended}");
    assert_eq!(controller.run(controller.launches("hangs")[0]).await["status"], "canceled");
    acme.launcher.act(&format!("/api/v1/jobs/{id}/cancel")).await.refused(409, "JOB_FINISHED");
    let done = acme.launcher.run("deploy", deployment()).await;
    acme.launcher.act(&format!("/api/v1/jobs/{}/cancel", text(&done, "id"))).await.refused(409, "JOB_FINISHED");
    let trail = acme.admin.trail(&id).await;
    assert!(trail.iter().any(|record| text(record, "action") == "job.cancel"), "{trail:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_jobs_of_a_template_run_at_once_and_one_that_waits_can_be_cancelled() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map_with("hangs", "hangs", bare(json!({"max_concurrent": 1}))).await;
    let submit = async || text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    let first = submit().await;
    acme.launcher.becomes(&first, "running").await;
    let (second, third) = (submit().await, submit().await);
    // The third has been looked at and told to wait, so the second had its chance before.
    runwarden_harness::until("the third to be told to wait", async || {
        text(&acme.launcher.job(&third).await, "progress").contains("waiting").then_some(())
    })
    .await;
    assert_eq!(controller.launched(), 1);
    cancel(&acme.launcher, &second).await;
    let ended = acme.launcher.over(&second).await;
    assert_eq!((text(&ended, "state"), text(&ended, "reason")), ("canceled", "canceled_by_caller"), "{ended}");
    assert!(ended.get("launched_at").is_none(), "{ended}");
    cancel(&acme.launcher, &first).await;
    acme.launcher.becomes(&third, "running").await;
    cancel(&acme.launcher, &third).await;
    assert_eq!(text(&acme.launcher.over(&third).await, "state"), "canceled");
    assert_eq!(controller.launched(), 2, "what was cancelled before its launch was never launched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_too_long_is_stopped() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map_with("hangs", "hangs", bare(json!({"max_duration_seconds": 1}))).await;
    let job = acme.launcher.run("hangs", json!({})).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("canceled", "duration_exceeded"), "{job}");
    assert_eq!(controller.run(controller.launches("hangs")[0]).await["status"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_cancelled_on_the_controller_is_told_apart() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("hangs", "hangs").await;
    let id = text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    acme.launcher.becomes(&id, "running").await;
    let sandbox = Api::with_token(&controller.sandbox().url(), &controller.sandbox().token());
    let run = controller.launches("hangs")[0];
    assert_eq!(sandbox.act(&format!("/api/v2/jobs/{run}/cancel/")).await.status, 202);
    let ended = acme.launcher.over(&id).await;
    assert_eq!((text(&ended, "state"), text(&ended, "reason")), ("canceled", "canceled_on_controller"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_cancelled_while_it_is_launched_ends_cancelled_with_one_launch_at_most() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("hangs", "hangs").await;
    controller.at_next_launch(json!({"kind": "slow", "ms": 700})).await;
    let id = text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    acme.launcher.becomes(&id, "launching").await;
    cancel(&acme.launcher, &id).await;
    let ended = acme.launcher.over(&id).await;
    assert_eq!((text(&ended, "state"), text(&ended, "reason")), ("canceled", "canceled_by_caller"), "{ended}");
    let run = controller.run(controller.launches("hangs")[0]).await;
    assert_eq!(run["status"], "canceled", "the run was stopped too");
    assert_eq!(controller.launched(), 1);
}
