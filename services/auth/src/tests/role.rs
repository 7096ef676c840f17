//! Roles: built in and a tenant's own.

use super::*;

#[tokio::test]
async fn a_tenant_has_the_built_in_roles_and_its_own() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let made = world.create_role(&admin, "deployer", &["jobs.submit", "jobs.read"]).await.unwrap();
    assert_eq!(made.permissions, ["jobs.read", "jobs.submit"]);
    let list = async |caller: &Caller| {
        let listed = world.service.roles.list_roles(from(caller, wire::ListRolesRequest {})).await;
        answer(listed).map(|listed| listed.roles.into_iter().map(|role| role.name).collect::<Vec<_>>())
    };
    let names = list(&admin).await.unwrap();
    let built_in = ["platform-admin", "cms-admin", "tenant-admin", "project-user", "launcher", "notifier", "auditor"];
    assert_eq!(names[..7], built_in);
    assert_eq!(names[7..], ["deployer"]);
    assert_eq!(list(&acting(&root, "other")).await.unwrap().len(), 7);
    assert_eq!(list(&root).await.unwrap().len(), 7);
    let auditor = world.someone(&root, "acme", "auditor", "web", &["auditor"]).await;
    assert_eq!(list(&auditor).await.unwrap().len(), 8);
    let launcher = world.someone(&root, "acme", "launcher", "", &["launcher"]).await;
    assert_eq!(reason(list(&launcher).await), ErrorReason::PermissionDenied);
    assert_eq!(world.entries("role.create").await.len(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_new_role_is_named() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let cases: [(&str, &[&str], &str); 5] = [
        ("Bad Name", &["jobs.read"], "/name"),
        ("a", &[], "/permissions"),
        ("a", &["jobs.read", "jobs.read"], "/permissions/1"),
        ("a", &["jobs.fly"], "/permissions/0"),
        ("a", &[""], "/permissions/0"),
    ];
    for (name, permissions, pointer) in cases {
        let error = world.create_role(&admin, name, permissions).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::ValidationFailed, "{name} {permissions:?}");
        assert_eq!(error.fields()[0].pointer, pointer);
    }
    let taken = world.create_role(&admin, "launcher", &["jobs.read"]).await;
    assert_eq!(reason(taken), ErrorReason::AlreadyExists);
    world.create_role(&admin, "mine", &["jobs.read"]).await.unwrap();
    assert_eq!(reason(world.create_role(&admin, "mine", &["jobs.read"]).await), ErrorReason::AlreadyExists);
    assert_eq!(reason(world.create_role(&root, "mine", &["jobs.read"]).await), ErrorReason::ValidationFailed);
}

#[tokio::test]
async fn a_role_in_use_stays_and_a_built_in_one_always() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let delete = async |caller: &Caller, name: &str| {
        let request = wire::DeleteRoleRequest { name: name.to_owned() };
        let deleted = within(caller, world.service.roles.delete_role(from(caller, request))).await;
        answer(deleted)
    };
    world.create_role(&admin, "mine", &["jobs.read"]).await.unwrap();
    let (client, _) = world.create(&admin, "ci", "web", &["mine"]).await.unwrap();
    assert_eq!(reason(delete(&admin, "mine").await), ErrorReason::Conflict);
    assert_eq!(reason(delete(&acting(&root, "other"), "mine").await), ErrorReason::NotFound);
    assert_eq!(reason(delete(&admin, "launcher").await), ErrorReason::Conflict);
    assert_eq!(reason(delete(&admin, "../x").await), ErrorReason::ValidationFailed);
    world.delete(&admin, &client.client_id).await.unwrap();
    delete(&admin, "mine").await.unwrap();
    assert_eq!(reason(world.create(&admin, "ci", "web", &["mine"]).await), ErrorReason::ValidationFailed);
}

#[tokio::test]
async fn a_role_is_never_bound_and_deleted_at_once() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    for round in 0..5 {
        world.create_role(&admin, "mine", &["jobs.read"]).await.unwrap();
        let (client, _) = world.create(&admin, &format!("ci-{round}"), "", &[]).await.unwrap();
        let request = wire::DeleteRoleRequest { name: "mine".into() };
        let (bound, deleted) = futures::join!(
            world.bind(&admin, &client.principal, "mine", ""),
            world.service.roles.delete_role(from(&admin, request))
        );
        assert_ne!(bound.is_ok(), deleted.is_ok());
        if bound.is_ok() {
            world.delete(&admin, &client.client_id).await.unwrap();
            let request = wire::DeleteRoleRequest { name: "mine".into() };
            answer(world.service.roles.delete_role(from(&admin, request)).await).unwrap();
        }
    }
}
