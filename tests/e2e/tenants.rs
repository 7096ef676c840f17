//! A tenant that is not there does not exist for anybody; one that is disabled is closed to its own within five seconds
//! and open to the platform for what docs/operating.md lists.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use runwarden_edge::route_table::Access;
use runwarden_edge::routes::table;
use runwarden_harness::jobs::text;
use runwarden_harness::{Api, until_within};
use runwarden_kit::ErrorReason;
use runwarden_proto::ACCESS;
use serde_json::json;
use tokio::task::JoinSet;

use super::{acme, services, settings};

/// How soon a disabled tenant is closed, and an enabled one open.
const PROMISED: Duration = Duration::from_secs(5);
const NOWHERE: &str = "acne";

/// The calls that an operator makes with a token, by the access table.
fn calls_of_operators() -> impl Iterator<Item = &'static runwarden_proto::Access> {
    ACCESS.iter().filter(|row| row.permission.is_some() && row.services.contains(&"operator"))
}

/// Every route that takes a token, as it could be called.
fn routes() -> impl Iterator<Item = (Method, String)> {
    table().iter().filter(|route| route.access == Access::Caller).map(|route| {
        let parts = route.path.split('/').map(|part| if part.starts_with('{') { "anything" } else { part });
        (route.method.clone(), parts.collect::<Vec<_>>().join("/"))
    })
}

async fn ask(api: &Api, method: &Method, path: &str) -> (u16, String) {
    let call = api.call(method.clone(), path);
    let call = if [Method::GET, Method::DELETE].contains(method) { call } else { call.json(&json!({})) };
    let answer = call.send().await;
    (answer.status, text(&answer.json(), "code").to_owned())
}

/// Fewer than may wait in one service because it does not know the tenant that they name.
const AT_ONCE: usize = 48;

#[tokio::test(flavor = "multi_thread")]
async fn every_call_for_a_tenant_that_is_not_there_is_not_found() {
    let (_controller, system, acme) = acme(&settings()).await;
    let platform = system.reach().platform_admin().await;
    let nowhere = platform.acting_for(NOWHERE);
    // Many at once: those who wait for the same answer share it.
    let (mut routes_left, mut routes_seen) = (routes().peekable(), 0);
    while routes_left.peek().is_some() {
        let mut asked = JoinSet::new();
        for (method, path) in routes_left.by_ref().take(AT_ONCE) {
            let nowhere = nowhere.clone();
            asked.spawn(async move {
                assert_eq!(ask(&nowhere, &method, &path).await, (404, "NOT_FOUND".to_owned()), "{method} {path}");
            });
        }
        routes_seen += asked.join_all().await.len();
    }
    let bare = Arc::new(services::Bare::over(system.reach()));
    let mut asked = JoinSet::new();
    for access in calls_of_operators() {
        let (bare, token) = (bare.clone(), platform.token().to_owned());
        asked.spawn(async move {
            let refusal = bare.refusal(access, &token, NOWHERE).await.map(|error| error.reason());
            assert_eq!(refusal, Some(ErrorReason::NotFound), "{}", access.path);
        });
    }
    let calls_seen = asked.join_all().await.len();
    assert!(routes_seen > 40 && calls_seen > 40, "{routes_seen} routes, {calls_seen} calls");
    // Nothing was kept for it that would be in force once there is one of that name.
    let open = nowhere.call(Method::PUT, "/api/v1/policies/mine").text("package runwarden.authz\n\nallow := false\n");
    open.send().await.refused(404, "NOT_FOUND");
    let _made = platform.post("/api/v1/tenants", &json!({"name": NOWHERE})).await.expect(201);
    // One that was made a moment ago is there at once, in every service.
    for thing in ["projects", "clients", "policies", "secrets", "audit/records", "jobs"] {
        let listed = nowhere.all(&format!("/api/v1/{thing}")).await;
        assert!(listed.is_empty(), "{thing}: {listed:?}");
    }
    drop(acme);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_tenant_is_closed_to_its_own_and_open_to_the_platform_for_what_is_listed() {
    let (controller, system, acme) = acme(&settings()).await;
    acme.map_bare("hangs", "hangs").await;
    let job = acme.launcher.submit("hangs", json!({})).await;
    let job = text(&job, "id");
    acme.launcher.becomes(job, "running").await;
    let stream = acme.launcher.follow(job, None).await;
    let platform = system.reach().platform_admin().await;
    let set = async |disabled: bool| {
        let _set = platform.patch("/api/v1/tenants/acme", &json!({"disabled": disabled})).await.expect(200);
    };

    set(true).await;
    let bare = services::Bare::over(system.reach());
    let is_closed = async |access: &runwarden_proto::Access| {
        let refusal = bare.refusal(access, acme.admin.token(), "acme").await;
        refusal.is_some_and(|error| error.reason() == ErrorReason::TenantDisabled)
    };
    let mut packages = BTreeSet::new();
    let one_each = calls_of_operators().filter(|access| packages.insert(access.path.split('.').nth(1)));
    let one_each: Vec<_> = one_each.collect();
    until_within(PROMISED, "the tenant to be closed in every service", async || {
        for access in &one_each {
            is_closed(access).await.then_some(())?;
        }
        Some(())
    })
    .await;
    for access in calls_of_operators() {
        assert!(is_closed(access).await, "{}", access.path);
    }
    for (method, path) in [
        (Method::GET, "/api/v1/jobs"),
        (Method::GET, "/api/v1/audit/export"),
        (Method::GET, "/api/v1/audit/records"),
        (Method::GET, "/api/v1/policies"),
        (Method::DELETE, "/api/v1/policies/mine"),
        (Method::GET, "/api/v1/tenants/acme"),
        (Method::GET, "/api/v1/clients"),
    ] {
        assert_eq!(ask(&acme.admin, &method, path).await, (403, "TENANT_DISABLED".to_owned()), "{method} {path}");
    }
    let events = tokio::time::timeout(PROMISED, stream.rest()).await.unwrap();
    let last = events.last().unwrap();
    assert_eq!((last.name.as_str(), text(&last.data, "code")), ("error", "TENANT_DISABLED"), "{last:?}");
    let refused = Api::ask_token(&system.reach().base_url, &acme.launcher_credentials).await;
    assert_ne!(refused.status, 200);

    // The platform looks, exports, stops what runs, takes away; it gives nothing.
    for path in ["jobs", "policies", "clients", "templates", "audit/checkpoint", "audit/export"] {
        let seen = acme.platform.get(&format!("/api/v1/{path}")).await;
        assert_eq!(seen.status, 200, "{path}: {}", seen.text);
    }
    for (path, body) in [
        ("projects", json!({"name": "late"})),
        ("jobs", json!({"template": "hangs", "parameters": {}})),
        ("clients", json!({"name": "late", "roles": []})),
    ] {
        acme.platform.post(&format!("/api/v1/{path}"), &body).await.refused(403, "TENANT_DISABLED");
    }
    assert_eq!(text(&acme.platform.job(job).await, "state"), "running", "what runs goes on");
    let _asked = acme.platform.act(&format!("/api/v1/jobs/{job}/cancel")).await.expect(202);
    assert_eq!(text(&acme.platform.over(job).await, "state"), "canceled");
    let gone = acme.platform.delete("/api/v1/templates/hangs").await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    // The refusals are on record.
    let records = acme.platform.all("/api/v1/audit/records").await;
    assert!(records.iter().any(|record| text(record, "action") == "access.refuse"), "{records:?}");

    set(false).await;
    until_within(PROMISED, "the tenant to be open again", async || {
        (acme.admin.get("/api/v1/policies").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(controller.launched(), 1);
}
