//! Shares, limits and rates of tenants, controllers and templates.

use runwarden_engines::config::Change;
use serde_json::{Value, json};

use super::*;

fn rate(jobs: i32, period_seconds: i64) -> Option<wire::StartRate> {
    Some(wire::StartRate { jobs, period_seconds })
}

async fn create_tenant(
    world: &World,
    change: impl FnOnce(&mut wire::CreateTenantRequest),
) -> Result<wire::Tenant, Status> {
    let mut request = wire::CreateTenantRequest { name: "third".to_owned(), ..Default::default() };
    change(&mut request);
    Ok(body(world.services.tenants.create_tenant(by(&platform_for(None), request)).await)?.tenant.unwrap())
}

async fn update_tenant(
    world: &World,
    caller: &Caller,
    change: impl FnOnce(&mut wire::UpdateTenantRequest),
) -> Result<wire::Tenant, Status> {
    let mut request = wire::UpdateTenantRequest { name: "acme".to_owned(), ..Default::default() };
    change(&mut request);
    Ok(body(world.services.tenants.update_tenant(by(caller, request)).await)?.tenant.unwrap())
}

async fn update_controller(
    world: &World,
    change: impl FnOnce(&mut wire::UpdateControllerRequest),
) -> Result<wire::Controller, Status> {
    let mut request = wire::UpdateControllerRequest { name: "awx".to_owned(), ..Default::default() };
    change(&mut request);
    Ok(body(world.services.controllers.update_controller(by(&admin("acme"), request)).await)?.controller.unwrap())
}

async fn update_template(
    world: &World,
    change: impl FnOnce(&mut wire::UpdateTemplateRequest),
) -> Result<wire::Template, Status> {
    let mut request = wire::UpdateTemplateRequest { name: "deploy".to_owned(), ..Default::default() };
    change(&mut request);
    Ok(body(world.services.templates.update_template(by(&admin("acme"), request)).await)?.template.unwrap())
}

/// A world with a controller and a template of it.
async fn mapped() -> World {
    let world = world().await;
    world.create_controller(&admin("acme"), "awx").await.unwrap();
    world.create_template(&admin("acme"), new_template("deploy")).await.unwrap();
    world
}

/// What the last audit entry about something tells of its limits.
async fn told(world: &World, object_id: &str) -> Value {
    let entries = world.entries().await;
    let entry = entries.iter().rfind(|entry| entry.object_id == object_id).unwrap();
    serde_json::from_str::<Value>(&entry.details_json).unwrap()["limits"].clone()
}

#[tokio::test]
async fn a_tenant_has_one_share_and_no_limits_unless_it_is_told_otherwise() {
    let world = world().await;
    let made = create_tenant(&world, |_| {}).await.unwrap();
    assert_eq!((made.share, made.max_queued, made.principal_max_concurrent, made.principal_rate), (1, 0, 0, None));
    let made = create_tenant(&world, |r| {
        r.name = "fourth".to_owned();
        (r.share, r.max_queued, r.principal_max_concurrent) = (100, 1_000_000, 10_000);
        r.principal_rate = rate(10, 604_800);
    })
    .await
    .unwrap();
    assert_eq!((made.share, made.max_queued, made.principal_max_concurrent), (100, 1_000_000, 10_000));
    assert_eq!(made.principal_rate, rate(10, 604_800));
    let want = json!({
        "share": 100, "max_queued": 1_000_000, "principal_max_concurrent": 10_000,
        "principal_rate": { "jobs": 10, "period_seconds": 604_800 },
    });
    assert_eq!(told(&world, "fourth").await, want);
}

#[tokio::test]
async fn only_the_platform_sets_a_tenants_limits_and_what_is_not_given_stays() {
    let world = world().await;
    refused(update_tenant(&world, &admin("acme"), |r| r.share = Some(50)).await, ErrorReason::PermissionDenied);
    let platform = platform_for(None);
    let set = update_tenant(&world, &platform, |r| {
        (r.share, r.max_queued) = (Some(2), Some(500));
        r.principal_rate = rate(5, 60);
    })
    .await
    .unwrap();
    assert_eq!((set.share, set.max_queued, set.principal_rate, set.revision), (2, 500, rate(5, 60), 2));
    assert_eq!(world.actions("acme").await, ["tenant.create", "tenant.update"]);
    assert_eq!(told(&world, "acme").await["principal_rate"], json!({ "jobs": 5, "period_seconds": 60 }));
    let same = update_tenant(&world, &platform, |r| r.max_queued = Some(500)).await.unwrap();
    assert_eq!(same, set);
    let freed = update_tenant(&world, &platform, |r| {
        r.principal_max_concurrent = Some(3);
        r.principal_rate = rate(0, 0);
    })
    .await
    .unwrap();
    assert_eq!((freed.share, freed.max_queued, freed.principal_max_concurrent), (2, 500, 3));
    assert_eq!(freed.principal_rate, None);
    assert_eq!(told(&world, "acme").await["principal_rate"], Value::Null);
}

