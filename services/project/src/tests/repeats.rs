//! A repeat is the first answer, whatever has happened since.

use runwarden_kit::tenant::TenantId;

use super::*;

async fn repeated<T: PartialEq + std::fmt::Debug>(
    first: impl Future<Output = Result<T, Status>>,
    meanwhile: impl Future<Output = ()>,
    again: impl Future<Output = Result<T, Status>>,
) {
    let first = first.await.unwrap();
    meanwhile.await;
    assert_eq!(again.await.unwrap(), first);
}

#[tokio::test]
async fn what_it_stood_on_may_be_gone_and_the_role_narrowed() {
    let world = world().await;
    let caller = admin("acme");
    // It still may something, elsewhere: the gate lets it through.
    let narrowed = Caller {
        principal: caller.principal.clone(),
        ..with_role("auditor", Scope::project(&TenantId::trusted("acme"), "web"))
    };
    let controller = |who: Caller| {
        let world = &world;
        async move { world.create_controller_as(&who, Some("c"), new_controller("awx")).await }
    };
    let template = |who: Caller| {
        let world = &world;
        async move { world.create_template_as(&who, Some("t"), new_template("deploy")).await }
    };
    controller(caller.clone()).await.unwrap();
    repeated(
        template(caller.clone()),
        async {
            let request = wire::DeleteTemplateRequest { name: "deploy".to_owned() };
            within(&caller, None, world.services.templates.delete_template(by(&caller, request))).await.unwrap();
            world.delete_controller(&caller, "awx").await.unwrap();
            world.delete_project(&caller, "web").await.unwrap();
        },
        template(narrowed.clone()),
    )
    .await;
    controller(narrowed.clone()).await.unwrap();
    // Another's key is another key, and what is new is judged by what holds now.
    let stranger = Caller { principal: "sa_other".to_owned(), ..narrowed };
    refused(controller(stranger).await, ErrorReason::PermissionDenied);
    refused(template(admin("other")).await, ErrorReason::NotFound);
}

#[tokio::test]
async fn a_closed_tenant_gets_no_answers_not_even_old_ones() {
    let world = world().await;
    let caller = admin("acme");
    let make = || world.create_controller_as(&caller, Some("c"), new_controller("awx"));
    make().await.unwrap();
    let request = wire::UpdateTenantRequest { name: "acme".into(), disabled: Some(true), ..Default::default() };
    let platform = platform_for(None);
    within(&platform, None, world.services.tenants.update_tenant(by(&platform, request))).await.unwrap();
    refused(make().await, ErrorReason::TenantDisabled);
}

#[tokio::test]
async fn equal_numbers_are_the_same_body() {
    let world = world().await;
    let caller = admin("acme");
    world.create_controller(&caller, "awx").await.unwrap();
    let make = |longest: &str| {
        let env = format!(r#"{{"type": "string", "maxLength": {longest}}}"#);
        let parameters_schema_json = format!(r#"{{"properties": {{"env": {env}}}, "required": ["env"]}}"#);
        world.create_template_as(
            &caller,
            Some("t"),
            wire::CreateTemplateRequest { parameters_schema_json, ..new_template("deploy") },
        )
    };
    let first = make("100").await.unwrap();
    for same in ["100.0", "1e2"] {
        assert_eq!(make(same).await.unwrap(), first);
    }
    refused(make("101").await, ErrorReason::IdempotencyKeyReused);
}
