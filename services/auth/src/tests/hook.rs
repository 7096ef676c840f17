//! Tokens for deliveries to hooks.

use runwarden_proto::auth::v1::hook_identity_service_server::HookIdentityService as _;

use runwarden_kit::caller::Scope;
use runwarden_kit::permission::Permission;

use super::*;

fn ask(client: &wire::Client, tenant: &str, project: &str) -> wire::IssueHookTokenRequest {
    wire::IssueHookTokenRequest {
        tenant: tenant.into(),
        client_id: client.client_id.clone(),
        project: project.into(),
        hook: "alerts".into(),
    }
}

async fn issue(world: &World, ask: wire::IssueHookTokenRequest) -> Result<Caller, Error> {
    let issued = answer(world.service.hooks.issue_hook_token(Request::new(ask)).await)?;
    Ok(world.verify(&issued.access_token).await.unwrap())
}

#[tokio::test]
async fn a_hooks_token_is_the_clients_at_one_project_and_says_how_it_was_proven() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let (client, _) = world.create(&admin, "hooks", "", &["launcher"]).await.unwrap();
    let token = issue(&world, ask(&client, "acme", "web")).await.unwrap();
    assert_eq!((token.principal.as_str(), token.authenticated_by.as_str()), (client.principal.as_str(), "hook"));
    let at = |project| Scope::project(&TenantId::trusted("acme"), project);
    let (web, db) = (at("web"), at("db"));
    assert!(token.holds(Permission::JobsSubmit, &web) && !token.holds(Permission::JobsSubmit, &db));
    // Of what the account holds, only what a delivery needs.
    assert!(token.holds(Permission::JobsRead, &web));
    assert!(!token.holds(Permission::JobsCancel, &web) && !token.holds(Permission::TemplatesRead, &web));
    // An account of one project works for no other's hook.
    let (of_db, _) = world.create(&admin, "of-db", "db", &["launcher"]).await.unwrap();
    assert_eq!(issue(&world, ask(&of_db, "acme", "web")).await.unwrap_err().reason(), ErrorReason::PermissionDenied);
    // Another tenant, another project, a client of the platform, one that was disabled.
    assert_eq!(issue(&world, ask(&client, "other", "web")).await.unwrap_err().reason(), ErrorReason::ValidationFailed);
    assert_eq!(issue(&world, ask(&client, "acme", "none")).await.unwrap_err().reason(), ErrorReason::NotFound);
    let (reader, _) = world.create(&admin, "reader", "web", &["auditor"]).await.unwrap();
    assert_eq!(issue(&world, ask(&reader, "acme", "web")).await.unwrap_err().reason(), ErrorReason::PermissionDenied);
    world.set_disabled(&admin, &client.client_id, true).await.unwrap();
    assert_eq!(issue(&world, ask(&client, "acme", "web")).await.unwrap_err().reason(), ErrorReason::PermissionDenied);
}

#[tokio::test]
async fn only_who_holds_all_that_a_client_holds_lets_a_hook_act_as_it() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    world.create_role(&admin, "hooker", &["hooks.write"]).await.unwrap();
    let (client, _) = world.create(&admin, "hooks", "web", &["launcher"]).await.unwrap();
    let (_, weak) = world.create(&admin, "weak", "web", &["hooker"]).await.unwrap();
    let weak = world.login(&weak).await;
    let check = async |caller: &Caller, project: &str| {
        let asked = wire::CheckHookClientRequest { client_id: client.client_id.clone(), project: project.into() };
        answer(world.service.hooks.check_hook_client(from(caller, asked)).await).map_err(|error| error.reason())
    };
    assert_eq!(check(&admin, "web").await.unwrap().name, "hooks");
    assert_eq!(check(&weak, "web").await.unwrap_err(), ErrorReason::PermissionDenied, "it lacks jobs.submit");
    assert_eq!(check(&admin, "db").await.unwrap_err(), ErrorReason::ValidationFailed, "it is a client of web");
    assert_eq!(check(&acting(&root, "other"), "web").await.unwrap_err(), ErrorReason::ValidationFailed);
}
