use runwarden_kit::caller::Scope;
use runwarden_kit::page::Listing;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;

use super::*;

async fn update(
    world: &World,
    caller: &Caller,
    name: &str,
    display_name: Option<&str>,
    disabled: Option<bool>,
) -> Result<wire::Tenant, Status> {
    let request = wire::UpdateTenantRequest {
        name: name.to_owned(),
        display_name: display_name.map(str::to_owned),
        disabled,
        ..Default::default()
    };
    let changed = within(caller, None, world.services.tenants.update_tenant(by(caller, request))).await;
    Ok(body(changed)?.tenant.unwrap())
}

async fn get(world: &World, caller: &Caller, name: &str) -> Result<wire::Tenant, Status> {
    let request = wire::GetTenantRequest { name: name.to_owned() };
    Ok(body(world.services.tenants.get_tenant(by(caller, request)).await)?.tenant.unwrap())
}

async fn list(world: &World, caller: &Caller, size: i32, token: &str) -> (Vec<String>, String) {
    let request = wire::ListTenantsRequest { page_size: size, page_token: token.to_owned() };
    let page = body(world.services.tenants.list_tenants(by(caller, request)).await).unwrap();
    (page.tenants.into_iter().map(|tenant| tenant.name).collect(), page.next_page_token)
}

#[tokio::test]
async fn only_the_platform_makes_tenants() {
    let world = world().await;
    let made = world.create_tenant("third").await.unwrap();
    assert_eq!((made.name.as_str(), made.display_name.as_str(), made.revision), ("third", "third", 1));
    assert!(made.created_at.is_some());
    let caller = Caller::example(&[Permission::TenantsWrite], Scope::tenant(&TenantId::trusted("acme")));
    let request = wire::CreateTenantRequest { name: "fourth".to_owned(), ..Default::default() };
    refused(world.services.tenants.create_tenant(by(&caller, request)).await, ErrorReason::PermissionDenied);
}

#[tokio::test]
async fn a_tenants_name_is_free_a_slug_and_not_reserved() {
    let world = world().await;
    let taken = refused(world.create_tenant("acme").await, ErrorReason::AlreadyExists);
    assert_eq!(pointers(&taken), ["/name"]);
    for bad in ["", "Acme", "a/b", "a.b", "a\0", "platform", "admin", "system", &"a".repeat(64)] {
        let status = refused(world.create_tenant(bad).await, ErrorReason::ValidationFailed);
        assert_eq!(pointers(&status), ["/name"], "{bad}");
    }
}

#[tokio::test]
async fn a_tenant_sees_itself_and_no_other() {
    let world = world().await;
    let caller = admin("acme");
    get(&world, &caller, "acme").await.unwrap();
    for hidden in ["other", "none"] {
        refused(get(&world, &caller, hidden).await, ErrorReason::NotFound);
    }
    assert_eq!(list(&world, &caller, 0, "").await, (vec!["acme".to_owned()], String::new()));
    refused(update(&world, &caller, "other", None, Some(true)).await, ErrorReason::NotFound);
}

#[tokio::test]
async fn a_tenant_cannot_end_its_own_suspension_and_can_change_nothing_meanwhile() {
    let world = world().await;
    let platform = platform_for(None);
    assert!(update(&world, &platform, "acme", None, Some(true)).await.unwrap().disabled);
    refused(update(&world, &admin("acme"), "acme", None, Some(false)).await, ErrorReason::PermissionDenied);
    refused(world.create_project(&admin("acme"), "new").await, ErrorReason::TenantDisabled);
    refused(world.create_controller(&admin("acme"), "awx").await, ErrorReason::TenantDisabled);
    // The platform may still put things in order.
    world.create_project(&platform_for(Some("acme")), "new").await.unwrap();
    let scope = wire::CheckScopeRequest { tenant: "acme".to_owned(), project: "web".to_owned() };
    let state = body(world.services.projects.check_scope(Request::new(scope)).await).unwrap();
    assert!(state.tenant_exists && state.tenant_disabled && state.project_exists);
    update(&world, &platform, "acme", Some("Acme Ltd"), Some(false)).await.unwrap();
    assert_eq!(world.actions("acme").await, ["tenant.create", "tenant.disable", "tenant.enable"]);
}

