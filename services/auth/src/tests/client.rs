//! Clients: who may create which, and how their secrets change.

use super::*;

#[tokio::test]
async fn a_client_is_made_shown_once_and_found_again() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let admin = acting(&admin, "acme");
    let (made, who) = world.create(&admin, "ci", "web", &["launcher"]).await.unwrap();
    assert!(made.client_id.starts_with("client_") && made.principal.starts_with("sa_"));
    assert_eq!((made.tenant.as_str(), made.project.as_str(), made.name.as_str()), ("acme", "web", "ci"));
    assert_eq!(made.roles, ["launcher"]);
    assert_eq!(who.secret.len(), 43);
    assert_eq!(world.get(&admin, &made.client_id).await.unwrap(), made);
    assert!(!world.everything().await.contains(&who.secret), "a secret must not be kept");
    let entry = &world.entries("client.create").await[1];
    assert_eq!((entry.tenant.as_str(), entry.object_id.as_str()), ("acme", made.client_id.as_str()));
    assert_eq!(entry.actor.as_ref().unwrap().principal, admin.principal);
    assert_eq!(entry.request_id, "req_1");
}

#[tokio::test]
async fn what_is_wrong_with_a_new_client_is_named() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let admin = acting(&admin, "acme");
    let cases: [(&str, &str, &[&str], &str); 8] = [
        ("", "", &[], "/name"),
        ("No Slug", "", &[], "/name"),
        ("a/b", "", &[], "/name"),
        ("ci", "../x", &[], "/project"),
        ("ci", "nowhere", &[], "/project"),
        ("ci", "", &["launcher", "launcher"], "/roles/1"),
        ("ci", "", &["no-such-role"], "/roles/0"),
        ("ci", "", &["a/b"], "/roles/0"),
    ];
    for (name, project, roles, pointer) in cases {
        let error = world.create(&admin, name, project, roles).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::ValidationFailed, "{name} {project} {roles:?}");
        assert_eq!(error.fields()[0].pointer, pointer);
    }
    let past = wire::CreateClientRequest {
        name: "ci".into(),
        expires_at: Some(world.clock.now().minus(Duration::from_secs(1)).to_proto()),
        ..Default::default()
    };
    let error = answer(world.service.clients.create_client(from(&admin, past)).await).unwrap_err();
    assert_eq!(error.fields()[0].pointer, "/expires_at");
    let made = world.create(&admin, "ci", "", &[]).await;
    made.unwrap();
    assert_eq!(reason(world.create(&admin, "ci", "web", &[]).await), ErrorReason::AlreadyExists);
    world.create(&acting(&admin, "other"), "ci", "", &[]).await.unwrap();
    assert_eq!(reason(world.create(&acting(&admin, "nowhere"), "ci", "", &[]).await), ErrorReason::NotFound);
    assert_eq!(reason(world.create(&acting(&admin, "closed"), "ci", "", &[]).await), ErrorReason::TenantDisabled);
}

#[tokio::test]
async fn a_tenant_has_so_many_clients_and_no_more() {
    let mut place = Place::new();
    place.config.max_clients = 2;
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let (first, _) = world.create(&admin, "one", "", &[]).await.unwrap();
    world.create(&admin, "two", "", &[]).await.unwrap();
    let error = world.create(&admin, "three", "", &[]).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::Conflict);
    assert!(error.detail().contains("2 clients"), "{}", error.detail());
    world.create(&acting(&root, "other"), "three", "", &[]).await.unwrap();
    world.delete(&admin, &first.client_id).await.unwrap();
    world.create(&admin, "three", "", &[]).await.unwrap();
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_hold() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = world.someone(&root, "acme", "admin", "", &["tenant-admin"]).await;
    let (strong, _) = world.create(&acting(&root, "acme"), "strong", "", &["platform-admin"]).await.unwrap();
    // A role stronger than one's own, also in one's own tenant.
    assert_eq!(reason(world.create(&admin, "x", "", &["platform-admin"]).await), ErrorReason::PermissionDenied);
    assert_eq!(reason(world.bind(&admin, &admin.principal, "platform-admin", "").await), ErrorReason::PermissionDenied);
    assert_eq!(reason(world.create_role(&admin, "x", &["tenants.write"]).await), ErrorReason::PermissionDenied);
    // A secret of a stronger client, or a stronger client switched on again.
    assert_eq!(reason(world.rotate(&admin, &strong.client_id).await), ErrorReason::PermissionDenied);
    world.set_disabled(&acting(&root, "acme"), &strong.client_id, true).await.unwrap();
    assert_eq!(reason(world.set_disabled(&admin, &strong.client_id, false).await), ErrorReason::PermissionDenied);
    // Permissions that the caller holds can be granted.
    world.create(&admin, "deputy", "", &["tenant-admin"]).await.unwrap();
    // A token narrowed by scope gives no more than it holds.
    let mut narrowed = admin.clone();
    narrowed.grants[0].permissions.retain(|name| name.starts_with("clients."));
    assert_eq!(reason(world.create(&narrowed, "y", "", &["launcher"]).await), ErrorReason::PermissionDenied);
}

