//! A controller that sends notifications of its runs: what ends is noticed at once, nothing that is said
//! is believed, and what is not said only costs time.

use std::time::{Duration, Instant};

use runwarden_harness::jobs::text;
use runwarden_harness::tenant::CONTROLLER;
use runwarden_harness::{Api, Controller, Credentials, System, Tenant, until};
use serde_json::json;

use super::{acme, metric, settings};

/// How many ends in a row must be announced before a controller is polled less often.
const PROVEN: usize = 3;

fn path() -> String {
    format!("/api/v1/controllers/{CONTROLLER}/notifications")
}

/// Has the controller announce the ends of its runs. The client that it does so as.
async fn announce(controller: &Controller, tenant: &Tenant) -> Credentials {
    let client = tenant.client("awx", None, &["notifier"]).await;
    controller.notify(&format!("{}{}", tenant.launcher.base(), path()), &client, &["success", "error"]).await;
    client
}

/// A job whose run hangs and has been looked at once. The job and the run.
async fn looked_at(controller: &Controller, tenant: &Tenant) -> (String, u64) {
    let before = controller.launches("hangs").len();
    let id = text(&tenant.launcher.submit("hangs", json!({})).await, "id").to_owned();
    let run = until("the run to run", async || {
        let run = *controller.launches("hangs").get(before)?;
        (controller.run(run).await["status"] == "running").then_some(run)
    })
    .await;
    let seen = ["pending", "waiting", "running"];
    until("it to be looked at", async || {
        let job = tenant.launcher.job(&id).await;
        seen.iter().any(|seen| text(&job, "progress").starts_with(seen)).then_some(())
    })
    .await;
    (id, run)
}

/// Runs jobs until the controller's announcements have proven reliable.
async fn prove(controller: &Controller, tenant: &Tenant) {
    for _ in 0..PROVEN {
        let (id, run) = looked_at(controller, tenant).await;
        controller.finish_run(run, "successful").await;
        tenant.launcher.becomes(&id, "succeeded").await;
    }
    until("every notification to be answered", async || (controller.notified().await.len() >= PROVEN).then_some(()))
        .await;
    assert_eq!(controller.notified().await, [204; PROVEN]);
}

