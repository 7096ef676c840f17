//! The controller's template changes after it was mapped.

use runwarden_harness::jobs::text;
use runwarden_harness::{Api, until};
use serde_json::json;

use super::{acme, deployment, settings};

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_flagged_and_the_job_runs() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    controller.change_template("deploy", json!({"playbook": "other.yml"})).await;
    let job = acme.launcher.run("deploy", deployment()).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    let template = until("the drift to show", async || {
        let template = acme.admin.get("/api/v1/templates/deploy").await.expect(200);
        template["drift"].as_array().is_some_and(|drift| !drift.is_empty()).then_some(template)
    })
    .await;
    assert!(template["drift"].to_string().contains("playbook"), "{template}");
    until("the drift on record", async || {
        (!acme.admin.all("/api/v1/audit/records?action=template.drift").await.is_empty()).then_some(())
    })
    .await;
    // Accepted, it is the new pin.
    let accepted = acme.admin.patch("/api/v1/templates/deploy", &json!({"accept_drift": true})).await.expect(200);
    assert!(accepted["drift"].as_array().is_none_or(Vec::is_empty), "{accepted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_refused_where_the_template_says_so() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map_with("deploy", "deploy", json!({"parameters": "import", "on_drift": "refuse"})).await;
    controller.change_template("deploy", json!({"playbook": "other.yml"})).await;
    let job = acme.launcher.run("deploy", deployment()).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("error", "template_drifted"), "{job}");
    assert!(text(&job, "reason_detail").contains("playbook"), "{job}");
    assert_eq!(controller.launched(), 0);
    let _accepted = acme.admin.patch("/api/v1/templates/deploy", &json!({"accept_drift": true})).await.expect(200);
    assert_eq!(text(&acme.launcher.run("deploy", deployment()).await, "state"), "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_controller_would_drop_is_refused_before_anything_is_launched() {
    let (controller, _system, acme) = acme(&settings()).await;
    let schema = json!({"type": "object", "properties": {"limit": {"type": "string"}}});
    // A template that never prompts for it cannot even be mapped so.
    let bad = runwarden_harness::tenant::mapping("bad", "plain", json!({"parameters": schema}));
    acme.admin.post("/api/v1/templates", &bad).await.refused(422, "TEMPLATE_UNSUITABLE");
    acme.map_with("ask", "ask-everything", json!({"parameters": schema})).await;
    assert_eq!(text(&acme.launcher.run("ask", json!({"limit": "localhost"})).await, "state"), "succeeded");
    controller.change_template("ask-everything", prompting_for_no_limit()).await;
    let job = acme.launcher.run("ask", json!({"limit": "localhost"})).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("error", "template_unsuitable"), "{job}");
    assert!(text(&job, "reason_detail").contains("limit"), "{job}");
    assert_eq!(controller.launched(), 1, "the second was never launched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_launched_without_what_was_asked_is_cancelled_and_the_job_fails_loudly() {
    let (controller, _system, acme) = acme(&settings()).await;
    let schema = json!({"type": "object", "properties": {"limit": {"type": "string"}}});
    acme.map_with("ask", "ask-everything", json!({"parameters": schema})).await;
    // The template changes after it was looked at and before the launch takes effect.
    controller.at_next_launch(json!({"kind": "slow", "ms": 1000})).await;
    let id = text(&acme.launcher.submit("ask", json!({"limit": "localhost"})).await, "id").to_owned();
    until("the launch to be out", async || (controller.faults_due().await == 0).then_some(())).await;
    controller.change_template("ask-everything", prompting_for_no_limit()).await;
    let job = acme.launcher.over(&id).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("error", "fields_ignored"), "{job}");
    assert!(text(&job, "reason_detail").contains("limit"), "{job}");
    assert_eq!(controller.launched(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_gone_on_the_controller_ends_the_job_readably() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    controller.change_template("deploy", json!({"restricted": true})).await;
    let job = acme.launcher.run("deploy", deployment()).await;
    assert_eq!(text(&job, "state"), "error", "{job}");
    assert!(!text(&job, "reason_detail").is_empty(), "{job}");
    assert_eq!(controller.launched(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_template_was_removed_before_its_launch_ends_as_error() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map_with("one", "hangs", json!({"parameters": {"type": "object", "properties": {}}, "max_concurrent": 1}))
        .await;
    let first = acme.launcher.submit("one", json!({})).await;
    acme.launcher.becomes(text(&first, "id"), "running").await;
    let second = acme.launcher.submit("one", json!({})).await;
    let removed = acme.admin.delete("/api/v1/templates/one").await;
    assert_eq!(removed.status, 204, "{}", removed.text);
    let second = acme.launcher.over(text(&second, "id")).await;
    assert_eq!((text(&second, "state"), text(&second, "reason")), ("error", "template_removed"), "{second}");
    // What runs is still followed and can still be stopped.
    let _asked = stop(&acme.launcher, text(&first, "id")).await;
    assert_eq!(text(&acme.launcher.over(text(&first, "id")).await, "state"), "canceled");
    assert_eq!(controller.launched(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_ends_as_error_when_what_it_was_accepted_for_changes() {
    let (controller, system, acme) = acme(&settings()).await;
    let bare = json!({"parameters": {"type": "object", "properties": {}}, "max_concurrent": 1});
    acme.map_with("one", "hangs", bare.clone()).await;
    let first = acme.launcher.submit("one", json!({})).await;
    acme.launcher.becomes(text(&first, "id"), "running").await;

    let second = acme.launcher.submit("one", json!({})).await;
    let changed = json!({"fixed": {"region": "eu"}});
    let _changed = acme.admin.patch("/api/v1/templates/one", &changed).await.expect(200);
    let second = acme.launcher.over(text(&second, "id")).await;
    assert_eq!((text(&second, "state"), text(&second, "reason")), ("error", "template_changed"), "{second}");

    acme.map_with("two", "hangs", bare).await;
    let running = acme.launcher.submit("two", json!({})).await;
    acme.launcher.becomes(text(&running, "id"), "running").await;
    let third = acme.launcher.submit("two", json!({})).await;
    let platform = system.reach().platform_admin().await;
    let _disabled = platform.patch("/api/v1/tenants/acme", &json!({"disabled": true})).await.expect(200);
    let third = until("the third to end", async || {
        let job = acme.platform.job(text(&third, "id")).await;
        (text(&job, "state") == "error").then_some(job)
    })
    .await;
    assert_eq!(text(&third, "reason"), "tenant_disabled", "{third}");
    assert_eq!(controller.launched(), 2);
}

async fn stop(api: &Api, id: &str) -> serde_json::Value {
    api.act(&format!("/api/v1/jobs/{id}/cancel")).await.expect(202)
}

/// What is left of the template's prompts.
fn prompting_for_no_limit() -> serde_json::Value {
    json!({"ask": ["extra_vars", "skip_tags"]})
}
