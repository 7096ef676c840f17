//! Ambiguous launches are left to a person: bound, launched again or given up, with a reason, on record.

use runwarden_harness::jobs::text;
use runwarden_harness::{Answer, Api, Controller, System, Tenant, until};
use serde_json::{Value, json};

use super::{acme, settings};

/// A job that is `unknown`, with its true run and one that somebody launched by hand.
pub(super) struct Undecided {
    controller: Controller,
    _system: System,
    pub(super) acme: Tenant,
    pub(super) id: String,
    by_hand: u64,
}

pub(super) async fn undecided() -> Undecided {
    let (controller, system, acme) = acme(&settings().impatient()).await;
    acme.map_bare("plain", "plain").await;
    controller.at_next_launch(json!({"kind": "delay_commit", "commit_after_ms": 100, "hang_ms": 1500})).await;
    let id = text(&acme.launcher.submit("plain", json!({})).await, "id").to_owned();
    until("the launch to be out", async || (controller.faults_due().await == 0).then_some(())).await;
    let by_hand = launch_by_hand(&controller).await;
    let job = acme.launcher.over(&id).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("unknown", "ambiguous"), "{job}");
    Undecided { controller, _system: system, acme, id, by_hand }
}

/// Somebody uses Runwarden's account to launch the very same.
async fn launch_by_hand(controller: &Controller) -> u64 {
    let sandbox = Api::with_token(&controller.sandbox().url(), &controller.sandbox().token());
    let run = sandbox.post("/api/v2/job_templates/9/launch/", &json!({})).await.expect(201);
    run["id"].as_u64().unwrap()
}

impl Undecided {
    async fn say(&self, who: &Api, said: Value) -> Answer {
        who.post(&format!("/api/v1/jobs/{}/resolve", self.id), &said).await
    }

    async fn attempts(&self) -> Vec<Value> {
        let told = self.acme.admin.get(&format!("/api/v1/jobs/{}/attempts", self.id)).await.expect(200);
        told["items"].as_array().unwrap().clone()
    }

    fn true_run(&self) -> u64 {
        let mut runs = self.controller.launches("plain");
        runs.retain(|run| *run != self.by_hand);
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs[0]
    }