#[tokio::test]
async fn all_that_is_wrong_with_a_tenants_limits_is_told_at_once_and_nothing_changes() {
    let world = world().await;
    let wrong = ["/share", "/max_queued", "/principal_max_concurrent", "/principal_rate/jobs"];
    let made = create_tenant(&world, |r| {
        (r.share, r.max_queued, r.principal_max_concurrent) = (101, 1_000_001, -1);
        r.principal_rate = rate(1_000_001, 1);
    });
    let refusal = refused(made.await, ErrorReason::ValidationFailed);
    assert_eq!(pointers(&refusal), wrong);
    for share in [0, -1, 101] {
        let changed = update_tenant(&world, &platform_for(None), |r| r.share = Some(share)).await;
        assert_eq!(pointers(&refused(changed, ErrorReason::ValidationFailed)), ["/share"]);
    }
    assert_eq!(world.actions("acme").await, ["tenant.create"]);
    assert!(world.actions("third").await.is_empty());
}

#[tokio::test]
async fn a_controller_that_is_down_can_be_held_back_without_a_word_with_it() {
    let world = mapped().await;
    world.access.fail_with(Some(Error::new(ErrorReason::ControllerUnreachable, "no")));
    let (tried, kept) = (world.access.checked.lock().unwrap().len(), world.secrets.kept());
    let held = update_controller(&world, |r| {
        r.max_concurrent = Some(1);
        r.rate = rate(10, 3600);
    })
    .await
    .unwrap();
    assert_eq!((held.max_concurrent, held.rate, held.revision), (1, rate(10, 3600), 2));
    assert_eq!((held.product.as_str(), held.account_id), ("AWX", 5), "what is known of it stays");
    let resolved = world.resolve_controller("acme", "awx").await.unwrap();
    assert_eq!(resolved.controller, Some(held));
    let freed = update_controller(&world, |r| r.rate = rate(0, 3600)).await.unwrap();
    assert_eq!((freed.max_concurrent, freed.rate, freed.revision), (1, None, 3));
    assert_eq!(update_controller(&world, |r| r.max_concurrent = Some(1)).await.unwrap(), freed);
    assert_eq!((world.access.checked.lock().unwrap().len(), world.secrets.kept()), (tried, kept));
    assert_eq!(told(&world, "awx").await, json!({ "max_concurrent": 1, "rate": null }));
}

#[tokio::test]
async fn a_controller_is_tried_when_more_than_its_limits_is_to_change() {
    let world = mapped().await;
    world.access.fail_with(Some(Error::new(ErrorReason::ControllerUnreachable, "no")));
    let both = update_controller(&world, |r| {
        r.max_concurrent = Some(1);
        r.api_root = Some("/api/controller/v2".to_owned());
    });
    refused(both.await, ErrorReason::ControllerUnreachable);
    refused(update_controller(&world, |_| {}).await, ErrorReason::ControllerUnreachable);
    let moved = update_controller(&world, |r| {
        r.max_concurrent = Some(1);
        r.url = Some("https://evil.example".to_owned());
    });
    assert_eq!(pointers(&refused(moved.await, ErrorReason::ValidationFailed)), ["/credential"]);
    assert_eq!(world.resolve_controller("acme", "awx").await.unwrap().controller.unwrap().max_concurrent, 0);
}

#[tokio::test]
async fn a_controllers_limits_are_set_when_it_is_mapped_and_wrong_ones_are_told_before_it_is_tried() {
    let world = world().await;
    let mut request = new_controller("awx");
    (request.max_concurrent, request.rate) = (10_001, rate(1, 0));
    let refusal =
        refused(world.create_controller_as(&admin("acme"), None, request.clone()).await, ErrorReason::ValidationFailed);
    assert_eq!(pointers(&refusal), ["/max_concurrent", "/rate/period_seconds"]);
    assert!(world.access.checked.lock().unwrap().is_empty());
    (request.max_concurrent, request.rate) = (10_000, rate(1_000_000, 1));
    let made = world.create_controller_as(&admin("acme"), None, request).await.unwrap();
    assert_eq!((made.max_concurrent, made.rate), (10_000, rate(1_000_000, 1)));
    let want = json!({ "max_concurrent": 10_000, "rate": { "jobs": 1_000_000, "period_seconds": 1 } });
    assert_eq!(told(&world, "awx").await, want);
}

#[tokio::test]
async fn changing_a_templates_limits_leaves_jobs_that_wait_launchable() {
    let world = mapped().await;
    let before = world.resolve_template("acme", "deploy").await.unwrap().template.unwrap();
    world.access.fail_with(Some(Error::new(ErrorReason::ControllerUnreachable, "no")));
    let after = update_template(&world, |r| {
        (r.max_concurrent, r.max_duration_seconds) = (Some(2), Some(60));
        (r.max_queued, r.max_wait_seconds) = (Some(100), Some(30 * 24 * 3600));
        r.rate = rate(10, 3600);
    })
    .await
    .unwrap();
    assert_eq!(after.launch_digest, before.launch_digest);
    assert_eq!((after.max_concurrent, after.max_duration_seconds), (2, 60));
    assert_eq!((after.max_queued, after.max_wait_seconds, after.rate), (100, 2_592_000, rate(10, 3600)));
    let want = json!({
        "max_concurrent": 2, "max_duration_seconds": 60, "rate": { "jobs": 10, "period_seconds": 3600 },
        "max_queued": 100, "max_wait_seconds": 2_592_000,
    });
    assert_eq!(told(&world, "deploy").await, want);
    let freed = update_template(&world, |r| r.rate = rate(0, 0)).await.unwrap();
    assert_eq!((freed.max_queued, freed.rate, freed.launch_digest), (100, None, before.launch_digest));
}

