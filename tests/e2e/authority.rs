//! A job that waits outlives neither its client nor the policies that allowed it; a repeat outlives nearly everything.

use std::time::{Duration, Instant};

use reqwest::Method;
use runwarden_harness::jobs::text;
use runwarden_harness::{Answer, Api, Signal, until};
use serde_json::{Value, json};

use super::queues::{held_up, id};
use super::{acme, settings};

/// The record of what was asked again, and the one of its acceptance.
async fn records(admin: &Api, job: &str) -> (Value, Value) {
    let trail = admin.trail(job).await;
    let of = |action: &str| trail.iter().find(|record| text(record, "action") == action).cloned().unwrap_or_default();
    (of("job.authorize"), of("job.submit"))
}

/// Waits until what was shown at a submit no longer counts at the launch.
async fn no_longer_shown(submitted: Instant) {
    until("a second to pass", async || (submitted.elapsed() > Duration::from_millis(1100)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_is_not_launched_for_a_client_that_was_disabled_or_lost_its_role() {
    let (controller, _system, acme, first) = held_up().await;
    let disabled = acme.caller("leaver", Some("web"), &["launcher"]).await;
    let demoted = acme.caller("demoted", Some("web"), &["launcher"]).await;
    let waiting = [id(&disabled.submit("one", json!({})).await), id(&demoted.submit("one", json!({})).await)];
    let submitted = Instant::now();
    let clients = acme.admin.all("/api/v1/clients").await;
    let client = |name: &str| clients.iter().find(|client| client["name"] == name).unwrap().clone();
    let path = format!("/api/v1/clients/{}", text(&client("leaver"), "client_id"));
    let _disabled = acme.admin.patch(&path, &json!({"disabled": true})).await.expect(200);
    let bindings = acme.admin.all("/api/v1/bindings").await;
    let binding = bindings.iter().find(|binding| binding["principal"] == client("demoted")["principal"]).unwrap();
    let taken = acme.admin.delete(&format!("/api/v1/bindings/{}", text(binding, "id"))).await;
    assert_eq!(taken.status, 204, "{}", taken.text);

    no_longer_shown(submitted).await;
    controller.finish_run(controller.launches("hangs")[0], "successful").await;
    assert_eq!(text(&acme.admin.over(&first).await, "state"), "succeeded");
    for job in &waiting {
        let ended = acme.admin.over(job).await;
        assert_eq!((text(&ended, "state"), text(&ended, "reason")), ("error", "authority_revoked"), "{ended}");
        let (asked, _) = records(&acme.admin, job).await;
        assert_eq!(text(&asked, "outcome"), "denied", "{asked}");
    }
    assert_eq!(controller.launches("hangs").len(), 1, "only the one that was launched before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_is_judged_by_the_policies_of_its_launch() {
    let (controller, mut system, acme, first) = held_up().await;
    let waiting = id(&acme.launcher.submit("one", json!({})).await);
    let module = "package runwarden.authz\n\nallow := true\n\ndeny contains \"closed for today\"\n";
    let put = acme.admin.call(Method::PUT, "/api/v1/policies/closed").text(module).send().await;
    assert!([200, 201].contains(&put.status), "{}", put.text);
    // It is not in anybody's memory that the job was allowed.
    system.restart(Signal::Kill).await;
    controller.finish_run(controller.launches("hangs")[0], "successful").await;
    assert_eq!(text(&acme.admin.over(&first).await, "state"), "succeeded");
    let ended = acme.admin.over(&waiting).await;
    assert_eq!((text(&ended, "state"), text(&ended, "reason")), ("error", "policy_denied"), "{ended}");
    assert!(text(&ended, "reason_detail").contains("closed for today"), "{ended}");
    let (asked, accepted) = records(&acme.admin, &waiting).await;
    assert!(text(&asked, "decision_id").starts_with("dec_"), "{asked}");
    assert_ne!(text(&asked, "decision_id"), text(&accepted, "decision_id"));
    assert_ne!(text(&asked, "policy_digest"), text(&accepted, "policy_digest"));
    assert_eq!(controller.launches("hangs").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waited_for_nothing_but_its_turn_is_launched_on_a_decision_of_its_own() {
    let (controller, _system, acme, _first) = held_up().await;
    let waiting = id(&acme.launcher.submit("one", json!({})).await);
    no_longer_shown(Instant::now()).await;
    controller.finish_run(controller.launches("hangs")[0], "successful").await;
    acme.launcher.becomes(&waiting, "running").await;
    controller.finish_run(controller.launches("hangs")[1], "successful").await;
    let _over = acme.launcher.over(&waiting).await;
    let trail = acme.admin.trail(&waiting).await;
    let of = |action: &str| trail.iter().find(|record| text(record, "action") == action).unwrap();
    assert_ne!(text(of("job.launch"), "decision_id"), text(of("job.submit"), "decision_id"));
    assert_eq!(text(of("job.launch"), "policy_digest"), text(of("job.submit"), "policy_digest"), "nothing had changed");
    assert_eq!(of("job.launch")["details"]["decided_again"], true);
}

async fn submit(api: &Api, body: &Value) -> Answer {
    api.call(Method::POST, "/api/v1/jobs").header("idempotency-key", "once").json(body).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_answer_although_template_and_role_are_gone() {
    let (_controller, system, acme) = acme(&settings()).await;
    let schema = json!({"type": "object", "properties": {"n": {"type": "number", "maximum": 100}}});
    acme.map_with("counted", "ask-variables", json!({"parameters": schema})).await;
    let body = json!({"template": "counted", "parameters": {"n": 100}});
    let first = submit(&acme.launcher, &body).await.expect(202);
    let _over = acme.launcher.over(text(&first, "id")).await;
    // As some clients write it, and too much by less than a rounding.
    let as_text = |number: &str| format!(r#"{{"template": "counted", "parameters": {{"n": {number}}}}}"#);
    let send = async |text: String| {
        let call = acme.launcher.call(Method::POST, "/api/v1/jobs").header("idempotency-key", "once");
        call.json_text(&text).send().await
    };
    assert_eq!(send(as_text("1e2")).await.expect(202), first);
    send(as_text("100.000000000000000001")).await.refused(400, "MALFORMED_REQUEST");

    let removed = acme.admin.delete("/api/v1/templates/counted").await;
    assert_eq!(removed.status, 204, "{}", removed.text);
    let _made = acme.admin.post("/api/v1/projects", &json!({"name": "ops"})).await.expect(201);
    let principal = text(&first, "requested_by").to_owned();
    let elsewhere = json!({"principal": principal, "role": "launcher", "project": "ops"});
    let _bound = acme.admin.post("/api/v1/bindings", &elsewhere).await.expect(201);
    let bindings = acme.admin.all("/api/v1/bindings").await;
    let at_web = |binding: &&Value| binding["principal"] == principal.as_str() && binding["project"] == "web";
    let binding = bindings.iter().find(at_web).unwrap_or_else(|| panic!("{bindings:?}"));
    let taken = acme.admin.delete(&format!("/api/v1/bindings/{}", text(binding, "id"))).await;
    assert_eq!(taken.status, 204, "{}", taken.text);
    let base = &system.reach().base_url;
    let narrowed = until("a token with the narrowed role", async || {
        let token = Api::ask_token(base, &acme.launcher_credentials).await.json()["access_token"].as_str()?.to_owned();
        let api = Api::with_token(base, &token);
        (submit(&api, &body).await.status == 202).then_some(api)
    })
    .await;
    assert_eq!(submit(&narrowed, &body).await.expect(202), first);

    // Not although its authority was revoked.
    let path = format!("/api/v1/clients/{}", acme.launcher_credentials.id);
    let _disabled = acme.admin.patch(&path, &json!({"disabled": true})).await.expect(200);
    until("the client to be out", async || (submit(&narrowed, &body).await.status == 401).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_with_long_reasons_in_wide_characters_is_a_denial_on_record() {
    let (_controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let module = format!(
        "package runwarden.authz\n\nallow := true\n\ndeny contains sprintf(\"%d {}\", [n]) if some n in numbers.range(1, 30)\n",
        "𝕏".repeat(200)
    );
    let put = acme.admin.call(Method::PUT, "/api/v1/policies/wordy").text(&module).send().await;
    assert!([200, 201].contains(&put.status), "{}", put.text);
    let body = json!({"template": "deploy", "parameters": super::deployment()});
    let denied = acme.launcher.post("/api/v1/jobs", &body).await.refused(403, "POLICY_DENIED");
    assert!(text(&denied, "detail").contains("𝕏") && denied["errors"].as_array().unwrap().len() > 5, "{denied}");
    let records = acme.admin.all("/api/v1/audit/records?action=job.submit").await;
    let record = records.iter().find(|record| text(record, "outcome") == "denied").unwrap();
    assert!(record["details"].to_string().contains("𝕏"), "{record}");
}
