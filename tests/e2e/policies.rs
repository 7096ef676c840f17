//! Policies decide which jobs may be run, and say why not.

use reqwest::Method;
use runwarden_harness::jobs::text;
use serde_json::json;

use super::{acme, settings};

const DEV_ONLY: &str = include_str!("../../services/policy/examples/launchers-dev-only.rego");

#[tokio::test(flavor = "multi_thread")]
async fn launchers_may_use_one_environment_only_while_a_policy_says_so() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let dev = json!({"environment": "dev", "version": "1"});
    let prod = json!({"environment": "prod", "version": "1"});
    let submit_prod = json!({"template": "deploy", "parameters": prod});
    let put = acme.admin.call(Method::PUT, "/api/v1/policies/dev-only").text(DEV_ONLY).send().await;
    assert!([200, 201].contains(&put.status), "{}", put.text);

    assert_eq!(text(&acme.launcher.run("deploy", dev).await, "state"), "succeeded");
    let denied = acme.launcher.post("/api/v1/jobs", &submit_prod).await.refused(403, "POLICY_DENIED");
    let reason = "launchers may use environment=dev only, not environment=prod";
    assert!(text(&denied, "detail").contains(reason), "{denied}");
    assert_eq!(denied["errors"][0]["detail"], reason, "{denied}");
    assert_eq!(controller.launched(), 1);

    let records = acme.admin.all("/api/v1/audit/records?action=job.submit").await;
    let record = records.iter().find(|record| text(record, "outcome") == "denied").unwrap();
    assert_eq!(record["actor"]["name"], "ci");
    assert_eq!(text(record, "request_id"), text(&denied, "request_id"));
    assert!(!text(record, "policy_digest").is_empty() && !text(record, "decision_id").is_empty(), "{record}");
    assert!(record["details"].to_string().contains(reason), "{record}");
    assert_eq!(acme.launcher.all("/api/v1/jobs").await.len(), 1, "what was denied is no job");

    let removed = acme.admin.delete("/api/v1/policies/dev-only").await;
    assert_eq!(removed.status, 204, "{}", removed.text);
    assert_eq!(text(&acme.launcher.run("deploy", prod).await, "state"), "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_the_platform_holds_for_every_tenant() {
    let (_controller, system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let platform = system.reach().platform_admin().await;
    let module = "package runwarden.authz\n\ndeny contains \"the platform is closed\" if input.parameters.environment == \"prod\"\n";
    let put = platform.call(Method::PUT, "/api/v1/policies/closed").text(module).send().await;
    assert!([200, 201].contains(&put.status), "{}", put.text);
    let body = json!({"template": "deploy", "parameters": {"environment": "prod", "version": "1"}});
    let denied = acme.launcher.post("/api/v1/jobs", &body).await.refused(403, "POLICY_DENIED");
    assert!(text(&denied, "detail").contains("the platform is closed"), "{denied}");
    let dev = json!({"environment": "dev", "version": "1"});
    assert_eq!(text(&acme.launcher.run("deploy", dev).await, "state"), "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_be_used_is_refused_and_the_one_before_goes_on_deciding() {
    let (_controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let put = async |text: &str| acme.admin.call(Method::PUT, "/api/v1/policies/rules").text(text).send().await;
    assert!([200, 201].contains(&put(DEV_ONLY).await.status));
    let broken = put("package runwarden.authz\n\nallow if {\n").await.refused(422, "POLICY_INVALID");
    assert!(broken.to_string().contains("line"), "{broken}");
    let body = json!({"template": "deploy", "parameters": {"environment": "prod", "version": "1"}});
    acme.launcher.post("/api/v1/jobs", &body).await.refused(403, "POLICY_DENIED");
    let dev = json!({"environment": "dev", "version": "1"});
    assert_eq!(text(&acme.launcher.run("deploy", dev).await, "state"), "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_answered_decides_the_next_submit_every_time() {
    // So that the executor keeps the tenant's own policies.
    let (_controller, _system, acme) = acme(&settings().set("RUNWARDEN_POLICY_IN_PROCESS", "all")).await;
    acme.map("deploy", "deploy").await;
    let body = json!({"template": "deploy", "parameters": {"environment": "dev", "version": "1"}});
    let put = async |rules: &str| {
        let module = format!("package runwarden.authz\n\n{rules}\n");
        let put = acme.admin.call(Method::PUT, "/api/v1/policies/rules").text(&module).send().await;
        assert!([200, 201].contains(&put.status), "{}", put.text);
    };
    for round in 0..5 {
        put(&format!("allow if input.parameters.environment == \"dev\" # {round}")).await;
        // Twice: the second may be decided with what the first one made the executor keep.
        for _ in 0..2 {
            let _accepted = acme.launcher.post("/api/v1/jobs", &body).await.expect(202);
        }
        put(&format!("deny contains \"closed in round {round}\" if true\nallow := true")).await;
        let denied = acme.launcher.post("/api/v1/jobs", &body).await.refused(403, "POLICY_DENIED");
        assert!(text(&denied, "detail").contains(&format!("closed in round {round}")), "{denied}");
    }
    let removed = acme.admin.delete("/api/v1/policies/rules").await;
    assert_eq!(removed.status, 204, "{}", removed.text);
    let _accepted = acme.launcher.post("/api/v1/jobs", &body).await.expect(202);
}