#[tokio::test]
async fn all_that_is_wrong_with_a_templates_limits_is_told_at_once() {
    let world = mapped().await;
    let wrong = [
        "/max_concurrent",
        "/max_duration_seconds",
        "/rate/jobs",
        "/rate/period_seconds",
        "/max_queued",
        "/max_wait_seconds",
    ];
    let mut request = new_template("other");
    (request.max_concurrent, request.max_duration_seconds) = (-1, 604_801);
    (request.rate, request.max_queued, request.max_wait_seconds) = (rate(-1, 604_801), -1, 2_592_001);
    let refusal = refused(world.create_template(&admin("acme"), request).await, ErrorReason::ValidationFailed);
    assert_eq!(pointers(&refusal), wrong);
    let changed = update_template(&world, |r| {
        (r.max_concurrent, r.max_duration_seconds) = (Some(10_001), Some(-1));
        (r.rate, r.max_queued, r.max_wait_seconds) = (rate(i32::MIN, i64::MIN), Some(i32::MAX), Some(i64::MAX));
    });
    assert_eq!(pointers(&refused(changed.await, ErrorReason::ValidationFailed)), wrong);
}

#[tokio::test]
async fn resolving_a_template_tells_its_whole_tenant() {
    let world = mapped().await;
    let platform = platform_for(None);
    let tenant = update_tenant(&world, &platform, |r| {
        r.share = Some(3);
        r.principal_rate = rate(5, 60);
    })
    .await
    .unwrap();
    let resolved = world.resolve_template("acme", "deploy").await.unwrap();
    assert_eq!((resolved.tenant, resolved.tenant_disabled), (Some(tenant), false));
    let disabled = update_tenant(&world, &platform, |r| r.disabled = Some(true)).await.unwrap();
    let resolved = world.resolve_template("acme", "deploy").await.unwrap();
    assert_eq!((resolved.tenant, resolved.tenant_disabled), (Some(disabled), true));
}

/// As versions before there were limits wrote them.
const STORED_BEFORE: [(&str, &str); 3] = [
    (
        "tenants/old",
        r#"{"name":"old","display_name":"Old","disabled":false,"created_at":1700000000000000,"revision":4}"#,
    ),
    (
        "controllers/old/awx",
        r#"{"name":"awx","tenant":"old","url":"https://awx.example","api_root":"/api/v2","ca_pem":"","product":"AWX",
            "version":"24.6.1","account_id":5,"account_name":"runwarden","created_at":1700000000000000,"revision":2,
            "secret_name":"controllers/awx/1","retired_secret":null}"#,
    ),
    (
        "templates/old/deploy",
        r#"{"name":"deploy","tenant":"old","project":"web","description":"","controller":"awx","kind":"job",
            "controller_template_id":7,"controller_template_name":"deploy","parameters_schema":"{}","fixed":"{}",
            "max_concurrent":2,"max_duration_seconds":60,"on_drift":"flag","fingerprint":"f","fingerprint_parts":"{}",
            "drift":[],"created_at":1700000000000000,"revision":3,"launch_digest":"d"}"#,
    ),
];

#[tokio::test]
async fn what_earlier_versions_stored_has_no_limits_that_they_did_not_know() {
    let world = world().await;
    let mut change = Change::new();
    for (key, value) in STORED_BEFORE {
        change.put(key, value.as_bytes());
    }
    world.store.commit(change).await.unwrap();
    let resolved = world.resolve_template("old", "deploy").await.unwrap();
    let tenant = resolved.tenant.unwrap();
    assert_eq!(
        (tenant.share, tenant.max_queued, tenant.principal_max_concurrent, tenant.principal_rate),
        (1, 0, 0, None)
    );
    let controller = resolved.controller.unwrap();
    assert_eq!((controller.max_concurrent, controller.rate, controller.revision), (0, None, 2));
    let template = resolved.template.unwrap();
    assert_eq!((template.max_concurrent, template.max_duration_seconds, template.launch_digest.as_str()), (2, 60, "d"));
    assert_eq!((template.rate, template.max_queued, template.max_wait_seconds), (None, 0, 0));
    // And they can be given some.
    let changed = update_tenant(&world, &platform_for(None), |r| {
        r.name = "old".to_owned();
        r.share = Some(2);
    })
    .await
    .unwrap();
    assert_eq!((changed.share, changed.revision), (2, 5));
}