    async fn resolved_on_record(&self, resolution: &str) {
        let trail = self.acme.admin.trail(&self.id).await;
        let said: Vec<&Value> = trail.iter().filter(|record| text(record, "action") == "job.resolve").collect();
        assert_eq!(said.len(), 1, "{trail:?}");
        assert_eq!(said[0]["details"]["resolution"], resolution, "{}", said[0]);
        assert_eq!(said[0]["details"]["reason"], "looked at it", "{}", said[0]);
        let who = said[0]["actor"]["principal"].as_str().unwrap();
        assert!(who.starts_with("sa_"), "a person said so, not a service: {who}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_bind_the_run_that_it_became() {
    let case = undecided().await;
    let attempts = case.attempts().await;
    assert_eq!(attempts.len(), 1);
    assert_eq!((text(&attempts[0], "state"), text(&attempts[0], "marker_placement")), ("ambiguous", "none"));
    let run = case.true_run();
    assert!(attempts[0]["candidates"].as_array().unwrap().contains(&json!(run)), "{}", attempts[0]);
    assert!(!text(&attempts[0], "controller_time").is_empty(), "the intent carries the controller's time");
    let bind = |run: u64| json!({"action": "bind", "run": run, "reason": "looked at it"});
    // Nobody else, nothing else, nothing without a reason.
    assert_eq!(case.say(&case.acme.launcher, bind(run)).await.status, 404, "not on the public listener");
    let launcher = case.acme.launcher.at(case.acme.admin.base());
    case.say(&launcher, bind(run)).await.refused(403, "PERMISSION_DENIED");
    case.say(&case.acme.admin, json!({"action": "bind", "run": run})).await.refused(422, "VALIDATION_FAILED");
    case.say(&case.acme.admin, bind(999_999)).await.refused(422, "VALIDATION_FAILED");
    case.acme.map("deploy", "deploy").await;
    let other = case.acme.launcher.run("deploy", super::deployment()).await;
    assert_eq!(text(&other, "state"), "succeeded", "{other}");
    let foreign = case.controller.launches("deploy")[0];
    case.say(&case.acme.admin, bind(foreign)).await.refused(422, "VALIDATION_FAILED");

    let job = case.say(&case.acme.admin, bind(run)).await.expect(202);
    assert_eq!(text(&job, "state"), "running", "{job}");
    let job = case.acme.launcher.over(&case.id).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    assert_eq!(case.attempts().await[0]["run"], json!(run));
    case.say(&case.acme.admin, bind(run)).await.refused(409, "CONFLICT");
    case.resolved_on_record("bind").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_have_it_launched_again() {
    let case = undecided().await;
    let before = case.controller.launches("plain").len();
    let job = case.say(&case.acme.admin, json!({"action": "retry", "reason": "looked at it"})).await.expect(202);
    assert_eq!(text(&job, "state"), "launching", "{job}");
    let job = case.acme.launcher.over(&case.id).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    assert_eq!(case.controller.launches("plain").len(), before + 1);
    let attempts = case.attempts().await;
    let states: Vec<&str> = attempts.iter().map(|attempt| text(attempt, "state")).collect();
    assert_eq!(states, ["not_launched", "bound"]);
    case.resolved_on_record("retry").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_give_up_and_those_that_waited_behind_it_go_on() {
    let case = undecided().await;
    let waits = text(&case.acme.launcher.submit("plain", json!({})).await, "id").to_owned();
    until("the other to be told what it waits for", async || {
        let job = case.acme.launcher.job(&waits).await;
        assert_eq!(text(&job, "state"), "new", "no launch starts while one without a marker is unresolved: {job}");
        text(&job, "progress").contains("another launch of this template").then_some(())
    })
    .await;
    let launched = case.controller.launches("plain").len();
    let job = case.say(&case.acme.admin, json!({"action": "give_up", "reason": "looked at it"})).await.expect(202);
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("failed", "given_up"), "{job}");
    assert!(text(&job, "reason_detail").contains("looked at it"), "{job}");
    let job = case.acme.launcher.over(&waits).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    assert_eq!(case.controller.launches("plain").len(), launched + 1);
    case.resolved_on_record("give_up").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_whose_controller_is_elsewhere_now_is_left_to_a_person() {
    let (controller, _system, acme) = acme(&settings().impatient()).await;
    acme.map("deploy", "deploy").await;
    controller.at_next_launch(json!({"kind": "lose_after"})).await;
    // Whoever moves the controller while the answer is lost takes away who could be asked.
    controller
        .order(json!({"method": "GET", "path": "/unified_jobs", "times": 3, "fault": {"kind": "slow", "ms": 1500}}))
        .await;
    let id = text(&acme.launcher.submit("deploy", super::deployment()).await, "id").to_owned();
    until("the launch to be out", async || (controller.launched() == 1).then_some(())).await;
    let elsewhere = Controller::start().await;
    let moved = json!({"url": elsewhere.sandbox().url(), "credential": {"token": elsewhere.sandbox().token()}});
    let _moved = acme.admin.patch("/api/v1/controllers/awx", &moved).await.expect(200);
    let job = acme.launcher.over(&id).await;
    if text(&job, "state") == "unknown" {
        assert_eq!(text(&job, "reason"), "untraceable", "{job}");
        assert!(text(&job, "reason_detail").contains(&controller.sandbox().url()), "{job}");
        let back = json!({"url": controller.sandbox().url(), "credential": {"token": controller.sandbox().token()}});
        let _back = acme.admin.patch("/api/v1/controllers/awx", &back).await.expect(200);
        let run = controller.launches("deploy")[0];
        let said = json!({"action": "bind", "run": run, "reason": "moved back"});
        let _bound = acme.admin.post(&format!("/api/v1/jobs/{id}/resolve"), &said).await.expect(202);
        assert_eq!(text(&acme.launcher.over(&id).await, "state"), "succeeded");
    }
    assert_eq!((controller.launched(), elsewhere.launched()), (1, 0), "never launched anew somewhere else");
}
