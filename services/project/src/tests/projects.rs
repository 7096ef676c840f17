use runwarden_kit::tenant::TenantId;

use super::*;

async fn get(world: &World, caller: &Caller, name: &str) -> Result<wire::Project, Status> {
    let request = wire::GetProjectRequest { name: name.to_owned() };
    Ok(body(world.services.projects.get_project(by(caller, request)).await)?.project.unwrap())
}

async fn list(world: &World, caller: &Caller) -> Result<Vec<String>, Status> {
    let page = body(world.services.projects.list_projects(by(caller, wire::ListProjectsRequest::default())).await)?;
    Ok(page.projects.into_iter().map(|project| project.name).collect())
}

#[tokio::test]
async fn projects_are_made_in_the_callers_tenant_and_seen_by_its_members_only() {
    let world = world().await;
    let made = world.create_project(&admin("acme"), "db").await.unwrap();
    assert_eq!((made.tenant.as_str(), made.revision), ("acme", 1));
    assert_eq!(list(&world, &admin("acme")).await.unwrap(), ["db", "web"]);
    assert_eq!(list(&world, &admin("other")).await.unwrap(), ["web"]);
    refused(get(&world, &admin("other"), "db").await, ErrorReason::NotFound);

    let member = with_role("project-user", Scope::project(&TenantId::trusted("acme"), "web"));
    assert_eq!(list(&world, &member).await.unwrap(), ["web"]);
    get(&world, &member, "web").await.unwrap();
    refused(get(&world, &member, "db").await, ErrorReason::NotFound);
    refused(world.create_project(&member, "own").await, ErrorReason::PermissionDenied);
    refused(world.delete_project(&member, "web").await, ErrorReason::PermissionDenied);
    refused(world.delete_project(&member, "db").await, ErrorReason::NotFound);
    assert_eq!(world.actions("db").await, ["project.create"]);
}

#[tokio::test]
async fn the_platform_names_the_tenant_it_acts_for_and_it_must_exist() {
    let world = world().await;
    world.create_project(&platform_for(Some("acme")), "db").await.unwrap();
    refused(world.create_project(&platform_for(None), "db").await, ErrorReason::ValidationFailed);
    refused(world.create_project(&platform_for(Some("none")), "db").await, ErrorReason::NotFound);
    refused(list(&world, &platform_for(Some("none"))).await, ErrorReason::NotFound);
}

#[tokio::test]
async fn a_project_name_is_taken_once_per_tenant_and_for_ever() {
    let world = world().await;
    refused(world.create_project(&admin("acme"), "web").await, ErrorReason::AlreadyExists);
    world.delete_project(&admin("acme"), "web").await.unwrap();
    refused(get(&world, &admin("acme"), "web").await, ErrorReason::NotFound);
    refused(world.delete_project(&admin("acme"), "web").await, ErrorReason::NotFound);
    // Roles given at the old one would hold at the new one.
    refused(world.create_project(&admin("acme"), "web").await, ErrorReason::AlreadyExists);
    assert_eq!(get(&world, &admin("other"), "web").await.unwrap().tenant, "other");
}

#[tokio::test]
async fn a_project_with_templates_stays() {
    let world = world().await;
    let caller = admin("acme");
    world.create_controller(&caller, "awx").await.unwrap();
    world.create_template(&caller, new_template("deploy")).await.unwrap();
    refused(world.delete_project(&caller, "web").await, ErrorReason::Conflict);
    let request = wire::DeleteTemplateRequest { name: "deploy".to_owned() };
    world.services.templates.delete_template(by(&caller, request)).await.unwrap();
    world.delete_project(&caller, "web").await.unwrap();
}

#[tokio::test]
async fn a_repeat_with_the_same_key_gets_the_same_project() {
    let world = world().await;
    let caller = admin("acme");
    let create = |name: &str, key: &'static str| {
        let (caller, services) = (caller.clone(), world.services.clone());
        let request = wire::CreateProjectRequest { name: name.to_owned(), display_name: String::new() };
        async move { body(within(&caller, Some(key), services.projects.create_project(by(&caller, request))).await) }
    };
    let first = create("db", "k1").await.unwrap();
    assert_eq!(create("db", "k1").await.unwrap(), first);
    refused(create("db", "k2").await, ErrorReason::AlreadyExists);
    refused(create("cache", "k1").await, ErrorReason::IdempotencyKeyReused);
    assert_eq!(world.actions("db").await, ["project.create"]);
}

#[tokio::test]
async fn when_too_many_entries_wait_for_the_audit_log_changes_are_refused() {
    let world = world().await;
    let mut n = 0;
    while n < runwarden_kit::audit::MAX_PENDING {
        let mut change = runwarden_engines::config::Change::new();
        for _ in 0..100 {
            change.put(format!("{}rec_{n:05}", runwarden_engines::outbox::waiting_of("acme")), Vec::new());
            n += 1;
        }
        world.store.commit(change).await.unwrap();
    }
    refused(world.create_project(&admin("acme"), "db").await, ErrorReason::AuditUnavailable);
    assert_eq!(list(&world, &admin("acme")).await.unwrap(), ["web"]);
    world.create_project(&admin("other"), "db").await.unwrap();
}

#[tokio::test]
async fn a_name_that_is_not_a_slug_is_refused_with_the_rule_by_every_call() {
    let world = world().await;
    let caller = admin("acme");
    let name = || "My_Thing".to_owned();
    let services = &world.services;
    let refusals = [
        body(services.tenants.get_tenant(by(&caller, wire::GetTenantRequest { name: name() })).await).map(drop),
        body(services.projects.get_project(by(&caller, wire::GetProjectRequest { name: name() })).await).map(drop),
        world.delete_project(&caller, "My_Thing").await.map(drop),
        body(services.controllers.get_controller(by(&caller, wire::GetControllerRequest { name: name() })).await)
            .map(drop),
        world.delete_controller(&caller, "My_Thing").await.map(drop),
        body(services.templates.get_template(by(&caller, wire::GetTemplateRequest { name: name() })).await).map(drop),
        body(services.templates.delete_template(by(&caller, wire::DeleteTemplateRequest { name: name() })).await)
            .map(drop),
    ];
    for (at, refusal) in refusals.into_iter().enumerate() {
        let status = refused(refusal, ErrorReason::ValidationFailed);
        assert_eq!(pointers(&status), ["/name"], "{at}");
        assert!(Error::from_status(&status).detail().contains("lower-case letters"), "{status:?}");
    }
    let filter = wire::ListTemplatesRequest { project: name(), ..Default::default() };
    let listed = body(services.templates.list_templates(by(&caller, filter)).await).map(drop);
    assert_eq!(pointers(&refused(listed, ErrorReason::ValidationFailed)), ["/project"]);
}
