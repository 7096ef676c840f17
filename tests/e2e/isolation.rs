//! The wall between tenants, and the one between projects: what is behind it does not exist.

use reqwest::Method;
use runwarden_harness::jobs::text;
use runwarden_harness::{Api, Controller, System, Tenant};
use serde_json::{Value, json};

use super::{acme, deployment, settings};

const NOWHERE: &str = "nothing-is-called-this";
const DEV_ONLY: &str = "package runwarden.authz\n\nallow := true\n";

/// Everything of a tenant, by address.
async fn addresses_of(acme: &Tenant) -> Vec<(Method, String, Option<Value>)> {
    acme.map("acme-deploy", "deploy").await;
    let put = acme.admin.call(Method::PUT, "/api/v1/policies/acme-rules").text(DEV_ONLY).send().await;
    assert!([200, 201].contains(&put.status), "{}", put.text);
    let _project = acme.admin.post("/api/v1/projects", &json!({"name": "acme-only"})).await.expect(201);
    let role = json!({"name": "acme-role", "permissions": ["jobs.read"]});
    let _role = acme.admin.post("/api/v1/roles", &role).await.expect(201);
    let job = acme.launcher.run("acme-deploy", deployment()).await;
    let job = text(&job, "id");
    let clients = acme.admin.all("/api/v1/clients").await;
    let client = clients.iter().find(|client| text(client, "name") == "ci").unwrap();
    let (client_id, secret) = (text(client, "client_id"), text(&client["secrets"][0], "id"));
    let bindings = acme.admin.all("/api/v1/bindings").await;
    let binding = text(&bindings[0], "id");
    let record = text(&acme.admin.all("/api/v1/audit/records").await[0], "id").to_owned();
    let member = json!({"principal": text(client, "principal"), "role": "launcher"});

    let get = |path: &str| (Method::GET, path.to_owned(), None);
    let act = |method: Method, path: &str, body: Option<Value>| (method, path.to_owned(), body);
    vec![
        get(&format!("/api/v1/jobs/{job}")),
        get(&format!("/api/v1/jobs/{job}/output")),
        get(&format!("/api/v1/jobs/{job}/events")),
        act(Method::POST, &format!("/api/v1/jobs/{job}/cancel"), None),
        act(Method::POST, "/api/v1/jobs", Some(json!({"template": "acme-deploy", "parameters": deployment()}))),
        get("/api/v1/templates/acme-deploy"),
        act(Method::PATCH, "/api/v1/templates/acme-deploy", Some(json!({"max_concurrent": 1}))),
        act(Method::DELETE, "/api/v1/templates/acme-deploy", None),
        get("/api/v1/tenants/acme"),
        act(Method::PATCH, "/api/v1/tenants/acme", Some(json!({"disabled": true}))),
        get("/api/v1/projects/acme-only"),
        act(Method::DELETE, "/api/v1/projects/acme-only", None),
        get("/api/v1/projects/acme-only/members"),
        act(Method::POST, "/api/v1/projects/acme-only/members", Some(member)),
        get(&format!("/api/v1/clients/{client_id}")),
        act(Method::PATCH, &format!("/api/v1/clients/{client_id}"), Some(json!({"disabled": true}))),
        act(Method::DELETE, &format!("/api/v1/clients/{client_id}"), None),
        act(Method::POST, &format!("/api/v1/clients/{client_id}/rotate-secret"), None),
        act(Method::DELETE, &format!("/api/v1/clients/{client_id}/secrets/{secret}"), None),
        get("/api/v1/roles/acme-role"),
        act(Method::DELETE, "/api/v1/roles/acme-role", None),
        act(Method::DELETE, &format!("/api/v1/bindings/{binding}"), None),
        get("/api/v1/policies/acme-rules"),
        act(Method::DELETE, "/api/v1/policies/acme-rules", None),
        get(&format!("/api/v1/audit/records/{record}/proof")),
    ]
}

