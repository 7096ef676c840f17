//! What Runwarden's account may not see for a while: nothing is concluded from that, and what can be found again is.

use runwarden_harness::jobs::text;
use runwarden_harness::{Controller, System, Tenant, until};
use serde_json::{Value, json};

use super::{acme, deployment, settings};

/// A job whose run hangs, on a controller of its own; a run that is missing for a second is lost.
async fn running() -> (Controller, System, Tenant, String) {
    let (controller, system, acme) = acme(&settings().set("RUNWARDEN_EXECUTOR_RUN_MISSING_TIME", "1s")).await;
    acme.map_bare("hangs", "hangs").await;
    let id = text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    acme.launcher.becomes(&id, "running").await;
    (controller, system, acme, id)
}

/// The job, once its progress says this.
async fn progress(acme: &Tenant, id: &str, words: &str) -> Value {
    until(&format!("the progress to say {words}"), async || {
        let job = acme.launcher.job(id).await;
        text(&job, "progress").contains(words).then_some(job)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_hidden_is_not_lost_and_is_found_again() {
    let (controller, _system, acme, id) = running().await;
    controller.hide("hangs").await;
    let hidden = progress(&acme, &id, "nothing is known of its run since").await;
    assert_eq!(text(&hidden, "state"), "running", "{hidden}");
    // It is asked for by itself again and again, for longer than what is missing is waited for.
    controller.reset_requests().await;
    until("it to be asked for again", async || (controller.requests_to("/jobs/ID/").await >= 2).then_some(())).await;
    let hidden = acme.launcher.job(&id).await;
    assert_eq!(text(&hidden, "state"), "running", "{hidden}");
    assert!(text(&hidden, "progress").contains("hides the run"), "{hidden}");
    controller.finish_all("successful").await;
    controller.show("hangs").await;
    let job = acme.launcher.over(&id).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    assert_eq!(controller.launched(), 1);
    let output = acme.launcher.get(&format!("/api/v1/jobs/{id}/output")).await;
    assert_eq!(output.header("x-output-incomplete"), "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_deleted_is_lost_once_our_account_is_proven_to_see_and_its_output_says_so() {
    let (controller, _system, acme, id) = running().await;
    controller.hide("hangs").await;
    controller.delete_run(controller.launches("hangs")[0]).await;
    let unseen = progress(&acme, &id, "hides template").await;
    assert_eq!(text(&unseen, "state"), "running", "{unseen}");
    controller.show("hangs").await;
    let job = acme.launcher.over(&id).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("failed", "lost"), "{job}");
    let output = acme.launcher.get(&format!("/api/v1/jobs/{id}/output")).await;
    assert_eq!((output.status, output.header("x-output-incomplete")), (200, "true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_launch_that_is_hidden_is_left_to_a_person_and_never_repeated() {
    let settings = settings().impatient().set("RUNWARDEN_EXECUTOR_RUN_MISSING_TIME", "1s");
    let (controller, _system, acme) = acme(&settings).await;
    acme.map("deploy", "deploy").await;
    controller.at_next_launch(json!({"kind": "lose_after", "after_ms": 1500})).await;
    let id = text(&acme.launcher.submit("deploy", deployment()).await, "id").to_owned();
    until("the launch to be out", async || (controller.launched() == 1).then_some(())).await;
    controller.hide("deploy").await;
    let job = acme.launcher.over(&id).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("unknown", "untraceable"), "{job}");
    assert!(text(&job, "reason_detail").contains("hides template"), "{job}");
    let [run] = controller.launches("deploy").try_into().expect("one launch, which nobody could see");
    controller.show("deploy").await;
    let said = json!({"action": "bind", "run": run, "reason": "the right was given back"});
    let _bound = acme.admin.post(&format!("/api/v1/jobs/{id}/resolve"), &said).await.expect(202);
    assert_eq!(text(&acme.launcher.over(&id).await, "state"), "succeeded");
    assert_eq!(controller.launched(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_controller_tells_nothing_progress_does_not_claim_to_know() {
    let (controller, _system, acme, id) = running().await;
    progress(&acme, &id, "running").await;
    let down = json!({"path": "/api/v2/", "times": 1_000_000, "fault": {"kind": "status", "status": 502}});
    controller.order(down).await;
    let unheard = progress(&acme, &id, "nothing is known of its run since").await;
    assert_eq!(text(&unheard, "state"), "running", "{unheard}");
    assert!(text(&unheard, "progress").contains("502"), "{unheard}");
    let list = acme.launcher.get("/api/v1/jobs?state=running").await.expect(200);
    assert!(text(&list["items"][0], "progress").contains("nothing is known"), "{list}");
    controller.clear_faults().await;
    until("it to be known again", async || {
        (text(&acme.launcher.job(&id).await, "progress") == "running").then_some(())
    })
    .await;
    controller.lock_account("runwarden").await;
    let unheard = progress(&acme, &id, "401").await;
    assert!(text(&unheard, "progress").starts_with("nothing is known of its run since"), "{unheard}");
    controller.unlock_account("runwarden").await;
    controller.finish_all("successful").await;
    assert_eq!(text(&acme.launcher.over(&id).await, "state"), "succeeded");
}