#[tokio::test]
async fn nobody_takes_from_those_who_hold_more() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let tenant = acting(&root, "acme");
    world
        .create_role(&tenant, "keeper", &["clients.read", "clients.write", "bindings.read", "bindings.write"])
        .await
        .unwrap();
    let keeper = world.someone(&root, "acme", "keeper", "", &["keeper"]).await;
    let (admin, _) = world.create(&tenant, "admin", "", &["tenant-admin"]).await.unwrap();
    let (_second, _) = world.create(&tenant, "second", "", &["tenant-admin"]).await.unwrap();
    let binding = world.bind(&tenant, &admin.principal, "launcher", "web").await.unwrap();
    world.rotate(&tenant, &admin.client_id).await.unwrap();
    let soon = || wire::UpdateClientRequest {
        client_id: admin.client_id.clone(),
        expires_at: Some(world.clock.now().plus(Duration::from_secs(60)).to_proto()),
        ..Default::default()
    };
    assert_eq!(reason(world.set_disabled(&keeper, &admin.client_id, true).await), ErrorReason::PermissionDenied);
    assert_eq!(reason(world.update(&keeper, soon()).await), ErrorReason::PermissionDenied);
    assert_eq!(reason(world.rotate(&keeper, &admin.client_id).await), ErrorReason::PermissionDenied);
    assert_eq!(reason(world.retire(&keeper, &admin.client_id, "").await), ErrorReason::PermissionDenied);
    assert_eq!(reason(world.delete(&keeper, &admin.client_id).await), ErrorReason::PermissionDenied);
    assert_eq!(reason(world.unbind(&keeper, &binding.binding_id).await), ErrorReason::PermissionDenied);
    // Its equals and those below it are its to keep.
    let (equal, _) = world.create(&tenant, "equal", "web", &["keeper"]).await.unwrap();
    world.set_disabled(&keeper, &equal.client_id, true).await.unwrap();
    world.delete(&keeper, &equal.client_id).await.unwrap();
    // And an administrator's equal is another administrator.
    let other = world.someone(&root, "acme", "other-admin", "", &["tenant-admin"]).await;
    world.unbind(&other, &binding.binding_id).await.unwrap();
    world.set_disabled(&other, &admin.client_id, true).await.unwrap();
}

