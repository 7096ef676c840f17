use runwarden_engines::config::Change;
use serde_json::{Value, json};

use runwarden_kit::tenant::TenantId;

use super::*;

async fn mapped() -> World {
    let world = world().await;
    world.create_controller(&admin("acme"), "awx").await.unwrap();
    world
}

async fn update(
    world: &World,
    change: impl FnOnce(&mut wire::UpdateTemplateRequest),
) -> Result<wire::Template, Status> {
    let caller = admin("acme");
    let mut request = wire::UpdateTemplateRequest { name: "deploy".to_owned(), ..Default::default() };
    change(&mut request);
    let changed = within(&caller, None, world.services.templates.update_template(by(&caller, request))).await;
    Ok(body(changed)?.template.unwrap())
}

async fn get(world: &World, caller: &Caller, name: &str) -> Result<wire::Template, Status> {
    let request = wire::GetTemplateRequest { name: name.to_owned() };
    Ok(body(world.services.templates.get_template(by(caller, request)).await)?.template.unwrap())
}

async fn report(world: &World, fingerprint: &str, drift: &[&str]) -> Result<(), Status> {
    let request = wire::ReportDriftRequest {
        tenant: "acme".to_owned(),
        name: "deploy".to_owned(),
        drift: drift.iter().map(|line| (*line).to_owned()).collect(),
        fingerprint: fingerprint.to_owned(),
    };
    world.services.templates.report_drift(Request::new(request)).await.map(drop)
}

#[tokio::test]
async fn a_survey_is_imported_and_the_fingerprint_pinned() {
    let world = mapped().await;
    let made = world.create_template(&admin("acme"), new_template("deploy")).await.unwrap();
    let schema: Value = serde_json::from_str(&made.parameters_schema_json).unwrap();
    assert_eq!(schema["properties"]["env"]["enum"], json!(["dev", "prod"]));
    assert_eq!(schema["required"], json!(["env"]));
    assert_eq!((made.fixed_json.as_str(), made.fingerprint.as_str()), ("{}", "a".repeat(64).as_str()));
    assert_eq!((made.controller_template_name.as_str(), made.on_drift()), ("deploy", wire::OnDrift::Flag));
    assert_eq!(made.launch_digest.len(), 64);
    let resolved = world.resolve_template("acme", "deploy").await.unwrap();
    assert_eq!(resolved.template, Some(made));
    assert_eq!(resolved.controller.unwrap().name, "awx");
    assert!(resolved.secret_name.starts_with("controllers/awx/") && !resolved.tenant_disabled);
    assert_eq!(world.actions("deploy").await, ["template.create"]);
}

