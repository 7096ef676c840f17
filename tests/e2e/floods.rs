//! One caller who takes all there is to take: nobody else notices.

use std::time::Duration;

use reqwest::{Method, Response};
use runwarden_harness::{Api, Tenant, until};
use serde_json::json;

use super::{acme, settings};

/// As many as the mesh once carried in all.
const FLOOD: usize = 1120;
/// What one principal may have open: the default.
const SHARE: usize = 128;
/// How many senders there are.
const AT_ONCE: usize = 32;
/// How long a call of somebody else may take: far more than it does, far less than a call that is held up.
const USUAL: Duration = Duration::from_secs(10);

/// Sends the flood; answers what was let in, and checks that the rest was told when to come back.
async fn flood(caller: &Api, path: &str) -> Vec<Response> {
    let senders = (0..AT_ONCE).map(|_| {
        let (caller, path) = (caller.clone(), path.to_owned());
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..FLOOD / AT_ONCE {
                answers.push(caller.call(Method::GET, &path).open().await);
            }
            answers
        })
    });
    let mut answers = Vec::new();
    for sender in senders.collect::<Vec<_>>() {
        answers.extend(sender.await.unwrap());
    }
    let (held, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status() == 200);
    for answer in refused {
        assert_eq!(answer.status(), 429);
        assert!(answer.headers().contains_key("retry-after"));
        let problem: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(problem["code"], "TOO_MANY_STREAMS");
    }
    held
}

/// Everything that somebody else does.
async fn all_is_well_for(other: &Tenant, public: &Api) {
    let usual = async {
        let health = public.get("/health").await;
        assert_eq!(health.status, 200, "{}", health.text);
        let job = other.launcher.submit("deploy", super::deployment()).await;
        let id = job["id"].as_str().unwrap();
        let _job = other.launcher.get(&format!("/api/v1/jobs/{id}")).await.expect(200);
        let _jobs = other.launcher.get("/api/v1/jobs").await.expect(200);
        let _clients = other.admin.get("/api/v1/clients").await.expect(200);
        let mut events = other.launcher.follow(id, None).await;
        assert_eq!(events.next().await.unwrap().name, "state");
        let _waited = other.launcher.get(&format!("/api/v1/jobs/{id}?wait=1")).await.expect(200);
    };
    assert!(tokio::time::timeout(USUAL, usual).await.is_ok(), "another tenant's calls are held up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_streams_and_waits_of_one_launcher_holds_up_nobody_else() {
    let (controller, system, acme) = acme(&settings()).await;
    let other = Tenant::onboard(system.reach(), "umbrella", &controller).await;
    other.map("deploy", "deploy").await;
    acme.map_bare("hangs", "hangs").await;
    let public = Api::anonymous(&system.reach().base_url);
    all_is_well_for(&other, &public).await;
    let job = acme.launcher.submit("hangs", json!({})).await;
    let id = job["id"].as_str().unwrap();
    acme.launcher.becomes(id, "running").await;

    let held = flood(&acme.launcher, &format!("/api/v1/jobs/{id}/events")).await;
    assert_eq!(held.len(), SHARE);
    all_is_well_for(&other, &public).await;
    // The flooder's own calls go on as well, and so do its tenant's.
    let _job = acme.launcher.get(&format!("/api/v1/jobs/{id}")).await.expect(200);
    let _jobs = acme.admin.get("/api/v1/jobs").await.expect(200);
    acme.launcher.get(&format!("/api/v1/jobs/{id}?wait=60")).await.refused(429, "TOO_MANY_STREAMS");
    drop(held);

    // The same with waits: they end with the job.
    let waits: Vec<_> = (0..SHARE)
        .map(|_| {
            let (launcher, path) = (acme.launcher.clone(), format!("/api/v1/jobs/{id}?wait=60"));
            tokio::spawn(async move {
                // Places of the streams before come free one by one.
                loop {
                    let answer = launcher.get(&path).await;
                    if answer.status != 429 {
                        return answer;
                    }
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
            })
        })
        .collect();
    until("the waits to take all places", async || {
        let answer = acme.launcher.call(Method::GET, &format!("/api/v1/jobs/{id}/events")).open().await;
        (answer.status() == 429).then_some(())
    })
    .await;
    all_is_well_for(&other, &public).await;
    let _canceled = acme.launcher.act(&format!("/api/v1/jobs/{id}/cancel")).await.expect(202);
    for wait in waits {
        assert_eq!(wait.await.unwrap().expect(200)["state"], "canceled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_executor_counts_for_itself_whoever_asks() {
    let settings =
        settings().set("RUNWARDEN_EXECUTOR_PRINCIPAL_STREAMS", "2").set("RUNWARDEN_EXECUTOR_TENANT_STREAMS", "3");
    let (_controller, _system, acme) = acme(&settings).await;
    acme.map_bare("hangs", "hangs").await;
    let job = acme.launcher.submit("hangs", json!({})).await;
    let id = job["id"].as_str().unwrap();
    let path = format!("/api/v1/jobs/{id}/events");
    let mut held = vec![acme.launcher.follow(id, None).await, acme.launcher.follow(id, None).await];
    for stream in &mut held {
        assert_eq!(stream.next().await.unwrap().name, "state");
    }
    let refused = acme.launcher.get(&path).await;
    refused.refused(429, "TOO_MANY_STREAMS");
    assert_eq!(refused.header("retry-after"), "5");
    acme.launcher.get(&format!("/api/v1/jobs/{id}?wait=5")).await.refused(429, "TOO_MANY_STREAMS");
    let _job = acme.launcher.get(&format!("/api/v1/jobs/{id}")).await.expect(200);
    // The tenant has one left, for somebody else.
    held.push(acme.admin.follow(id, None).await);
    assert_eq!(held.last_mut().unwrap().next().await.unwrap().name, "state");
    let third = acme.caller("third", None, &["launcher"]).await;
    third.get(&path).await.refused(429, "TOO_MANY_STREAMS");
    held.remove(0);
    until("a place", async || (third.call(Method::GET, &path).open().await.status() == 200).then_some(())).await;
}