#[tokio::test]
async fn a_tenant_does_not_lose_its_last_administrator_by_its_own_hand() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let tenant = acting(&root, "acme");
    let admin = world.someone(&root, "acme", "admin", "", &["tenant-admin"]).await;
    let own = world.get(&tenant, &admin.client_id).await.unwrap();
    let bindings = wire::ListBindingsRequest { principal: own.principal.clone(), ..Default::default() };
    let bindings = answer(world.service.roles.list_bindings(from(&tenant, bindings)).await).unwrap().bindings;
    let until = |seconds| wire::UpdateClientRequest {
        client_id: own.client_id.clone(),
        expires_at: Some(world.clock.now().plus(Duration::from_secs(seconds)).to_proto()),
        ..Default::default()
    };
    // One in a project is none of the tenant, and one that expires is not as good.
    world.create(&admin, "of-web", "web", &["tenant-admin"]).await.unwrap();
    let visitor = wire::CreateClientRequest {
        name: "visitor".into(),
        roles: vec!["tenant-admin".into()],
        expires_at: Some(world.clock.now().plus(Duration::from_secs(600)).to_proto()),
        ..Default::default()
    };
    answer(world.service.clients.create_client(from(&admin, visitor)).await).unwrap();
    assert_eq!(reason(world.set_disabled(&admin, &own.client_id, true).await), ErrorReason::Conflict);
    assert_eq!(reason(world.delete(&admin, &own.client_id).await), ErrorReason::Conflict);
    assert_eq!(reason(world.update(&admin, until(60)).await), ErrorReason::Conflict);
    assert_eq!(reason(world.unbind(&admin, &bindings[0].binding_id).await), ErrorReason::Conflict);
    // With a second one the first may go; at the same time both may not.
    let (second, who) = world.create(&admin, "second", "", &["tenant-admin"]).await.unwrap();
    let (one, two) = futures::join!(
        world.set_disabled(&admin, &own.client_id, true),
        world.set_disabled(&admin, &second.client_id, true)
    );
    assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|done| **done).count(), 1);
    world.set_disabled(&tenant, &own.client_id, false).await.unwrap();
    world.set_disabled(&tenant, &second.client_id, false).await.unwrap();
    world.delete(&admin, &own.client_id).await.unwrap();
    let last = world.login(&who).await;
    assert_eq!(reason(world.delete(&last, &second.client_id).await), ErrorReason::Conflict);
    // The platform may: it must be possible to stop a compromised administrator.
    world.set_disabled(&tenant, &second.client_id, true).await.unwrap();
    assert_eq!(world.entries("client.disable").await.last().unwrap().object_id, second.client_id);
}

#[tokio::test]
async fn another_tenants_clients_and_the_platforms_do_not_exist() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = world.someone(&root, "acme", "admin", "", &["tenant-admin"]).await;
    let (foreign, _) = world.create(&acting(&root, "other"), "foreign", "", &["launcher"]).await.unwrap();
    for id in [foreign.client_id.as_str(), place.bootstrap().id.as_str(), "client_x", "../x", ""] {
        assert_eq!(reason(world.get(&admin, id).await), ErrorReason::NotFound, "{id}");
        assert_eq!(reason(world.set_disabled(&admin, id, true).await), ErrorReason::NotFound, "{id}");
        assert_eq!(reason(world.rotate(&admin, id).await), ErrorReason::NotFound, "{id}");
        assert_eq!(reason(world.retire(&admin, id, "").await), ErrorReason::NotFound, "{id}");
        assert_eq!(reason(world.delete(&admin, id).await), ErrorReason::NotFound, "{id}");
    }
    // The platform's administrator sees the tenant it acts for, one at a time.
    assert_eq!(reason(world.get(&acting(&root, "acme"), &foreign.client_id).await), ErrorReason::NotFound);
    world.get(&acting(&root, "other"), &foreign.client_id).await.unwrap();
}

#[tokio::test]
async fn who_works_in_a_project_sees_its_clients_only() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let tenant = acting(&root, "acme");
    world.create_role(&tenant, "client-keeper", &["clients.read", "clients.write", "jobs.read"]).await.unwrap();
    let keeper = world.someone(&root, "acme", "keeper", "web", &["client-keeper"]).await;
    let (elsewhere, _) = world.create(&tenant, "elsewhere", "db", &[]).await.unwrap();
    let (above, _) = world.create(&tenant, "above", "", &[]).await.unwrap();
    let (here, _) = world.create(&tenant, "here", "web", &[]).await.unwrap();
    assert_eq!(reason(world.get(&keeper, &elsewhere.client_id).await), ErrorReason::NotFound);
    assert_eq!(reason(world.delete(&keeper, &above.client_id).await), ErrorReason::NotFound);
    assert_eq!(reason(world.create(&keeper, "x", "db", &[]).await), ErrorReason::PermissionDenied);
    assert_eq!(reason(world.create(&keeper, "x", "", &[]).await), ErrorReason::PermissionDenied);
    world.get(&keeper, &here.client_id).await.unwrap();
    let list = async |size, token: String| {
        let request = wire::ListClientsRequest { page_size: size, page_token: token };
        answer(world.service.clients.list_clients(from(&keeper, request)).await).unwrap()
    };
    let page = list(1, String::new()).await;
    let rest = list(1, page.next_page_token.clone()).await;
    let names: Vec<_> = page.clients.iter().chain(&rest.clients).map(|client| client.name.as_str()).collect();
    assert_eq!(names, ["keeper", "here"]);
    assert_eq!(rest.next_page_token, "");
    assert_eq!(list(0, String::new()).await.clients.len(), 2);
}

