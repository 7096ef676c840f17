//! Bindings: which principal has which role at which scope.

use super::*;
use runwarden_kit::caller::Scope;
use runwarden_kit::page::Listing;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;

async fn list(world: &World, caller: &Caller, request: wire::ListBindingsRequest) -> wire::ListBindingsResponse {
    answer(world.service.roles.list_bindings(from(caller, request)).await).unwrap()
}

#[tokio::test]
async fn a_role_that_is_given_is_in_the_next_token_and_one_that_is_taken_ends_the_old() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let (client, who) = world.create(&admin, "ci", "web", &["auditor"]).await.unwrap();
    let binding = world.bind(&admin, &client.principal, "launcher", "db").await.unwrap();
    assert_eq!(binding.scope.as_ref().unwrap().project, "db");
    let token = world.issue(&who, "").await.unwrap().access_token;
    let held = world.verify(&token).await.unwrap();
    assert!(held.holds(Permission::JobsSubmit, &Scope::project(&TenantId::trusted("acme"), "db")));
    assert!(!held.holds(Permission::JobsSubmit, &Scope::project(&TenantId::trusted("acme"), "web")));
    world.unbind(&admin, &binding.binding_id).await.unwrap();
    assert_eq!(reason(world.verify(&token).await), ErrorReason::TokenRevoked);
    let again = world.login(&who).await;
    assert!(!again.holds_somewhere(Permission::JobsSubmit) && again.holds_somewhere(Permission::AuditRead));
    assert_eq!(world.entries("binding.create").await.len(), 1);
    assert_eq!(world.entries("binding.delete").await[0].object_id, binding.binding_id);
    // The client shows the roles it holds at its own scope.
    assert_eq!(world.get(&admin, &client.client_id).await.unwrap().roles, ["auditor"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_new_binding_is_named() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let (client, _) = world.create(&admin, "ci", "", &["launcher"]).await.unwrap();
    let (foreign, _) = world.create(&acting(&root, "other"), "ci", "", &[]).await.unwrap();
    let cases = [
        ("sa_x", "launcher", "", "/principal"),
        (foreign.principal.as_str(), "launcher", "", "/principal"),
        (root.principal.as_str(), "launcher", "", "/principal"),
        (client.principal.as_str(), "no-such-role", "", "/role"),
        (client.principal.as_str(), "launcher", "nowhere", "/project"),
        (client.principal.as_str(), "launcher", "a/b", "/project"),
    ];
    for (principal, role, project, pointer) in cases {
        let error = world.bind(&admin, principal, role, project).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::ValidationFailed, "{principal} {role} {project}");
        assert_eq!(error.fields()[0].pointer, pointer);
    }
    let twice = world.bind(&admin, &client.principal, "launcher", "").await;
    assert_eq!(reason(twice), ErrorReason::AlreadyExists);
    // The platform has no projects.
    let (platform, _) = world.create(&root, "ops", "", &[]).await.unwrap();
    let error = world.bind(&root, &platform.principal, "auditor", "web").await.unwrap_err();
    assert_eq!(error.fields()[0].pointer, "/project");
    world.bind(&root, &platform.principal, "auditor", "").await.unwrap();
}

#[tokio::test]
async fn bindings_are_listed_page_by_page_to_those_who_may_see_them() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let (one, _) = world.create(&admin, "one", "web", &["launcher", "auditor"]).await.unwrap();
    let (two, _) = world.create(&admin, "two", "db", &["launcher", "project-user"]).await.unwrap();
    world.bind(&admin, &one.principal, "launcher", "db").await.unwrap();
    world.create(&acting(&root, "other"), "foreign", "", &["launcher"]).await.unwrap();

    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let request = wire::ListBindingsRequest { page_size: 2, page_token: token, ..Default::default() };
        let page = list(&world, &admin, request).await;
        assert!(page.bindings.len() <= 2);
        seen.extend(page.bindings);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let ids: std::collections::BTreeSet<_> = seen.iter().map(|binding| binding.binding_id.clone()).collect();
    assert_eq!((seen.len(), ids.len()), (5, 5));

    let of = |principal: &str, project: &str| wire::ListBindingsRequest {
        principal: principal.into(),
        project: project.into(),
        ..Default::default()
    };
    assert_eq!(list(&world, &admin, of(&one.principal, "")).await.bindings.len(), 3);
    assert_eq!(list(&world, &admin, of("", "db")).await.bindings.len(), 3);
    assert_eq!(list(&world, &admin, of(&two.principal, "web")).await.bindings.len(), 0);
    assert_eq!(list(&world, &acting(&root, "other"), of(&one.principal, "")).await.bindings.len(), 0);

    // Who sees a project sees its bindings only, and takes none away elsewhere.
    let auditor = world.someone(&root, "acme", "auditor", "web", &["auditor"]).await;
    let shown = list(&world, &auditor, of("", "")).await.bindings;
    assert!(shown.iter().all(|binding| binding.scope.as_ref().unwrap().project == "web"), "{shown:?}");
    assert_eq!(shown.len(), 3);
    assert_eq!(reason(world.unbind(&auditor, &shown[0].binding_id).await), ErrorReason::PermissionDenied);
    let elsewhere = seen.iter().find(|binding| binding.scope.as_ref().unwrap().project == "db").unwrap();
    assert_eq!(reason(world.unbind(&auditor, &elsewhere.binding_id).await), ErrorReason::NotFound);
    let other = acting(&root, "other");
    assert_eq!(reason(world.unbind(&other, &elsewhere.binding_id).await), ErrorReason::NotFound);
    // Not a token, a token with an invalid position, and a valid token of a list with another filter.
    let ask = |page_token: &str, project: &str| wire::ListBindingsRequest {
        page_token: page_token.to_owned(),
        project: project.to_owned(),
        page_size: 2,
        ..Default::default()
    };
    let list = async |request| answer(world.service.roles.list_bindings(from(&admin, request)).await);
    let made_up = Listing::of("bindings", Some("acme")).filter("principal", "").filter("project", "").token("x/y");
    let good = list(ask("", "")).await.unwrap().next_page_token;
    for bad in [ask("x/y", ""), ask(&made_up, ""), ask(&good, "web")] {
        assert_eq!(reason(list(bad).await), ErrorReason::ValidationFailed);
    }
    assert!(list(ask(&good, "")).await.is_ok());
}

#[tokio::test]
async fn a_principal_holds_at_most_fifty_roles_and_can_still_be_deleted() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let (client, who) = world.create(&admin, "ci", "", &[]).await.unwrap();
    for number in 0..50 {
        let name = format!("role-{number}");
        world.create_role(&admin, &name, &["jobs.read"]).await.unwrap();
        world.bind(&admin, &client.principal, &name, "").await.unwrap();
    }
    let more = world.bind(&admin, &client.principal, "launcher", "").await;
    assert_eq!(reason(more), ErrorReason::Conflict);
    let caller = world.login(&who).await;
    assert_eq!(caller.grants.len(), 50);
    world.delete(&admin, &client.client_id).await.unwrap();
    assert_eq!(world.store.count("binding-ids/").await.unwrap(), 1, "the first administrator's");
}