/// A controller whose announcements have proven reliable, so that it is polled this often.
async fn proven(poll: &str) -> (Controller, System, Tenant) {
    let settings = settings().set("RUNWARDEN_EXECUTOR_POLL_HINTED", poll);
    let (controller, system, acme) = acme(&settings).await;
    acme.map_bare("hangs", "hangs").await;
    announce(&controller, &acme).await;
    prove(&controller, &acme).await;
    (controller, system, acme)
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_noticed_by_what_announced_them_in_less_than_a_second() {
    let metrics = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let settings = settings()
        .set("RUNWARDEN_EXECUTOR_POLL_QUIET", "5m")
        .set("RUNWARDEN_EXECUTOR_POLL_HINTED", "5m")
        .set("RUNWARDEN_METRICS_LISTEN", &metrics);
    let (controller, _system, acme) = acme(&settings).await;
    acme.map_bare("hangs", "hangs").await;
    announce(&controller, &acme).await;
    prove(&controller, &acme).await;
    let noticed = async || {
        let by = async |by: &str| metric(&metrics, &format!("runwarden_ends_noticed_total{{by=\"{by}\"}}")).await;
        (by("hint").await, by("poll").await)
    };
    let (by_hint, by_poll) = noticed().await;
    let mut took = Vec::new();
    for _ in 0..3 {
        let (id, run) = looked_at(&controller, &acme).await;
        let begun = Instant::now();
        controller.finish_run(run, "failed").await;
        let job = acme.launcher.becomes(&id, "failed").await;
        took.push(begun.elapsed());
        assert_eq!(text(&job, "reason"), "playbook_failed", "{job}");
    }
    assert_eq!(noticed().await, (by_hint + 3.0, by_poll), "the next poll was minutes away");
    // A busy machine may delay some of them.
    assert!(took.iter().min() < Some(&Duration::from_secs(1)), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_notification_changes_nothing_and_tells_nothing() {
    let settings = settings().set("RUNWARDEN_EXECUTOR_POLL_HINTED", "5m");
    let (controller, system, acme) = acme(&settings).await;
    acme.map_bare("hangs", "hangs").await;
    let client = announce(&controller, &acme).await;
    prove(&controller, &acme).await;
    let (id, run) = looked_at(&controller, &acme).await;
    // Another tenant's, on a controller of the same name and the same installation.
    let other = Tenant::onboard(system.reach(), "other", &controller).await;
    let theirs = other.caller("awx", None, &["notifier"]).await;
    let ours = Api::log_in(acme.launcher.base(), &client).await;
    let looks = async || controller.requests_to("unified_jobs").await;
    let before = looks().await;
    let ended = json!({"id": run, "status": "successful", "finished": "2026-11-28T10:00:00Z"});
    for (who, path, body) in [
        (&theirs, path(), ended.clone()),
        (&ours, path(), json!({"id": run + 1000, "status": "successful"})),
        (&ours, path().replace(CONTROLLER, "nobody"), ended.clone()),
        (&ours, path(), json!({"body": "Test Notification 1 https://awx.example"})),
        // Right but for what it says.
        (&ours, path(), ended.clone()),
    ] {
        let answer = who.post(&path, &body).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{path} {body}");
    }
    until("the run to be looked at again", async || (looks().await > before).then_some(())).await;
    assert_eq!(looks().await, before + 1, "only a followed run of this tenant is looked at, and once");
    assert_eq!(text(&acme.launcher.job(&id).await, "state"), "running");
    controller.finish_run(run, "successful").await;
    acme.launcher.becomes(&id, "succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_announce_is_listened_to() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.launcher.post(&path(), &json!({"id": 1})).await.refused(403, "PERMISSION_DENIED");
    Api::anonymous(acme.launcher.base()).post(&path(), &json!({"id": 1})).await.refused(401, "UNAUTHENTICATED");
    let client = acme.client("awx", None, &["notifier"]).await;
    let basic = async |id: &str, secret: &str, path: &str| {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.post(format!("{}{path}", acme.launcher.base())).basic_auth(id, Some(secret));
        let answer = request.json(&json!({"id": 1})).send().await.unwrap();
        let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), challenge.unwrap_or_default())
    };
    assert_eq!(basic(&client.id, &client.secret, &path()).await.0, 204);
    let (status, challenge) = basic(&client.id, "wrong", &path()).await;
    assert_eq!((status, challenge.starts_with("Basic ")), (401, true), "{challenge}");
    let launcher = &acme.launcher_credentials;
    assert_eq!(basic(&launcher.id, &launcher.secret, &path()).await.0, 403, "it may do more and not this");
    assert_eq!(basic(&client.id, &client.secret, "/api/v1/jobs").await.0, 401, "it opens nothing else");
    let notifier = Api::log_in(acme.launcher.base(), &client).await;
    notifier.get("/api/v1/jobs").await.refused(403, "PERMISSION_DENIED");
    // Whoever may no more may no more, kept token or not.
    let _gone = acme.admin.delete(&format!("/api/v1/clients/{}", client.id)).await.expect(204);
    until("the deleted client to be refused", async || {
        (basic(&client.id, &client.secret, &path()).await.0 == 401).then_some(())
    })
    .await;
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_announced_is_found_by_polling() {
    let (controller, _system, acme) = proven("3s").await;
    let (id, run) = looked_at(&controller, &acme).await;
    controller.lose_notifications(1).await;
    controller.finish_run(run, "successful").await;
    acme.launcher.becomes(&id, "succeeded").await;
    // AWX sends nothing for a job that is cancelled before it runs.
    controller.dispatch(false).await;
    let id = text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    acme.launcher.becomes(&id, "running").await;
    let run = *controller.launches("hangs").last().unwrap();
    let sandbox = Api::with_token(&controller.sandbox().url(), &controller.sandbox().token());
    assert_eq!(sandbox.act(&format!("/api/v2/jobs/{run}/cancel/")).await.status, 202);
    controller.dispatch(true).await;
    acme.launcher.becomes(&id, "canceled").await;
    assert_eq!(controller.notified().await, [204; PROVEN], "neither was announced");
}