#[tokio::test]
async fn what_an_operator_writes_is_checked_against_the_controllers_template() {
    let world = mapped().await;
    let caller = admin("acme");
    let mut request = new_template("deploy");
    request.parameters_schema_json =
        json!({ "properties": { "env": { "type": "string" }, "limit": { "type": "string" } }, "required": ["env"] })
            .to_string();
    request.fixed_json = r#"{"note":"by runwarden"}"#.to_owned();
    request.max_concurrent = 2;
    request.max_duration_seconds = 3600;
    request.on_drift = wire::OnDrift::Refuse.into();
    let made = world.create_template(&caller, request.clone()).await.unwrap();
    assert_eq!((made.max_concurrent, made.max_duration_seconds, made.on_drift()), (2, 3600, wire::OnDrift::Refuse));

    request.name = "bad".to_owned();
    request.parameters_schema_json =
        json!({ "properties": { "env": { "type": "string" }, "job_tags": { "type": "string" }, "free": true }, "required": ["env"] })
            .to_string();
    let refusal = refused(world.create_template(&caller, request).await, ErrorReason::TemplateUnsuitable);
    assert_eq!(pointers(&refusal), ["/parameters/properties/free", "/parameters/properties/job_tags"]);
    refused(get(&world, &caller, "bad").await, ErrorReason::NotFound);
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place() {
    let world = mapped().await;
    type Spoil = fn(&mut wire::CreateTemplateRequest);
    let cases: &[(&str, Spoil)] = &[
        ("/name", |r| r.name = "No".to_owned()),
        ("/project", |r| r.project = "a/b".to_owned()),
        ("/controller", |r| r.controller = "..".to_owned()),
        ("/controller_template/kind", |r| r.kind = 0),
        ("/controller_template/kind", |r| r.kind = 99),
        ("/controller_template/id", |r| r.controller_template_id = 0),
        ("/parameters", |r| r.parameters_schema_json = "[".to_owned()),
        ("/fixed", |r| r.fixed_json = "[]".to_owned()),
        ("/fixed/env", |r| {
            r.parameters_schema_json = r#"{"properties":{"env":true}}"#.to_owned();
            r.fixed_json = r#"{"env":"dev"}"#.to_owned();
        }),
        ("/max_concurrent", |r| r.max_concurrent = -1),
        ("/max_duration_seconds", |r| r.max_duration_seconds = 604_801),
        ("/on_drift", |r| r.on_drift = 9),
        ("/description", |r| r.description = "\0".to_owned()),
    ];
    for (pointer, spoil) in cases {
        let mut request = new_template("deploy");
        spoil(&mut request);
        let refusal = refused(world.create_template(&admin("acme"), request).await, ErrorReason::ValidationFailed);
        assert_eq!(pointers(&refusal), [*pointer]);
    }
    for (what, spoil) in [
        ("/project", (|r| r.project = "none".to_owned()) as Spoil),
        ("/controller", |r| r.controller = "none".to_owned()),
    ] {
        let mut request = new_template("deploy");
        spoil(&mut request);
        let refusal = refused(world.create_template(&admin("acme"), request).await, ErrorReason::NotFound);
        assert_eq!(pointers(&refusal), [what]);
    }
}

#[tokio::test]
async fn the_launch_digest_changes_with_what_matters_to_a_launch_and_with_nothing_else() {
    let world = mapped().await;
    let made = world.create_template(&admin("acme"), new_template("deploy")).await.unwrap();
    let described = update(&world, |r| {
        r.description = Some("Deploys the web tier.".to_owned());
        r.max_concurrent = Some(1);
        r.on_drift = wire::OnDrift::Refuse.into();
    })
    .await
    .unwrap();
    assert_eq!((&described.launch_digest, described.revision), (&made.launch_digest, 2));
    let fixed = update(&world, |r| {
        r.fixed_json = Some(r#"{"note":"x"}"#.to_owned());
        r.parameters_schema_json = Some("import".to_owned());
    })
    .await
    .unwrap();
    assert_ne!(fixed.launch_digest, made.launch_digest);
    assert!(!fixed.parameters_schema_json.contains("note"));
    let back = update(&world, |r| {
        r.fixed_json = Some(String::new());
        r.parameters_schema_json = Some("import".to_owned());
    })
    .await
    .unwrap();
    assert_eq!(back.launch_digest, made.launch_digest);
    world.access.offer(|offer| offer.prompts.push("extra_vars".to_owned()));
    let told = update(&world, |r| r.request_info = wire::RequestInfo::Variables.into()).await.unwrap();
    assert_ne!(told.launch_digest, made.launch_digest);
    let kept = update(&world, |r| r.description = Some("The web tier.".to_owned())).await.unwrap();
    assert_eq!((kept.request_info(), &kept.launch_digest), (wire::RequestInfo::Variables, &told.launch_digest));
    let silent = update(&world, |r| r.request_info = wire::RequestInfo::None.into()).await.unwrap();
    assert_eq!(silent.launch_digest, made.launch_digest);
}

#[tokio::test]
async fn drift_is_shown_once_and_a_late_report_cannot_spoil_a_new_mapping() {
    let world = mapped().await;
    let made = world.create_template(&admin("acme"), new_template("deploy")).await.unwrap();
    report(&world, &made.fingerprint, &["its playbook is now evil.yml"]).await.unwrap();
    report(&world, &made.fingerprint, &["its playbook is now evil.yml"]).await.unwrap();
    let drifted = get(&world, &admin("acme"), "deploy").await.unwrap();
    assert_eq!((drifted.drift.len(), drifted.launch_digest), (1, made.launch_digest));

    world.access.offer(|offer| offer.fingerprint = "b".repeat(64));
    refused(update(&world, |r| r.fixed_json = Some(r#"{"x":1}"#.to_owned())).await, ErrorReason::TemplateDrifted);
    refused(
        update(&world, |r| r.parameters_schema_json = Some("import".to_owned())).await,
        ErrorReason::TemplateDrifted,
    );
    let accepted = update(&world, |r| r.accept_drift = true).await.unwrap();
    assert_eq!((accepted.fingerprint.as_str(), accepted.drift.len()), ("b".repeat(64).as_str(), 0));
    report(&world, &made.fingerprint, &["late"]).await.unwrap();
    assert!(get(&world, &admin("acme"), "deploy").await.unwrap().drift.is_empty());
    assert_eq!(world.actions("deploy").await, ["template.create", "template.drift", "template.update"]);
    let entries = world.entries().await;
    let drift = entries.iter().find(|entry| entry.action == "template.drift").unwrap();
    assert_eq!((drift.tenant.as_str(), drift.actor.as_ref().unwrap().principal.as_str()), ("acme", "service:project"));
}

#[tokio::test]
async fn a_report_about_nothing_is_refused_and_a_long_one_is_cut() {
    let world = mapped().await;
    refused(report(&world, "f", &["x"]).await, ErrorReason::NotFound);
    let made = world.create_template(&admin("acme"), new_template("deploy")).await.unwrap();
    refused(report(&world, "", &["x"]).await, ErrorReason::ValidationFailed);
    let long = "é\n".repeat(10_000);
    report(&world, &made.fingerprint, &vec![long.as_str(); 200]).await.unwrap();
    let drift = get(&world, &admin("acme"), "deploy").await.unwrap().drift;
    assert!(drift.len() <= 50 && drift.iter().all(|line| line.chars().count() <= 300 && !line.contains('\n')));
    let entries = world.entries().await;
    assert!(entries.iter().all(|entry| entry.details_json.len() <= 16 * 1024));
}

#[tokio::test]
async fn templates_of_unseen_projects_are_not_there() {
    let world = mapped().await;
    let boss = admin("acme");
    world.create_project(&boss, "db").await.unwrap();
    for n in 0..6 {
        let mut request = new_template(&format!("t{n}"));
        request.project = if n % 2 == 0 { "web" } else { "db" }.to_owned();
        world.create_template(&boss, request).await.unwrap();
    }
    let launcher = with_role("launcher", Scope::project(&TenantId::trusted("acme"), "web"));
    get(&world, &launcher, "t0").await.unwrap();
    refused(get(&world, &launcher, "t1").await, ErrorReason::NotFound);
    refused(get(&world, &admin("other"), "t0").await, ErrorReason::NotFound);
    let list = |caller: Caller, project: &str, size: i32, token: &str| {
        let services = world.services.clone();
        let request =
            wire::ListTemplatesRequest { project: project.to_owned(), page_size: size, page_token: token.to_owned() };
        async move {
            let page = body(services.templates.list_templates(by(&caller, request)).await)?;
            let names = page.templates.into_iter().map(|template| template.name).collect::<Vec<_>>();
            Ok::<_, Status>((names, page.next_page_token))
        }
    };
    let (first, token) = list(launcher.clone(), "", 2, "").await.unwrap();
    assert_eq!(first, ["t0", "t2"]);
    assert_eq!(list(launcher.clone(), "", 2, &token).await.unwrap(), (vec!["t4".to_owned()], String::new()));
    assert_eq!(list(boss.clone(), "db", 0, "").await.unwrap().0, ["t1", "t3", "t5"]);
    refused(list(launcher.clone(), "db", 0, "").await, ErrorReason::NotFound);
    refused(list(boss, "none", 0, "").await, ErrorReason::NotFound);

    let delete = |caller: Caller, name: &str| {
        let services = world.services.clone();
        let request = wire::DeleteTemplateRequest { name: name.to_owned() };
        async move { services.templates.delete_template(by(&caller, request)).await }
    };
    refused(delete(launcher.clone(), "t0").await, ErrorReason::PermissionDenied);
    refused(delete(launcher.clone(), "t1").await, ErrorReason::NotFound);
    let mut elsewhere = new_template("mine");
    elsewhere.project = "db".to_owned();
    refused(world.create_template(&launcher, elsewhere).await, ErrorReason::NotFound);
    refused(world.create_template(&launcher, new_template("mine")).await, ErrorReason::PermissionDenied);
}

#[tokio::test]
async fn a_template_name_is_taken_once_and_a_repeat_reads_the_controller_once() {
    let world = mapped().await;
    let caller = admin("acme");
    let first = world.create_template_as(&caller, Some("k"), new_template("deploy")).await.unwrap();
    world.access.fail_with(Some(Error::new(ErrorReason::ControllerUnreachable, "no")));
    assert_eq!(world.create_template_as(&caller, Some("k"), new_template("deploy")).await.unwrap(), first);
    refused(world.create_template(&caller, new_template("deploy")).await, ErrorReason::AlreadyExists);
    refused(world.create_template(&caller, new_template("next")).await, ErrorReason::ControllerUnreachable);
}

#[tokio::test]
async fn a_disabled_tenant_is_told_when_a_template_is_resolved() {
    let world = mapped().await;
    world.create_template(&admin("acme"), new_template("deploy")).await.unwrap();
    let request = wire::UpdateTenantRequest { name: "acme".to_owned(), disabled: Some(true), ..Default::default() };
    world.services.tenants.update_tenant(by(&platform_for(None), request)).await.unwrap();
    assert!(world.resolve_template("acme", "deploy").await.unwrap().tenant_disabled);
    refused(world.resolve_template("other", "deploy").await, ErrorReason::NotFound);
}

#[tokio::test]
async fn a_schema_stored_before_it_would_be_refused_is_shown_with_its_problems_and_goes_on_working() {
    let world = mapped().await;
    let made = world.create_template(&admin("acme"), new_template("deploy")).await.unwrap();
    assert_eq!(made.problems, []);
    let key = "templates/acme/deploy";
    let stored = world.store.get(key).await.unwrap().unwrap();
    let mut value: Value = serde_json::from_slice(&stored.value).unwrap();
    let schema: Value = serde_json::from_str(value["parameters_schema"].as_str().unwrap()).unwrap();
    let mut old = schema.clone();
    old["properties"]["environment"]["maximun"] = json!(3);
    value["parameters_schema"] = old.to_string().into();
    let mut change = Change::new();
    change.put(key, value.to_string().into_bytes());
    world.store.commit(change).await.unwrap();

    let shown = get(&world, &admin("acme"), "deploy").await.unwrap();
    assert_eq!(shown.problems.len(), 1, "{shown:?}");
    assert_eq!(shown.problems[0].pointer, "/parameters/properties/environment/maximun");
    assert!(shown.problems[0].detail.contains("did you mean `maximum`?"), "{shown:?}");
    world.resolve_template("acme", "deploy").await.unwrap();
    // What has nothing to do with the schema can be changed, and the problem stays to be seen.
    let changed = update(&world, |request| request.max_concurrent = Some(3)).await.unwrap();
    assert_eq!((changed.max_concurrent, changed.problems.len()), (3, 1));
    // The schema itself can only be changed into one that would be taken.
    let again = update(&world, |request| request.parameters_schema_json = Some(old.to_string())).await;
    refused(again, ErrorReason::ValidationFailed);
    let corrected = update(&world, |request| request.parameters_schema_json = Some(schema.to_string())).await.unwrap();
    assert_eq!(corrected.problems, []);
}