async fn ask(api: &Api, (method, path, body): &(Method, String, Option<Value>)) -> (u16, String) {
    let mut call = api.call(method.clone(), path);
    if let Some(body) = body {
        call = call.json(body);
    }
    let answer = call.send().await;
    (answer.status, text(&answer.json(), "code").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_tenant_exists_for_another() {
    let (controller, system, acme) = acme(&settings()).await;
    let globex = Tenant::onboard(system.reach(), "globex", &controller).await;
    let before = everything_listed(&globex.admin).await;
    let addresses = addresses_of(&acme).await;
    let launcher = globex.launcher.at(globex.admin.base());
    for address in &addresses {
        let (status, code) = ask(&globex.admin, address).await;
        // What a tenant's administrator may not do at all is refused without a look at what it would be done to.
        let platform_only = address.1 == "/api/v1/tenants/acme" && address.0 == Method::PATCH;
        let expected = if platform_only { (403, "PERMISSION_DENIED") } else { (404, "NOT_FOUND") };
        assert_eq!((status, code.as_str()), expected, "{address:?}");
        let (status, code) = ask(&launcher, address).await;
        assert!(
            (status, code.as_str()) == (404, "NOT_FOUND") || (status, code.as_str()) == (403, "PERMISSION_DENIED"),
            "{address:?}: {status} {code}"
        );
    }
    assert_eq!(everything_listed(&globex.admin).await, before, "nothing of it is listed");
    // And nothing happened to it.
    for address in addresses.iter().filter(|(method, _, _)| *method == Method::GET) {
        let (status, _) = ask(&acme.admin, address).await;
        assert_eq!(status, 200, "{address:?}");
    }
    assert_eq!(controller.launched(), 1);
}

async fn everything_listed(api: &Api) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for thing in [
        "tenants",
        "projects",
        "controllers",
        "templates",
        "clients",
        "bindings",
        "roles",
        "policies",
        "jobs",
        "secrets",
    ] {
        all.push(api.all(&format!("/api/v1/{thing}")).await);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_principal_is_as_unknown_as_one_that_does_not_exist() {
    let (controller, system, acme) = acme(&settings()).await;
    let globex = Tenant::onboard(system.reach(), "globex", &controller).await;
    let client = acme.admin.get(&format!("/api/v1/clients/{}", acme.launcher_credentials.id)).await.expect(200);
    let theirs = text(&client, "principal");
    // As long and as well-formed.
    let nobody = theirs.replace(&theirs[theirs.len() - 6..], "ffffff");
    for path in ["/api/v1/projects/web/members", "/api/v1/bindings"] {
        let bind = async |principal: &str| {
            let answer = globex.admin.post(path, &json!({"principal": principal, "role": "launcher"})).await;
            assert!([404, 422].contains(&answer.status), "{}", answer.text);
            let mut problem = answer.json();
            problem["request_id"] = json!(null);
            problem.to_string().replace(principal, "PRINCIPAL")
        };
        assert_eq!(bind(theirs).await, bind(&nobody).await, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launcher_is_not_told_whether_a_thing_it_may_not_touch_exists() {
    let (_controller, _system, acme) = acme(&settings()).await;
    let launcher = acme.launcher.at(acme.admin.base());
    let addresses = addresses_of(&acme).await;
    let admin_only = ["/api/v1/policies/acme-rules", "/api/v1/projects/acme-only", "/api/v1/roles/acme-role"];
    for address in addresses.iter().filter(|(_, path, _)| admin_only.contains(&path.as_str())) {
        let (folder, _) = address.1.rsplit_once('/').unwrap();
        let other = (address.0.clone(), format!("{folder}/{NOWHERE}"), address.2.clone());
        assert_eq!(ask(&launcher, address).await, ask(&launcher, &other).await, "{address:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_platform_acts_for_a_tenant_by_header() {
    let (controller, system, acme) = acme(&settings()).await;
    let globex = Tenant::onboard(system.reach(), "globex", &controller).await;
    acme.map("deploy", "deploy").await;
    for name in ["acme", NOWHERE] {
        let stranger = globex.admin.acting_for(name);
        stranger.get("/api/v1/templates").await.refused(404, "NOT_FOUND");
        stranger.get("/api/v1/templates/deploy").await.refused(404, "NOT_FOUND");
        globex.launcher.acting_for(name).get("/api/v1/jobs").await.refused(404, "NOT_FOUND");
    }
    // Naming one's own is fine.
    let _own = acme.admin.acting_for("acme").get("/api/v1/templates/deploy").await.expect(200);
    let _acting = acme.platform.get("/api/v1/templates/deploy").await.expect(200);
    let platform = system.reach().platform_admin().await;
    let nowhere = platform.acting_for(NOWHERE).post("/api/v1/projects", &json!({"name": "web"})).await;
    nowhere.refused(404, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launcher_sees_its_own_project_only() {
    let (controller, _system, acme) = acme(&settings()).await;
    let _ops = acme.admin.post("/api/v1/projects", &json!({"name": "ops"})).await.expect(201);
    acme.map("web-deploy", "deploy").await;
    acme.map_with("ops-deploy", "deploy", json!({"project": "ops", "parameters": "import"})).await;
    let ops = acme.caller("ops-ci", Some("ops"), &["launcher"]).await;
    let job = ops.run("ops-deploy", deployment()).await;
    let job = text(&job, "id");

    let web = &acme.launcher;
    web.get("/api/v1/templates/ops-deploy").await.refused(404, "NOT_FOUND");
    let submit = json!({"template": "ops-deploy", "parameters": deployment()});
    web.post("/api/v1/jobs", &submit).await.refused(404, "NOT_FOUND");
    for path in ["", "/output", "/events"] {
        web.get(&format!("/api/v1/jobs/{job}{path}")).await.refused(404, "NOT_FOUND");
    }
    web.act(&format!("/api/v1/jobs/{job}/cancel")).await.refused(404, "NOT_FOUND");
    assert!(web.all("/api/v1/jobs").await.is_empty());
    let templates = web.all("/api/v1/templates").await;
    let seen: Vec<&str> = templates.iter().map(|template| text(template, "name")).collect();
    assert_eq!(seen, ["web-deploy"]);
    // The tenant's administrator sees both.
    assert_eq!(acme.admin.all("/api/v1/templates").await.len(), 2);
    assert_eq!(text(&acme.admin.job(job).await, "project"), "ops");
    assert_eq!(controller.launched(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_administrators_does_not_exist_on_the_public_listener() {
    let controller = Controller::start().await;
    let system = System::start(&settings()).await;
    let acme = Tenant::onboard(system.reach(), "acme", &controller).await;
    let outside = acme.admin.at(&system.reach().base_url);
    for path in ["tenants", "projects", "controllers", "clients", "policies", "audit/records", "keys/master", "secrets"]
    {
        outside.get(&format!("/api/v1/{path}")).await.refused(404, "NOT_FOUND");
    }
    let _open = outside.get("/api/v1/templates").await.expect(200);
}
