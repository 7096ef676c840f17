//! A run knows which request it answers, by variables or by labels, and nobody else can tell it another one.

use runwarden_harness::jobs::text;
use runwarden_harness::tenant::{CONTROLLER, PROJECT, mapping};
use runwarden_harness::{Api, Controller, System, Tenant};
use serde_json::{Value, json};

use super::{acme, settings};

/// The template of the sandbox whose playbook is shown in the docs.
fn says_for_whom(more: Value) -> Value {
    let mut body = json!({
        "controller_template": {"kind": "job", "id": 45}, "parameters": {"type": "object", "properties": {}},
        "request_info": "variables",
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn ask(caller: &Api, template: &str, reference: &str) -> Value {
    let body = json!({"template": template, "reference": reference});
    caller.post("/api/v1/jobs", &body).await.expect(202)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_is_told_of_its_request_by_variables() {
    let controller = Controller::start_real().await;
    let system = System::start(&settings()).await;
    let acme = Tenant::onboard(system.reach(), "acme", &controller).await;
    let made = acme.map_with("note", "plain", says_for_whom(json!({}))).await;
    assert_eq!(made["request_info"], "variables");
    let job = ask(&acme.launcher, "note", "CHG0012345 \"it's $HOME\"").await;
    let id = text(&job, "id").to_owned();
    let ended = acme.launcher.over(&id).await;
    assert_eq!(text(&ended, "state"), "succeeded", "{}: {ended}", controller.sandbox().engine());
    let url = format!("{}/api/v1/jobs/{id}", acme.launcher.base());
    let run = controller.ledger()[0].run;
    let told = controller.run(run).await;
    for (name, value) in [
        ("runwarden_job_id", id.as_str()),
        ("runwarden_job_url", &url),
        ("runwarden_requested_by", "ci"),
        ("runwarden_reference", "CHG0012345 \"it's $HOME\""),
        ("runwarden_tenant", "acme"),
        ("runwarden_project", PROJECT),
    ] {
        assert_eq!(told["extra_vars"][name], value, "{name}: {told}");
    }
    let output = acme.launcher.output(&id).await;
    let note = format!("CHG0012345 \\\"it's $HOME\\\": job {id}, asked for by ci, see {url}");
    assert!(output.contains(&note), "{}: {output}", controller.sandbox().engine());
    // The link works, and the reference comes back wherever the job is shown.
    let linked = acme.launcher.at("").bearing(acme.launcher.token()).get(&url).await.expect(200);
    assert_eq!(linked["reference"], "CHG0012345 \"it's $HOME\"");
    let listed = acme.launcher.all("/api/v1/jobs").await;
    assert_eq!(listed[0]["reference"], "CHG0012345 \"it's $HOME\"");
    let events = acme.launcher.follow(&id, None).await.rest().await;
    assert!(events.iter().any(|event| format!("{event:?}").contains("CHG0012345")), "{events:?}");
    let trail = acme.admin.trail(&id).await;
    let launch = trail.iter().find(|record| text(record, "action") == "job.launch").unwrap();
    assert_eq!(launch["details"]["told"]["variables"]["runwarden_job_id"], id, "{launch}");
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_runwarden_says_what_a_run_is_told() {
    let (controller, _system, acme) = acme(&settings()).await;
    let post = async |body: Value| acme.admin.post("/api/v1/templates", &body).await;
    let own = json!({"properties": {"runwarden_reference": {"type": "string"}}});
    post(mapping("bad", "ask-variables", json!({"parameters": own}))).await.refused(422, "VALIDATION_FAILED");
    let fixed = json!({"parameters": {"properties": {}}, "fixed": {"runwarden_job_id": "job_1"}});
    post(mapping("bad", "ask-variables", fixed)).await.refused(422, "VALIDATION_FAILED");
    acme.map_with("note", "plain", says_for_whom(json!({}))).await;
    // What could be read as a template is no reference; without variables it is only a text.
    for reference in ["{{ lookup('pipe', 'id') }}", "{% if x %}", "{# x"] {
        let body = json!({"template": "note", "reference": reference});
        let refused = acme.launcher.post("/api/v1/jobs", &body).await.refused(422, "VALIDATION_FAILED");
        assert_eq!(refused["errors"][0]["pointer"], "/reference", "{refused}");
    }
    assert_eq!(controller.launched(), 0);
    acme.map_bare("silent", "plain").await;
    let id = text(&ask(&acme.launcher, "silent", "{{ fine here }}").await, "id").to_owned();
    assert_eq!(text(&acme.launcher.over(&id).await, "state"), "succeeded");
    let told = controller.run(controller.ledger()[0].run).await;
    assert!(told["extra_vars"].as_object().unwrap().keys().all(|name| !name.starts_with("runwarden_job")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_would_drop_it_is_refused_with_what_to_switch_on() {
    let (controller, _system, acme) = acme(&settings()).await;
    for (template, info, part) in [
        ("plain", "variables", "ask_variables_on_launch"),
        ("survey-only", "variables", "ask_variables_on_launch"),
        ("plain", "labels", "ask_labels_on_launch"),
        ("ask-variables", "labels", "ask_labels_on_launch"),
    ] {
        let settings = json!({"parameters": {"properties": {"who": {"type": "string"}}, "required": ["who"]}, "request_info": info});
        let settings =
            if template == "survey-only" { settings } else { json!({"parameters": {}, "request_info": info}) };
        let refused = acme.admin.post("/api/v1/templates", &mapping("bad", template, settings)).await;
        let refused = refused.refused(422, "TEMPLATE_UNSUITABLE");
        let told = refused["errors"].as_array().unwrap();
        let at = |error: &&Value| text(error, "pointer") == "/request_info" && text(error, "detail").contains(part);
        assert!(told.iter().any(|error| at(&error)), "{template} {info}: {refused}");
    }
    // Switched off on the controller meanwhile, it is refused before it is launched.
    let told = json!({"parameters": {"properties": {}}, "request_info": "variables"});
    acme.map_with("note", "ask-variables", told).await;
    controller.change_template("ask-variables", json!({"ask": []})).await;
    let id = text(&ask(&acme.launcher, "note", "").await, "id").to_owned();
    let job = acme.launcher.over(&id).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("error", "template_unsuitable"), "{job}");
    assert!(text(&job, "reason_detail").contains("runwarden_job_id"), "{job}");
    assert_eq!(controller.launched(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_of_its_request_by_labels_which_are_made_once() {
    let (controller, _system, acme) = acme(&settings()).await;
    let admin = controller.sandbox().account("admin");
    let account = json!({"credential": {"username": admin.username, "password": admin.password}});
    let labels = json!({"parameters": {"properties": {}}, "request_info": "labels"});
    acme.map_with("labelled", "ask-everything", labels).await;
    // Runwarden's account may not make labels there: nothing is launched without them.
    let id = text(&ask(&acme.launcher, "labelled", "CHG1").await, "id").to_owned();
    let job = acme.launcher.over(&id).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("error", "template_unsuitable"), "{job}");
    assert!(text(&job, "reason_detail").contains("member of the organization"), "{job}");
    assert_eq!(controller.launched(), 0);
    let _changed = acme.admin.patch(&format!("/api/v1/controllers/{CONTROLLER}"), &account).await.expect(200);
    let mut made = Vec::new();
    for _ in 0..2 {
        let id = text(&ask(&acme.launcher, "labelled", "CHG1, part {{ 2 }}").await, "id").to_owned();
        let job = acme.launcher.over(&id).await;
        assert_eq!(text(&job, "state"), "succeeded", "{job}");
        made.push(id);
    }
    let sandbox = Api::with_token(&controller.sandbox().url(), &controller.sandbox().token());
    for (id, entry) in made.iter().zip(controller.ledger()) {
        let rows = sandbox.get(&format!("/api/v2/jobs/{}/labels/", entry.run)).await.expect(200);
        let mut names: Vec<&str> = rows["results"].as_array().unwrap().iter().map(|row| text(row, "name")).collect();
        names.sort_unstable();
        assert_eq!(names, ["runwarden-by:acme/ci", &format!("runwarden-job:{id}"), "runwarden-ref:CHG1, part {{ 2 }}"]);
    }
    let all = sandbox.get("/api/v2/labels/?page_size=200").await.expect(200);
    let of_reference = |row: &&Value| text(row, "name").starts_with("runwarden-ref:CHG1,");
    assert_eq!(all["results"].as_array().unwrap().iter().filter(of_reference).count(), 1, "{all}");
}