#[tokio::test]
async fn two_secrets_hold_during_rotation_and_never_a_third() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let (client, old) = world.create(&admin, "ci", "", &["launcher"]).await.unwrap();
    assert_eq!(reason(world.retire(&admin, &old.id, "").await), ErrorReason::Conflict);
    let new = world.rotate(&admin, &old.id).await.unwrap();
    world.issue(&old, "").await.unwrap();
    world.issue(&new, "").await.unwrap();
    assert_eq!(reason(world.rotate(&admin, &old.id).await), ErrorReason::Conflict);
    assert_eq!(reason(world.retire(&admin, &old.id, "sec_unknown").await), ErrorReason::NotFound);
    let left = world.retire(&admin, &old.id, "").await.unwrap();
    assert_eq!(left.secrets.len(), 1);
    assert_ne!(left.secrets[0].secret_id, client.secrets[0].secret_id);
    assert_eq!(reason(world.issue(&old, "").await), ErrorReason::InvalidClient);
    world.issue(&new, "").await.unwrap();
    // The newer one can be taken back too.
    let newest = world.rotate(&admin, &old.id).await.unwrap();
    let both = world.get(&admin, &old.id).await.unwrap();
    world.retire(&admin, &old.id, &both.secrets[1].secret_id).await.unwrap();
    assert_eq!(reason(world.issue(&newest, "").await), ErrorReason::InvalidClient);
    world.issue(&new, "").await.unwrap();
    assert_eq!(world.entries("client.rotate_secret").await.len(), 2);
    assert_eq!(world.entries("client.retire_secret").await.len(), 2);
}

#[tokio::test]
async fn a_deleted_client_leaves_nothing_behind_and_its_name_is_free() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    world.create_role(&admin, "reader", &["jobs.read"]).await.unwrap();
    let (client, who) = world.create(&admin, "ci", "", &["reader"]).await.unwrap();
    world.bind(&admin, &client.principal, "reader", "web").await.unwrap();
    world.bind(&admin, &client.principal, "launcher", "web").await.unwrap();
    let token = world.issue(&who, "").await.unwrap().access_token;
    world.delete(&admin, &client.client_id).await.unwrap();
    assert_eq!(reason(world.verify(&token).await), ErrorReason::TokenRevoked);
    assert_eq!(reason(world.issue(&who, "").await), ErrorReason::InvalidClient);
    assert_eq!(reason(world.delete(&admin, &client.client_id).await), ErrorReason::NotFound);
    for prefix in ["clients/acme/", "client-ids/", "client-names/acme/", "principals/acme/", "secret-uses/"] {
        let left = world.store.list(prefix, None, 100).await.unwrap();
        assert!(left.iter().all(|entry| entry.key.ends_with(&place.bootstrap().id)), "{prefix}: {left:?}");
    }
    assert_eq!(world.store.count("binding-ids/").await.unwrap(), 1, "the first administrator's");
    // No principal has the role any more.
    let request = wire::DeleteRoleRequest { name: "reader".into() };
    answer(world.service.roles.delete_role(from(&admin, request)).await).unwrap();
    world.create(&admin, "ci", "", &[]).await.unwrap();
}

