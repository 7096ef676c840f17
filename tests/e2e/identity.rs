//! Controllers that do not stay what they were: set up anew at their address, restored from a backup, mapped twice, or
//! mapped again under an old name.

use runwarden_harness::jobs::text;
use runwarden_harness::{Api, Controller, Tenant, until};
use serde_json::{Value, json};

use super::{acme, deployment, settings};

/// A job ended; then its run's id comes again.
async fn ids_come_again(restored: bool) {
    let (mut controller, _system, acme) = acme(&settings().impatient()).await;
    acme.map("deploy", "deploy").await;
    let first = acme.launcher.run("deploy", deployment()).await;
    assert_eq!(text(&first, "state"), "succeeded", "{first}");
    let (id, before) = (controller.launches("deploy")[0], controller.launched());
    let before = if restored {
        controller.restore(0).await;
        before
    } else {
        controller = controller.reinstall().await;
        // It is another installation: what was mapped on the first may be anything there.
        let refused = acme.launcher.run("deploy", deployment()).await;
        assert_eq!((text(&refused, "state"), text(&refused, "reason")), ("error", "template_changed"), "{refused}");
        let _accepted = acme.admin.patch("/api/v1/templates/deploy", &json!({"accept_drift": true})).await.expect(200);
        0
    };
    let second = acme.launcher.run("deploy", deployment()).await;
    assert_eq!(text(&second, "state"), "succeeded", "{second}");
    assert!(acme.launcher.output(text(&second, "id")).await.contains("PLAY RECAP"));
    assert_eq!(controller.launched(), before + 1, "it was launched exactly once");
    assert_eq!(controller.launches("deploy").last(), Some(&id), "its run has the id of the run before");
    assert_eq!(acme.launcher.job(text(&first, "id")).await, first, "the first is what it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_set_up_anew_launches_once_although_ids_come_again() {
    ids_come_again(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_controller_launches_once_although_ids_come_again() {
    ids_come_again(true).await;
}

/// A run of somebody else, with an account of their own.
async fn strange_run(controller: &Controller, template: &str) -> u64 {
    let account = controller.sandbox().account("admin");
    let answer = reqwest::Client::new()
        .post(format!("{}/api/v2/job_templates/{}/launch/", controller.sandbox().url(), Controller::template(template)))
        .basic_auth(account.username, Some(account.password))
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    answer.json::<Value>().await.unwrap()["id"].as_u64().unwrap()
}

/// A job runs while its controller becomes another, or forgets it; a stranger's run gets its id.
async fn across(restored: bool) {
    let (mut controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("hangs", "hangs").await;
    let id = text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    acme.launcher.becomes(&id, "running").await;
    let own = controller.launches("hangs")[0];
    if restored {
        controller.restore(0).await;
    } else {
        controller = controller.reinstall().await;
    }
    assert_eq!(strange_run(&controller, "hangs").await, own, "it has the id of the job's run");
    let kept = acme.launcher.output(&id).await;
    let _asked = acme.launcher.act(&format!("/api/v1/jobs/{id}/cancel")).await.expect(202);
    let job = acme.launcher.over(&id).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("failed", "lost"), "{job}");
    let why = if restored { "another run" } else { "another installation" };
    assert!(text(&job, "reason_detail").contains(why), "{job}");
    assert_eq!(acme.launcher.output(&id).await, kept, "nothing of the stranger's was taken");
    let stranger = controller.run(own).await;
    assert!(["pending", "waiting", "running"].contains(&text(&stranger, "status")), "{stranger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_while_its_controller_is_set_up_anew_takes_nothing_of_a_stranger() {
    across(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_while_its_controller_is_restored_takes_nothing_of_a_stranger() {
    across(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_that_spell_one_controller_differently_do_not_launch_past_each_other() {
    let (controller, system, acme) = acme(&settings().impatient()).await;
    let beta = Tenant::onboard(system.reach(), "beta", &controller).await;
    let by_name = controller.sandbox().url().replace("127.0.0.1", "localhost");
    let spelled = json!({"url": by_name, "credential": {"token": controller.sandbox().token()}});
    let _moved = beta.admin.patch("/api/v1/controllers/awx", &spelled).await.expect(200);
    for tenant in [&acme, &beta] {
        tenant.map_bare("plain", "plain").await;
    }
    // Nothing marks launches of this template, and one of them is lost.
    controller.at_next_launch(json!({"kind": "delay_commit", "commit_after_ms": 100, "hang_ms": 1500})).await;
    let lost = text(&acme.launcher.submit("plain", json!({})).await, "id").to_owned();
    until("the launch to be out", async || (controller.faults_due().await == 0).then_some(())).await;
    let other = text(&beta.launcher.submit("plain", json!({})).await, "id").to_owned();
    until("the other tenant's job to wait", async || {
        let job = beta.launcher.job(&other).await;
        text(&job, "progress").contains("another launch of this template").then_some(())
    })
    .await;
    assert_eq!(text(&acme.launcher.over(&lost).await, "state"), "succeeded");
    assert_eq!(text(&beta.launcher.over(&other).await, "state"), "succeeded");
    assert_eq!(controller.launched(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_made_again_under_its_name_is_where_its_jobs_go() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    assert_eq!(text(&acme.launcher.run("deploy", deployment()).await, "state"), "succeeded");
    let _gone = acme.admin.delete("/api/v1/templates/deploy").await.expect(204);
    let _gone = acme.admin.delete("/api/v1/controllers/awx").await.expect(204);
    let elsewhere = Controller::start().await;
    let _again = acme.admin.post("/api/v1/controllers", &elsewhere.mapping("awx")).await.expect(201);
    acme.map("deploy", "deploy").await;
    assert_eq!(text(&acme.launcher.run("deploy", deployment()).await, "state"), "succeeded");
    assert_eq!((controller.launched(), elsewhere.launched()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_cannot_bind_a_run_that_was_never_the_jobs() {
    let (controller, _system, acme) = acme(&settings().impatient()).await;
    acme.map_bare("plain", "plain").await;
    controller.at_next_launch(json!({"kind": "delay_commit", "commit_after_ms": 100, "hang_ms": 1500})).await;
    let id = text(&acme.launcher.submit("plain", json!({})).await, "id").to_owned();
    until("the launch to be out", async || (controller.faults_due().await == 0).then_some(())).await;
    let sandbox = Api::with_token(&controller.sandbox().url(), &controller.sandbox().token());
    let _alike = sandbox.post("/api/v2/job_templates/9/launch/", &json!({})).await.expect(201);
    let others = strange_run(&controller, "plain").await;
    let job = acme.launcher.over(&id).await;
    assert_eq!(text(&job, "state"), "unknown", "{job}");
    let said = json!({"action": "bind", "run": others, "reason": "a guess"});
    let refused = acme.admin.post(&format!("/api/v1/jobs/{id}/resolve"), &said).await.expect(422);
    assert!(refused.to_string().contains("was launched by account"), "{refused}");
    assert_eq!(text(&acme.launcher.job(&id).await, "state"), "unknown");
}
