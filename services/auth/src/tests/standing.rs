//! What is known of a client long after its request.

use std::sync::atomic::Ordering;

use runwarden_kit::caller::{Grant, Scope};
use runwarden_kit::tenant::TenantId;
use runwarden_proto::auth::v1::StandingLapse as Lapse;
use runwarden_proto::auth::v1::standing_service_server::StandingService as _;

use super::*;

/// What a job of the client in a tenant would ask.
fn asked(client: &wire::Client, tenant: &str) -> wire::CheckStandingRequest {
    wire::CheckStandingRequest {
        client_id: client.client_id.clone(),
        principal: client.principal.clone(),
        tenant: tenant.into(),
        project: "web".into(),
        permission: "jobs.submit".into(),
        token_permissions: Vec::new(),
    }
}

async fn check(world: &World, asked: wire::CheckStandingRequest) -> wire::CheckStandingResponse {
    answer(world.service.standings.check_standing(Request::new(asked)).await).unwrap()
}

async fn lapse(world: &World, client: &wire::Client) -> Lapse {
    let told = check(world, asked(client, &client.tenant)).await;
    assert_eq!(told.grants.is_empty(), told.lapse() != Lapse::Unspecified, "a lapse tells nothing else");
    told.lapse()
}

#[tokio::test]
async fn it_is_what_the_next_token_would_say() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    world.create_role(&admin, "deployer", &["jobs.submit", "jobs.read"]).await.unwrap();
    let (client, who) = world.create(&admin, "ci", "web", &["deployer", "auditor"]).await.unwrap();
    world.bind(&admin, &client.principal, "launcher", "db").await.unwrap();
    let token = world.login(&who).await;
    let told = check(&world, asked(&client, "acme")).await;
    assert_eq!((told.lapse(), told.name.as_str(), told.home_tenant.as_str()), (Lapse::Unspecified, "ci", "acme"));
    let here = Scope::project(&TenantId::trusted("acme"), "web");
    let now: Vec<Grant> = told.grants.into_iter().map(Into::into).collect();
    let then: Vec<Grant> =
        token.grants.into_iter().filter(|grant| Scope::from(grant.scope.clone()).covers(&here)).collect();
    assert_eq!(now, then);
    // A token that was narrowed stays so.
    let narrow = vec!["jobs.submit".to_owned(), "never.held".to_owned()];
    let told = check(&world, wire::CheckStandingRequest { token_permissions: narrow, ..asked(&client, "acme") }).await;
    let held: Vec<&str> = told.grants.iter().flat_map(|grant| &grant.permissions).map(String::as_str).collect();
    assert_eq!(held, ["jobs.submit"]);
}

#[tokio::test]
async fn whatever_takes_the_authority_away_is_named() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let (client, _) = world.create(&admin, "ci", "web", &[]).await.unwrap();
    assert_eq!(lapse(&world, &client).await, Lapse::NotPermitted);
    let elsewhere = world.bind(&admin, &client.principal, "launcher", "db").await.unwrap();
    assert_eq!(lapse(&world, &client).await, Lapse::NotPermitted, "another project's role");
    let binding = world.bind(&admin, &client.principal, "launcher", "web").await.unwrap();
    assert_eq!(lapse(&world, &client).await, Lapse::Unspecified);
    world.unbind(&admin, &binding.binding_id).await.unwrap();
    world.unbind(&admin, &elsewhere.binding_id).await.unwrap();
    assert_eq!(lapse(&world, &client).await, Lapse::NotPermitted);
    world.bind(&admin, &client.principal, "launcher", "").await.unwrap();
    assert_eq!(lapse(&world, &client).await, Lapse::Unspecified, "a role in the whole tenant");

    world.set_disabled(&admin, &client.client_id, true).await.unwrap();
    assert_eq!(lapse(&world, &client).await, Lapse::Disabled);
    world.set_disabled(&admin, &client.client_id, false).await.unwrap();
    assert_eq!(lapse(&world, &client).await, Lapse::Unspecified);
    let soon = world.clock.now().plus(Duration::from_secs(60));
    let request = wire::UpdateClientRequest {
        client_id: client.client_id.clone(),
        expires_at: Some(soon.to_proto()),
        ..Default::default()
    };
    world.update(&admin, request).await.unwrap();
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(lapse(&world, &client).await, Lapse::Expired);
    world.delete(&admin, &client.client_id).await.unwrap();
    assert_eq!(lapse(&world, &client).await, Lapse::Gone);
}

#[tokio::test]
async fn tenants_are_walls_here_too_and_a_closed_one_lets_nobody_go_on() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let (client, _) = world.create(&acting(&root, "other"), "ci", "", &["launcher"]).await.unwrap();
    assert_eq!(check(&world, asked(&client, "acme")).await.lapse(), Lapse::Gone, "another tenant's client");
    let (twin, _) = world.create(&acting(&root, "other"), "twin", "", &["launcher"]).await.unwrap();
    let stranger = wire::CheckStandingRequest { principal: twin.principal, ..asked(&client, "other") };
    assert_eq!(check(&world, stranger).await.lapse(), Lapse::Gone, "it stands for somebody else");
    // The platform's clients act for any tenant that is enabled.
    let (ops, _) = world.create(&root, "ops", "", &["platform-admin"]).await.unwrap();
    assert_eq!(check(&world, asked(&ops, "acme")).await.lapse(), Lapse::Unspecified);
    assert_eq!(check(&world, asked(&ops, "closed")).await.lapse(), Lapse::TenantClosed);
    assert_eq!(check(&world, asked(&ops, "nowhere")).await.lapse(), Lapse::TenantClosed);
    world.places.other_is_disabled.store(true, Ordering::SeqCst);
    assert_eq!(lapse(&world, &client).await, Lapse::TenantClosed);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_is_no_lapse() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let (client, _) = world.create(&acting(&root, "acme"), "ci", "web", &["launcher"]).await.unwrap();
    let good = asked(&client, "acme");
    for bad in [
        wire::CheckStandingRequest { client_id: "../x".into(), ..good.clone() },
        wire::CheckStandingRequest { principal: String::new(), ..good.clone() },
        wire::CheckStandingRequest { tenant: "A/b".into(), ..good.clone() },
        wire::CheckStandingRequest { project: String::new(), ..good.clone() },
        wire::CheckStandingRequest { permission: "jobs.fly".into(), ..good.clone() },
    ] {
        let refused = answer(world.service.standings.check_standing(Request::new(bad)).await);
        assert_eq!(reason(refused), ErrorReason::ValidationFailed);
    }
}
