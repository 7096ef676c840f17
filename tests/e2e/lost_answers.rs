//! The controller's answer to a launch is lost, before or after it took effect: still exactly one launch.

use runwarden_harness::jobs::text;
use runwarden_harness::{Api, Controller, System, Tenant, until};
use serde_json::{Value, json};
use tokio::task::{JoinSet, LocalSet};

use super::{acme, deployment, settings};

/// One way of losing an answer: what goes wrong, and how many attempts it takes.
struct Loss {
    name: &'static str,
    fault: Value,
    attempts: usize,
}

fn loss(name: &'static str, attempts: usize, fault: Value) -> Loss {
    Loss { name, fault, attempts }
}

/// What a firewall says in the controller's place, before it passes a launch on or when it sees the answer.
fn firewall(after: bool) -> Value {
    json!({"kind": "status", "status": 403, "json": {"message": "forbidden"}, "after": after})
}

/// What may happen to any launch.
fn losses() -> Vec<Loss> {
    vec![
        loss("never-arrived", 2, json!({"kind": "lose_before"})),
        loss("answer-lost", 1, json!({"kind": "lose_after"})),
        loss("took-effect-later", 1, json!({"kind": "delay_commit", "commit_after_ms": 1500, "hang_ms": 100})),
        loss("took-longer-than-waited", 1, json!({"kind": "delay_commit", "commit_after_ms": 2700, "hang_ms": 10_000})),
        loss("error-page-of-a-proxy", 2, json!({"kind": "status", "status": 502})),
        loss("log-in-page", 2, json!({"kind": "redirect", "location": "https://login.example/"})),
        loss("log-in-page-after", 1, json!({"kind": "redirect", "location": "https://login.example/", "after": true})),
        loss("firewall", 2, firewall(false)),
        loss("firewall-after", 1, firewall(true)),
        loss("maintenance-page", 2, json!({"kind": "status", "status": 200})),
        loss("default-backend-after", 1, json!({"kind": "status", "status": 404, "after": true})),
    ]
}

/// Each loss in a tenant and on a controller of its own, all at once.
async fn each_comes_to_one_launch(template: &'static str, schema: Value, parameters: Value) {
    let system = System::start(&settings().impatient()).await;
    let (local, mut cases) = (LocalSet::new(), JoinSet::new());
    for loss in losses() {
        let (reach, schema, parameters) = (system.reach().clone(), schema.clone(), parameters.clone());
        cases.spawn_local_on(
            async move {
                let controller = Controller::start().await;
                let tenant = Tenant::onboard(&reach, loss.name, &controller).await;
                tenant.map_with(template, template, json!({"parameters": schema})).await;
                controller.at_next_launch(loss.fault).await;
                let job = tenant.launcher.run(template, parameters).await;
                assert_eq!(text(&job, "state"), "succeeded", "{}: {job}", loss.name);
                assert_eq!(controller.launches(template).len(), 1, "{}: launched exactly once", loss.name);
                let trail = tenant.admin.trail(text(&job, "id")).await;
                let intents = trail.iter().filter(|record| text(record, "action") == "job.launch").count();
                assert_eq!(intents, loss.attempts, "{}: each attempt's intent is on record", loss.name);
            },
            &local,
        );
    }
    local.run_until(cases.join_all()).await;
    let told = system.log().matches("it is not known whether the launch happened").count();
    assert_eq!(told, losses().len(), "every answer was really lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_an_answer_is_lost_there_is_one_launch() {
    each_comes_to_one_launch("deploy", json!("import"), deployment()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_an_answer_is_lost_there_is_one_launch_where_nothing_can_mark_it() {
    each_comes_to_one_launch("plain", json!({"type": "object", "properties": {}}), json!({})).await;
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
