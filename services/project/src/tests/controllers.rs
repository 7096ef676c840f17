use std::time::Duration;

use runwarden_kit::tenant::TenantId;

use super::*;

async fn update(
    world: &World,
    caller: &Caller,
    change: impl FnOnce(&mut wire::UpdateControllerRequest),
) -> Result<wire::Controller, Status> {
    let mut request = wire::UpdateControllerRequest { name: "awx".to_owned(), ..Default::default() };
    change(&mut request);
    let changed = within(caller, None, world.services.controllers.update_controller(by(caller, request))).await;
    Ok(body(changed)?.controller.unwrap())
}

#[tokio::test]
async fn a_controller_is_tried_sealed_and_stored_without_its_credential() {
    let world = world().await;
    let made = world.create_controller(&admin("acme"), "awx").await.unwrap();
    assert_eq!((made.url.as_str(), made.api_root.as_str()), ("https://awx.example", "/api/v2"));
    assert_eq!((made.product.as_str(), made.version.as_str(), made.account_id), ("AWX", "24.6.1", 5));
    let tried = world.access.checked.lock().unwrap().clone();
    assert_eq!(tried, [("https://awx.example".to_owned(), r#"{"token":"t0ken"}"#.to_owned())]);

    let resolved = world.resolve_controller("acme", "awx").await.unwrap();
    assert!(resolved.secret_name.starts_with("controllers/awx/"));
    assert_eq!(world.secrets.kept()[&format!("acme/{}", resolved.secret_name)], r#"{"token":"t0ken"}"#);
    for entry in world.store.list("", None, 1000).await.unwrap() {
        assert!(!String::from_utf8_lossy(&entry.value).contains("t0ken"), "{entry:?}");
    }
    assert_eq!(world.actions("awx").await, ["controller.create"]);
    assert_eq!(world.store.count("orphans/").await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_wrong_is_told_before_the_controller_is_tried() {
    let world = world().await;
    type Spoil = fn(&mut wire::CreateControllerRequest);
    let cases: &[(&str, Spoil)] = &[
        ("/name", |r| r.name = "A".to_owned()),
        ("/url", |r| r.url = "http://awx.example".to_owned()),
        ("/url", |r| r.url = "https://u:p@awx.example".to_owned()),
        ("/url", |r| r.url = "https://169.254.169.254".to_owned()),
        ("/api_root", |r| r.api_root = "/api/../x".to_owned()),
        ("/credential", |r| r.credential = None),
        ("/credential", |r| r.credential.as_mut().unwrap().username = "u".to_owned()),
        ("/credential/token", |r| r.credential = Some(token("a\r\nb"))),
        ("/ca_pem", |r| r.ca_pem = "hello".to_owned()),
    ];
    for (pointer, spoil) in cases {
        let mut request = new_controller("awx");
        spoil(&mut request);
        let refusal =
            refused(world.create_controller_as(&admin("acme"), None, request).await, ErrorReason::ValidationFailed);
        assert_eq!(pointers(&refusal), [*pointer]);
    }
    assert!(world.access.checked.lock().unwrap().is_empty());
    assert!(world.secrets.kept().is_empty());
}

#[tokio::test]
async fn a_controller_that_cannot_be_reached_or_refuses_leaves_nothing() {
    let world = world().await;
    for why in [ErrorReason::ControllerUnreachable, ErrorReason::ControllerRefused] {
        world.access.fail_with(Some(Error::new(why, "no")));
        refused(world.create_controller(&admin("acme"), "awx").await, why);
    }
    assert!(world.secrets.kept().is_empty());
    refused(world.resolve_controller("acme", "awx").await, ErrorReason::NotFound);
    assert_eq!(world.store.count("orphans/").await.unwrap(), 0);
    world.access.fail_with(None);
    world.create_controller(&admin("acme"), "awx").await.unwrap();
}

#[tokio::test]
async fn without_the_secret_service_nothing_is_stored_and_the_rest_is_cleared_up_later() {
    let world = world().await;
    world.secrets.fail_with(Some(Error::unavailable("no")));
    refused(world.create_controller(&admin("acme"), "awx").await, ErrorReason::Unavailable);
    refused(world.resolve_controller("acme", "awx").await, ErrorReason::NotFound);
    assert_eq!(world.store.count("orphans/acme/").await.unwrap(), 1);
    world.secrets.fail_with(None);
    world.create_controller(&admin("acme"), "awx").await.unwrap();
    assert_eq!(world.store.count("orphans/").await.unwrap(), 0);
    assert_eq!(world.secrets.kept().len(), 1);
}

#[tokio::test]
async fn a_taken_name_keeps_the_credential_that_is_in_use() {
    let world = world().await;
    world.create_controller(&admin("acme"), "awx").await.unwrap();
    let before = world.secrets.kept();
    let mut again = new_controller("awx");
    again.credential = Some(token("other"));
    refused(world.create_controller_as(&admin("acme"), None, again).await, ErrorReason::AlreadyExists);
    assert_eq!(world.secrets.kept(), before);
    // The same name in another tenant is another controller.
    world.create_controller(&admin("other"), "awx").await.unwrap();
    assert_eq!(world.secrets.kept().len(), 2);
}

#[tokio::test]
async fn a_repeat_with_the_same_key_is_answered_without_trying_the_controller_again() {
    let world = world().await;
    let caller = admin("acme");
    let first = world.create_controller_as(&caller, Some("k"), new_controller("awx")).await.unwrap();
    let again = world.create_controller_as(&caller, Some("k"), new_controller("awx")).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(world.access.checked.lock().unwrap().len(), 1);
    let mut other = new_controller("awx");
    other.credential = Some(token("other"));
    let reused = world.create_controller_as(&caller, Some("k"), other).await;
    refused(reused, ErrorReason::IdempotencyKeyReused);
}

#[tokio::test]
async fn a_new_address_needs_the_credential_again() {
    let world = world().await;
    let caller = admin("acme");
    world.create_controller(&caller, "awx").await.unwrap();
    let refusal = refused(
        update(&world, &caller, |r| r.url = Some("https://evil.example".to_owned())).await,
        ErrorReason::ValidationFailed,
    );
    assert_eq!(pointers(&refusal), ["/credential"]);
    assert_eq!(world.access.checked.lock().unwrap().len(), 1, "the stored credential went nowhere");
    let moved = update(&world, &caller, |r| {
        r.url = Some("https://new.example".to_owned());
        r.credential = Some(token("n3w"));
    })
    .await
    .unwrap();
    assert_eq!((moved.url.as_str(), moved.revision), ("https://new.example", 2));
}

#[tokio::test]
async fn a_replaced_credential_is_kept_for_those_who_just_resolved_it_and_removed_after_that() {
    let world = world().await;
    let caller = admin("acme");
    world.create_controller(&caller, "awx").await.unwrap();
    let mut names = Vec::new();
    for n in 0..4 {
        names.push(world.resolve_controller("acme", "awx").await.unwrap().secret_name);
        let kept: Vec<String> = world.secrets.kept().into_keys().collect();
        let want: Vec<String> = names.iter().rev().take(2).rev().map(|name| format!("acme/{name}")).collect();
        assert_eq!(kept, want);
        update(&world, &caller, |r| r.credential = Some(token(&format!("t{n}")))).await.unwrap();
    }
    world.delete_controller(&caller, "awx").await.unwrap();
    assert!(world.secrets.kept().is_empty());
    assert_eq!(world.store.count("orphans/").await.unwrap(), 0);
}

#[tokio::test]
async fn an_update_that_fails_changes_nothing() {
    let world = world().await;
    let caller = admin("acme");
    world.create_controller(&caller, "awx").await.unwrap();
    let before = (world.resolve_controller("acme", "awx").await.unwrap(), world.secrets.kept());
    world.access.fail_with(Some(Error::new(ErrorReason::ControllerRefused, "no")));
    refused(update(&world, &caller, |r| r.credential = Some(token("bad"))).await, ErrorReason::ControllerRefused);
    assert_eq!((world.resolve_controller("acme", "awx").await.unwrap(), world.secrets.kept()), before);
}

#[tokio::test]
async fn a_controller_that_templates_use_stays() {
    let world = world().await;
    let caller = admin("acme");
    world.create_controller(&caller, "awx").await.unwrap();
    world.create_template(&caller, new_template("deploy")).await.unwrap();
    refused(world.delete_controller(&caller, "awx").await, ErrorReason::Conflict);
    assert_eq!(world.secrets.kept().len(), 1);
    let request = wire::DeleteTemplateRequest { name: "deploy".to_owned() };
    world.services.templates.delete_template(by(&caller, request)).await.unwrap();
    world.delete_controller(&caller, "awx").await.unwrap();
    refused(world.resolve_controller("acme", "awx").await, ErrorReason::NotFound);
    assert_eq!(world.actions("awx").await, ["controller.create", "controller.delete"]);
}

#[tokio::test]
async fn other_tenants_and_members_without_the_permission_see_no_controllers() {
    let world = world().await;
    world.create_controller(&admin("acme"), "awx").await.unwrap();
    let get = |caller: Caller| {
        let services = world.services.clone();
        let request = wire::GetControllerRequest { name: "awx".to_owned() };
        async move { services.controllers.get_controller(by(&caller, request)).await }
    };
    get(admin("acme")).await.unwrap();
    refused(get(admin("other")).await, ErrorReason::NotFound);
    refused(
        get(with_role("launcher", Scope::project(&TenantId::trusted("acme"), "web"))).await,
        ErrorReason::PermissionDenied,
    );
    refused(world.delete_controller(&admin("other"), "awx").await, ErrorReason::NotFound);
    let auditor = with_role("auditor", Scope::tenant(&TenantId::trusted("acme")));
    refused(world.delete_controller(&auditor, "awx").await, ErrorReason::PermissionDenied);
    let listed = world.services.controllers.list_controllers(by(&admin("other"), Default::default())).await;
    assert!(body(listed).unwrap().controllers.is_empty());
    refused(world.resolve_controller("none", "awx").await, ErrorReason::NotFound);
    refused(world.resolve_controller("acme/awx", "..").await, ErrorReason::ValidationFailed);
}

#[tokio::test]
async fn what_a_controller_offers_is_handed_on() {
    let world = world().await;
    world.create_controller(&admin("acme"), "awx").await.unwrap();
    let request =
        wire::ListControllerTemplatesRequest { controller: "awx".to_owned(), page_size: 5, page_token: "p".to_owned() };
    let page = body(world.services.controllers.list_controller_templates(by(&admin("acme"), request)).await).unwrap();
    assert_eq!((page.templates[0].name.as_str(), page.next_page_token.as_str()), ("deploy", "pnext"));
}

#[tokio::test]
async fn a_credential_left_behind_by_a_crash_is_removed_once_its_request_must_be_over() {
    let world = world().await;
    let caller = admin("acme");
    world.access.hold(false);
    // As if the process had died between sealing the credential and storing the controller.
    let orphan =
        serde_json::json!({ "secret_name": "controllers/lost/1", "since": 1_700_000_000_000_000_i64, "doomed": false });
    let mut change = runwarden_engines::config::Change::new();
    change.put("orphans/acme/controllers/lost/1", orphan.to_string());
    world.store.commit(change).await.unwrap();
    crate::port::SecretKeeper::put(&*world.secrets, &TenantId::trusted("acme"), "controllers/lost/1", b"{}")
        .await
        .unwrap();
    world.create_controller(&caller, "one").await.unwrap();
    assert_eq!(world.secrets.kept().len(), 2, "its request could still be running");
    world.clock.advance(Duration::from_secs(601));
    world.create_controller(&caller, "two").await.unwrap();
    assert!(!world.secrets.kept().contains_key("acme/controllers/lost/1"));
    assert_eq!(world.store.count("orphans/").await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_made_again_under_an_old_name_never_has_a_revision_the_old_one_had() {
    let world = world().await;
    let caller = admin("acme");
    let mut had = (Vec::new(), Vec::new());
    for round in 0..3 {
        let controller = world.create_controller(&caller, "awx").await.unwrap();
        let template = world.create_template(&caller, new_template("deploy")).await.unwrap();
        assert!(!had.0.contains(&controller.revision) && !had.1.contains(&template.revision), "round {round}: {had:?}");
        had.0.push(controller.revision);
        had.1.push(template.revision);
        let changed = update(&world, &caller, |request| request.max_concurrent = Some(round + 1)).await.unwrap();
        had.0.push(changed.revision);
        let delete = wire::DeleteTemplateRequest { name: "deploy".to_owned() };
        within(&caller, None, world.services.templates.delete_template(by(&caller, delete))).await.unwrap();
        world.delete_controller(&caller, "awx").await.unwrap();
    }
    assert_eq!(had, (vec![1, 2, 3, 4, 5, 6], vec![1, 2, 3]));
    // The names of others count for themselves.
    assert_eq!(world.create_controller(&caller, "second").await.unwrap().revision, 1);
    assert_eq!(world.create_controller(&admin("other"), "awx").await.unwrap().revision, 1);
}