#[tokio::test]
async fn an_update_that_changes_nothing_leaves_revision_and_log_alone() {
    let world = world().await;
    let before = world.entries().await.len();
    let same = update(&world, &platform_for(None), "acme", Some("acme"), Some(false)).await.unwrap();
    assert_eq!(same.revision, 1);
    assert_eq!(world.entries().await.len(), before);
    let status = refused(
        update(&world, &platform_for(None), "acme", Some(&"x".repeat(201)), None).await,
        ErrorReason::ValidationFailed,
    );
    assert_eq!(pointers(&status), ["/display_name"]);
}

#[tokio::test]
async fn pages_are_whole_although_rows_in_between_are_hidden() {
    let world = empty_world().await;
    let mut caller = platform_for(None);
    caller.grants.clear();
    for n in 0..250 {
        let name = format!("t{n:03}");
        world.create_tenant(&name).await.unwrap();
        if n % 25 == 7 {
            caller.grants.extend(admin(&name).grants);
        }
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let (names, next) = list(&world, &caller, 4, &token).await;
        assert!(names.len() == 4 || next.is_empty());
        seen.extend(names);
        token = next;
        if token.is_empty() {
            break;
        }
    }
    let want: Vec<String> = (0..250).filter(|n| n % 25 == 7).map(|n| format!("t{n:03}")).collect();
    assert_eq!(seen, want);
    // Exactly one page: no token leads to an empty one.
    assert_eq!(list(&world, &caller, 10, "").await, (want, String::new()));
    let foreign = Listing::of("projects", Some("acme")).token("t007");
    let no_name = Listing::of("tenants", None).token("../..");
    for (size, bad) in [(-1, ""), (0, "!!"), (0, "Li4vLi4"), (0, "dDAwNw"), (0, &foreign), (0, &no_name)] {
        let request = wire::ListTenantsRequest { page_size: size, page_token: bad.to_owned() };
        refused(world.services.tenants.list_tenants(by(&caller, request)).await, ErrorReason::ValidationFailed);
    }
}

#[tokio::test]
async fn a_scope_is_told_for_what_exists() {
    let world = world().await;
    for (tenant, project, want) in [
        ("acme", "", (true, true)),
        ("acme", "web", (true, true)),
        ("acme", "none", (true, false)),
        ("none", "", (false, true)),
        ("none", "web", (false, false)),
        ("../x", "a/b", (false, false)),
    ] {
        let request = wire::CheckScopeRequest { tenant: tenant.to_owned(), project: project.to_owned() };
        let state = body(world.services.projects.check_scope(Request::new(request)).await).unwrap();
        assert_eq!((state.tenant_exists, state.project_exists), want, "{tenant} {project}");
    }
}

#[tokio::test]
async fn what_happened_to_a_tenant_is_in_the_platforms_log_with_who_did_it() {
    let world = empty_world().await;
    world.create_tenant("acme").await.unwrap();
    let entries = world.entries().await;
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((entry.tenant.as_str(), entry.service.as_str(), entry.request_id.as_str()), ("", "project", "req_test"));
    assert_eq!(entry.actor.as_ref().unwrap().principal, platform_for(None).principal);
}

#[tokio::test]
async fn whoever_follows_the_tenants_is_told_what_changed() {
    let world = world().await;
    let ask = async |version: &str| {
        let request = wire::ListTenantStatesRequest { known_version: version.to_owned() };
        let told = body(world.services.tenants.list_tenant_states(Request::new(request)).await).unwrap();
        let tenants: Vec<_> = told.tenants.iter().map(|tenant| (tenant.name.clone(), tenant.disabled)).collect();
        (told.version, told.only_changes, tenants)
    };
    let named = |tenants: &[(&str, bool)]| -> Vec<(String, bool)> {
        tenants.iter().map(|(name, disabled)| ((*name).to_owned(), *disabled)).collect()
    };
    let (version, only_changes, all) = ask("").await;
    assert_eq!((only_changes, all), (false, named(&[("acme", false), ("other", false)])));
    let (same, only_changes, none) = ask(&version).await;
    assert_eq!((&same, only_changes, none), (&version, true, Vec::new()));
    // What happens inside tenants does not change their list.
    world.create_project(&admin("acme"), "new").await.unwrap();
    let (version, only_changes, none) = ask(&version).await;
    assert_eq!((only_changes, none), (true, Vec::new()));
    update(&world, &platform_for(None), "acme", None, Some(true)).await.unwrap();
    world.create_tenant("third").await.unwrap();
    let (next, only_changes, news) = ask(&version).await;
    assert_eq!((only_changes, news), (true, named(&[("acme", true), ("third", false)])));
    assert!(ask(&next).await.2.is_empty());
    // A version of another process is none of ours.
    assert!(!ask("tenants_0 7").await.1 && !ask("v7").await.1);
}
