//! What is taken away is gone everywhere within five seconds.

use std::time::{Duration, Instant};

use runwarden_harness::{Api, Reach, until_within};
use runwarden_kit::mesh::Service;
use serde_json::json;
use tonic::Code;

use super::{acme, services, settings};

/// What is promised.
const PROMISED: Duration = Duration::from_secs(5);

/// Waits until a token is good for nothing: at the edge, and at each service that is called directly.
async fn is_gone_everywhere(reach: &Reach, caller: &Api) {
    let since = Instant::now();
    until_within(PROMISED, "the edge to refuse the token", async || {
        let answer = caller.get("/api/v1/templates").await;
        (answer.status == 401).then(|| answer.refused(401, "TOKEN_REVOKED"))
    })
    .await;
    for service in Service::WITH_GRPC {
        let left = PROMISED.saturating_sub(since.elapsed());
        until_within(left, &format!("{service} to refuse the token"), async || {
            let status = services::ask(reach, *service, caller.token(), None).await.err()?;
            (status.code() == Code::Unauthenticated).then_some(())
        })
        .await;
    }
}

async fn is_good_everywhere(reach: &Reach, caller: &Api) {
    let _templates = caller.get("/api/v1/templates").await.expect(200);
    for service in Service::WITH_GRPC {
        services::ask(reach, *service, caller.token(), None).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_client_is_out_everywhere_within_five_seconds() {
    let (_controller, system, acme) = acme(&settings()).await;
    let credentials = acme.client("second-admin", None, &["tenant-admin"]).await;
    let caller = system.reach().admin(&credentials).await;
    is_good_everywhere(system.reach(), &caller).await;
    let path = format!("/api/v1/clients/{}", credentials.id);
    let _disabled = acme.admin.patch(&path, &json!({"disabled": true})).await.expect(200);
    is_gone_everywhere(system.reach(), &caller).await;
    let refused = Api::ask_token(&system.reach().base_url, &credentials).await.expect(401);
    assert_eq!(refused["error"], "invalid_client");
    // Enabled again, it gets in again, with a new token.
    let _enabled = acme.admin.patch(&path, &json!({"disabled": false})).await.expect(200);
    let again = system.reach().admin(&credentials).await;
    until_within(PROMISED, "the new token to be good", async || {
        (again.get("/api/v1/templates").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_client_is_out_everywhere_within_five_seconds() {
    let (_controller, system, acme) = acme(&settings()).await;
    let credentials = acme.client("second-admin", None, &["tenant-admin"]).await;
    let caller = system.reach().admin(&credentials).await;
    is_good_everywhere(system.reach(), &caller).await;
    let deleted = acme.admin.delete(&format!("/api/v1/clients/{}", credentials.id)).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text);
    is_gone_everywhere(system.reach(), &caller).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_out_everywhere_within_five_seconds_and_others_are_not() {
    let (_controller, system, acme) = acme(&settings()).await;
    let credentials = acme.client("second-admin", None, &["tenant-admin"]).await;
    let (caller, other) = (system.reach().admin(&credentials).await, system.reach().admin(&credentials).await);
    is_good_everywhere(system.reach(), &caller).await;
    let revoke = reqwest::Client::builder().no_proxy().build().unwrap();
    let revoke = revoke.post(format!("{}/api/v1/auth/revoke", system.reach().base_url));
    let revoke = revoke.basic_auth(&credentials.id, Some(&credentials.secret)).form(&[("token", caller.token())]);
    assert_eq!(revoke.send().await.unwrap().status().as_u16(), 200);
    is_gone_everywhere(system.reach(), &caller).await;
    is_good_everywhere(system.reach(), &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_within_five_seconds_of_its_token() {
    let (_controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("hangs", "hangs").await;
    let job = acme.launcher.submit("hangs", json!({})).await;
    let stream = acme.launcher.follow(job["id"].as_str().unwrap(), None).await;
    let path = format!("/api/v1/clients/{}", acme.launcher_credentials.id);
    let _disabled = acme.admin.patch(&path, &json!({"disabled": true})).await.expect(200);
    let events = tokio::time::timeout(PROMISED, stream.rest()).await.unwrap();
    let last = events.last().unwrap();
    assert_eq!((last.name.as_str(), &last.data["code"]), ("error", &json!("TOKEN_REVOKED")), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_within_five_seconds_of_its_token() {
    let (_controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("hangs", "hangs").await;
    let job = acme.launcher.submit("hangs", json!({})).await;
    let path = |seconds: u32| format!("/api/v1/jobs/{}?wait={seconds}", job["id"].as_str().unwrap());
    acme.launcher.becomes(job["id"].as_str().unwrap(), "running").await;
    let waiting = {
        let (launcher, path) = (acme.launcher.clone(), path(60));
        tokio::spawn(async move { launcher.get(&path).await })
    };
    // It waits: a second one of somebody else, begun after it, is answered as the job stands.
    let _second = acme.admin.get(&path(1)).await.expect(200);
    assert!(!waiting.is_finished());
    let client = format!("/api/v1/clients/{}", acme.launcher_credentials.id);
    let _disabled = acme.admin.patch(&client, &json!({"disabled": true})).await.expect(200);
    let answer = tokio::time::timeout(PROMISED, waiting).await.expect("it is over in time").unwrap();
    answer.refused(401, "TOKEN_REVOKED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_taken_away_is_gone_from_tokens_within_five_seconds() {
    let (_controller, system, acme) = acme(&settings()).await;
    let credentials = acme.client("second-admin", None, &["tenant-admin"]).await;
    let caller = system.reach().admin(&credentials).await;
    is_good_everywhere(system.reach(), &caller).await;
    let client = acme.admin.get(&format!("/api/v1/clients/{}", credentials.id)).await.expect(200);
    let bindings = acme.admin.all("/api/v1/bindings").await;
    let binding = bindings.iter().find(|binding| binding["principal"] == client["principal"]).unwrap();
    let taken = acme.admin.delete(&format!("/api/v1/bindings/{}", binding["id"].as_str().unwrap())).await;
    assert_eq!(taken.status, 204, "{}", taken.text);
    is_gone_everywhere(system.reach(), &caller).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_tenant_starts_nothing() {
    let (controller, system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let platform = system.reach().platform_admin().await;
    let _disabled = platform.patch("/api/v1/tenants/acme", &json!({"disabled": true})).await.expect(200);
    let body = json!({"template": "deploy", "parameters": super::deployment()});
    let refused = until_within(PROMISED, "the tenant's requests to be refused", async || {
        let answer = acme.launcher.post("/api/v1/jobs", &body).await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    assert!([401, 403].contains(&refused.status), "{}", refused.text);
    let _enabled = platform.patch("/api/v1/tenants/acme", &json!({"disabled": false})).await.expect(200);
    let launcher = until_within(PROMISED, "the tenant to be let in again", async || {
        let answer = Api::ask_token(&system.reach().base_url, &acme.launcher_credentials).await;
        let token = answer.json()["access_token"].as_str()?.to_owned();
        Some(Api::with_token(&system.reach().base_url, &token))
    })
    .await;
    until_within(PROMISED, "a job to be accepted again", async || {
        (launcher.post("/api/v1/jobs", &body).await.status == 202).then_some(())
    })
    .await;
    assert!(controller.launched() <= 1);
}