#[tokio::test]
async fn the_last_administrator_cannot_be_locked_out() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let first = place.bootstrap().id;
    let soon = || wire::UpdateClientRequest {
        client_id: first.clone(),
        expires_at: Some(world.clock.now().plus(Duration::from_secs(60)).to_proto()),
        ..Default::default()
    };
    // One that expires does not count.
    let request = wire::CreateClientRequest {
        name: "visitor".into(),
        roles: vec!["platform-admin".into()],
        expires_at: Some(world.clock.now().plus(Duration::from_secs(60)).to_proto()),
        ..Default::default()
    };
    answer(world.service.clients.create_client(from(&root, request)).await).unwrap();
    let bindings = wire::ListBindingsRequest { principal: root.principal.clone(), ..Default::default() };
    let bindings = answer(world.service.roles.list_bindings(from(&root, bindings)).await).unwrap().bindings;
    assert_eq!(reason(world.set_disabled(&root, &first, true).await), ErrorReason::Conflict);
    assert_eq!(reason(world.delete(&root, &first).await), ErrorReason::Conflict);
    assert_eq!(reason(world.update(&root, soon()).await), ErrorReason::Conflict);
    assert_eq!(reason(world.unbind(&root, &bindings[0].binding_id).await), ErrorReason::Conflict);
    // With a second one the first may go, and then the second is the last.
    let (second, who) = world.create(&root, "second", "", &["platform-admin"]).await.unwrap();
    world.delete(&root, &first).await.unwrap();
    let second_caller = world.login(&who).await;
    assert_eq!(reason(world.delete(&second_caller, &second.client_id).await), ErrorReason::Conflict);
}

#[tokio::test]
async fn two_administrators_who_disable_each_other_at_once_do_not_both_succeed() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let (second, _) = world.create(&root, "second", "", &["platform-admin"]).await.unwrap();
    let first_id = place.bootstrap().id;
    let (one, two) =
        futures::join!(world.set_disabled(&root, &first_id, true), world.set_disabled(&root, &second.client_id, true));
    assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|done| **done).count(), 1);
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_no_event() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let (client, _) = world.create(&admin, "ci", "", &[]).await.unwrap();
    for _ in 0..3 {
        assert!(world.set_disabled(&admin, &client.client_id, true).await.unwrap().disabled);
    }
    assert_eq!(world.entries("client.disable").await.len(), 1);
    let both = wire::UpdateClientRequest {
        client_id: client.client_id,
        never_expires: true,
        expires_at: Some(world.clock.now().plus(Duration::from_secs(60)).to_proto()),
        ..Default::default()
    };
    assert_eq!(reason(world.update(&admin, both).await), ErrorReason::ValidationFailed);
}

#[tokio::test]
async fn a_repeat_with_the_same_idempotency_key_gets_the_first_answer_secret_and_all() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = acting(&root, "acme");
    let create = async |name: &str, key: &str| {
        let request = wire::CreateClientRequest { name: name.into(), ..Default::default() };
        let context = RequestContext { idempotency_key: Some(key.into()), ..by(&admin) };
        let made = context::scope(context, world.service.clients.create_client(from(&admin, request))).await;
        answer(made)
    };
    let first = create("ci", "key-1").await.unwrap();
    assert_eq!(create("ci", "key-1").await.unwrap(), first);
    assert_eq!(reason(create("other", "key-1").await), ErrorReason::IdempotencyKeyReused);
    assert_eq!(reason(create("ci", "key-2").await), ErrorReason::AlreadyExists);
    let kept = world.everything().await;
    assert!(!kept.contains(&first.client_secret) && !kept.contains("key-1"));
    // After a restart too.
    drop(world);
    let world = place.start().await;
    let request = wire::CreateClientRequest { name: "ci".into(), ..Default::default() };
    let context = RequestContext { idempotency_key: Some("key-1".into()), ..by(&admin) };
    let again = context::scope(context, world.service.clients.create_client(from(&admin, request))).await;
    assert_eq!(answer(again).unwrap(), first);
}

#[tokio::test]
async fn nothing_is_changed_that_could_not_be_recorded() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let filled = runwarden_kit::audit::MAX_PENDING;
    for chunk in (0..filled).collect::<Vec<_>>().chunks(60) {
        let mut change = runwarden_engines::config::Change::new();
        for number in chunk {
            for tenant in ["acme", ""] {
                change.put(format!("{}rec_{number:08}", runwarden_engines::outbox::waiting_of(tenant)), b"".to_vec());
            }
        }
        world.store.commit(change).await.unwrap();
    }
    let refused = world.create(&acting(&root, "acme"), "ci", "", &[]).await;
    assert_eq!(reason(refused), ErrorReason::AuditUnavailable);
    assert_eq!(reason(world.issue(&place.bootstrap(), "").await), ErrorReason::AuditUnavailable);
    assert_eq!(world.store.count("clients/acme/").await.unwrap(), 0);
    // Another tenant's log is not the one that is full.
    world.create(&acting(&root, "other"), "ci", "", &[]).await.unwrap();
}
