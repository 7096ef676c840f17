//! A mapping that is accepted can be launched; what cannot be is refused where somebody can still do something about it.

use runwarden_harness::jobs::text;
use runwarden_harness::tenant::mapping;
use serde_json::{Value, json};

use super::{acme, settings};

/// The place of everything that is wrong, and what is said of it.
fn told(problem: &Value) -> Vec<(String, String)> {
    let errors = problem["errors"].as_array();
    assert!(errors.is_some(), "it says what is wrong, one by one: {problem}");
    errors
        .into_iter()
        .flatten()
        .map(|error| (text(error, "pointer").to_owned(), text(error, "detail").to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_launch_would_be_refused_for_is_refused_when_it_is_mapped() {
    let (controller, _system, acme) = acme(&settings()).await;
    for (fixed, pointer, part) in [
        (json!({"credentials": [1, 4]}), "/fixed/credentials", "of the same kind"),
        (json!({"credentials": [5]}), "/fixed/credentials", "the template's own credential `machine` (1)"),
        (json!({"credentials": [7]}), "/fixed/credentials", "the role Use"),
        (json!({"labels": [999]}), "/fixed/labels", "no label 999"),
        (json!({"instance_groups": [3]}), "/fixed/instance_groups", "the role Use"),
        (json!({"execution_environment": 999}), "/fixed/execution_environment", "no execution environment 999"),
        (json!({"forks": 201}), "/fixed/forks", "at most 200"),
    ] {
        let body = mapping("bad", "ask-everything", json!({"parameters": {"properties": {}}, "fixed": fixed}));
        let refused = acme.admin.post("/api/v1/templates", &body).await.refused(422, "TEMPLATE_UNSUITABLE");
        let told = told(&refused);
        assert!(told.iter().any(|(at, what)| at == pointer && what.contains(part)), "{fixed}: {told:?}");
    }
    // A required question has to be answered, whatever its default.
    let own = json!({"parameters": {"properties": {"version": {"type": "string"}}, "required": ["version"]}});
    let refused = acme.admin.post("/api/v1/templates", &mapping("bad", "deploy", own)).await;
    let told = told(&refused.refused(422, "TEMPLATE_UNSUITABLE"));
    assert!(told.iter().any(|(at, what)| at == "/parameters/required" && what.contains("environment")), "{told:?}");
    assert_eq!(controller.launched(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_wider_than_the_controller_is_narrowed_and_what_lies_outside_is_422() {
    let (controller, _system, acme) = acme(&settings()).await;
    let wide = json!({"properties": {"verbosity": {"type": "integer"}, "forks": {"type": "integer", "maximum": 500}}});
    let made = acme.map_with("ask", "ask-everything", json!({"parameters": wide})).await;
    assert_eq!(made["parameters"]["properties"]["verbosity"]["maximum"], 5, "{made}");
    assert_eq!(made["parameters"]["properties"]["forks"]["maximum"], 200, "{made}");
    let question = json!({
        "environment": {"type": "string"}, "version": {"type": "string"}, "replicas": {"type": "integer", "maximum": 99},
    });
    let own = json!({"parameters": {"properties": question, "required": ["environment", "version"]}});
    let _made = acme.map_with("own", "deploy", own).await;
    let good = json!({"environment": "dev", "version": "1"});
    for (template, name, value) in
        [("ask", "verbosity", 6), ("ask", "forks", 201), ("own", "replicas", 11), ("own", "environment", 1)]
    {
        let mut parameters = if template == "own" { good.clone() } else { json!({}) };
        parameters[name] = json!(value);
        let body = json!({"template": template, "parameters": parameters});
        let refused = acme.launcher.post("/api/v1/jobs", &body).await.refused(422, "PARAMETERS_INVALID");
        assert_eq!(told(&refused)[0].0, format!("/parameters/{name}"), "{refused}");
    }
    assert_eq!(text(&acme.launcher.run("ask", json!({"verbosity": 5, "forks": 200})).await, "state"), "succeeded");
    assert_eq!(text(&acme.launcher.run("own", good).await, "state"), "succeeded");
    assert_eq!(controller.launched(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_template_is_in_force_when_it_is_answered() {
    let (_controller, _system, acme) = acme(&settings()).await;
    let taking = |name: &str| json!({"properties": {name: {"type": "string"}}});
    acme.map_with("ask", "ask-everything", json!({"parameters": taking("v0")})).await;
    // Each round narrows and widens at once: what the last schema took is refused, and what this one takes is accepted.
    for round in 1..=10 {
        let (before, now) = (format!("v{}", round - 1), format!("v{round}"));
        let changed = json!({"parameters": taking(&now)});
        let _changed = acme.admin.patch("/api/v1/templates/ask", &changed).await.expect(200);
        let old = json!({"template": "ask", "parameters": {before: "x"}});
        acme.launcher.post("/api/v1/jobs", &old).await.refused(422, "PARAMETERS_INVALID");
        let new = json!({"template": "ask", "parameters": {now: "x"}});
        let _accepted = acme.launcher.post("/api/v1/jobs", &new).await.expect(202);
    }
    assert_eq!(acme.admin.delete("/api/v1/templates/ask").await.status, 204);
    acme.launcher.post("/api/v1/jobs", &json!({"template": "ask", "parameters": {}})).await.refused(404, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_after_the_mapping_is_told_before_anything_is_launched() {
    let (controller, _system, acme) = acme(&settings()).await;
    let nothing = json!({"properties": {}});
    let fixed = json!({"scm_branch": "dev", "credentials": [4, 5], "labels": [2]});
    acme.map_with("ask", "ask-everything", json!({"parameters": nothing, "fixed": fixed})).await;
    assert_eq!(text(&acme.launcher.run("ask", json!({})).await, "state"), "succeeded");
    for (change, part) in [
        (json!({"project": 9}), "allow branch override"),
        (json!({"project": 8, "credentials": [1, 6]}), "the template's own credential `vault of prod` (6)"),
    ] {
        controller.change_template("ask-everything", change).await;
        let job = acme.launcher.run("ask", json!({})).await;
        assert_eq!((text(&job, "state"), text(&job, "reason")), ("error", "template_unsuitable"), "{job}");
        assert!(text(&job, "reason_detail").contains(part), "{job}");
    }
    assert_eq!(controller.launched(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_after_the_mapping_is_named_and_nothing_is_launched() {
    let (controller, _system, acme) = acme(&settings()).await;
    let nothing = json!({"properties": {}});
    let fixed = json!({"credentials": [1, 5], "inventory": 2});
    acme.map_with("ask", "ask-everything", json!({"parameters": nothing, "fixed": fixed})).await;
    assert_eq!(text(&acme.launcher.run("ask", json!({})).await, "state"), "succeeded");
    for (collection, id, right, part) in [
        ("credentials", 5, "read", "may see credential `vault of dev` (5) but not use it: give it the role Use on it"),
        ("credentials", 5, "none", "no credential 5 that Runwarden's account can see"),
        ("inventories", 2, "read", "may see inventory `fleet` (2) but not use it: give it the role Use on it"),
        ("inventories", 2, "none", "no inventory 2 that Runwarden's account can see"),
    ] {
        controller.allow(collection, id, right).await;
        let job = acme.launcher.run("ask", json!({})).await;
        assert_eq!((text(&job, "state"), text(&job, "reason")), ("error", "template_unsuitable"), "{job}");
        assert!(text(&job, "reason_detail").contains(part), "{job}");
        controller.allow(collection, id, "use").await;
    }
    assert_eq!(controller.launched(), 1, "nothing was launched without the right");
    assert_eq!(text(&acme.launcher.run("ask", json!({})).await, "state"), "succeeded", "given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_of_a_single_host_are_refused_when_they_are_asked_for() {
    let (controller, _system, acme) = acme(&settings()).await;
    let slices = json!({"properties": {"job_slice_count": {"type": "integer"}}});
    acme.map_with("one", "ask-everything", json!({"parameters": slices, "fixed": {"inventory": 1}})).await;
    acme.map_with("fleet", "ask-everything", json!({"parameters": slices, "fixed": {"inventory": 2}})).await;
    let submit = async |template: &str, slices: u32| {
        let body = json!({"template": template, "parameters": {"job_slice_count": slices}});
        acme.launcher.post("/api/v1/jobs", &body).await
    };
    let refused = submit("one", 2).await.refused(422, "PARAMETERS_INVALID");
    assert_eq!(told(&refused)[0].0, "/parameters/job_slice_count", "{refused}");
    assert_eq!(controller.launched(), 0);
    for (template, slices) in [("one", 1), ("fleet", 9)] {
        let job = acme.launcher.run(template, json!({"job_slice_count": slices})).await;
        assert_eq!(text(&job, "state"), "succeeded", "{job}");
    }
    let never = json!({"properties": {"job_slice_count": {"type": "integer", "minimum": 2}}});
    let body = mapping("never", "ask-everything", json!({"parameters": never, "fixed": {"inventory": 1}}));
    let _refused = acme.admin.post("/api/v1/templates", &body).await.refused(422, "TEMPLATE_UNSUITABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_in_the_variables_is_no_drift_and_another_value_is() {
    let (controller, _system, acme) = acme(&settings()).await;
    let set = async |text: &str, value: u16| {
        let change = json!({"extra_vars_text": text, "extra_vars": {"port": value}});
        controller.change_template("preset", change).await;
    };
    set("port: 8080", 8080).await;
    acme.map_with("preset", "preset", json!({"parameters": {"properties": {}}, "on_drift": "refuse"})).await;
    for same in ["# the port\nport: 8080\n", r#"{"port": 8080}"#] {
        set(same, 8080).await;
        assert_eq!(text(&acme.launcher.run("preset", json!({})).await, "state"), "succeeded", "{same}");
        let _changed = acme.admin.patch("/api/v1/templates/preset", &json!({"fixed": {}})).await.expect(200);
    }
    set("port: 8081", 8081).await;
    let job = acme.launcher.run("preset", json!({})).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("error", "template_drifted"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_templates_says_whose_each_is_and_what_a_mapping_would_pin() {
    let (controller, _system, acme) = acme(&settings()).await;
    controller.change_template("fails", json!({"name": "deploy", "organization": 2})).await;
    let choices: Vec<String> = (0..2500).map(|n| format!("host-{n:05}.of-a-long-name.example.com")).collect();
    let question = |variable: &str, kind: &str, choices: &[String]| {
        json!({"question_name": variable, "question_description": "", "required": false, "type": kind, "variable": variable,
               "min": null, "max": null, "default": null, "choices": choices, "new_question": true})
    };
    let survey = json!([question("cost centre", "text", &[]), question("host", "multiplechoice", &choices)]);
    controller.change_template("plain", json!({"survey_enabled": true, "survey": survey})).await;
    let listed = acme.admin.all("/api/v1/controllers/awx/templates").await;
    let of = |name: &str| listed.iter().filter(|template| text(template, "name") == name).collect::<Vec<_>>();
    let deploys: Vec<&str> = of("deploy").iter().map(|template| text(template, "organization")).collect();
    assert_eq!(deploys, ["Default", "Elsewhere"]);
    assert!(of("asks-password")[0]["problems"][0].as_str().is_some_and(|why| why.contains("ssh_password")));
    let plain = of("plain")[0];
    assert!(plain["problems"][0].as_str().is_some_and(|why| why.contains("`cost centre`")), "{}", plain["problems"]);
    let mapped = acme.map("plain", "plain").await;
    assert_eq!(mapped["fingerprint"], plain["fingerprint"]);
    assert_eq!(mapped["parameters"]["properties"]["host"]["enum"].as_array().map(Vec::len), Some(2500));
    let body = json!({"template": "plain", "parameters": {"host": "nowhere"}});
    let refused = acme.launcher.post("/api/v1/jobs", &body).await.refused(422, "PARAMETERS_INVALID");
    assert!(refused.to_string().len() < 4000, "not all of them are told");
    assert_eq!(text(&acme.launcher.run("plain", json!({"host": choices[2499]})).await, "state"), "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_wants_fewer_requests_is_asked_later() {
    let (controller, _system, acme) = acme(&settings()).await;
    let throttled = |path: &str| json!({"path": path, "fault": {"kind": "status", "status": 429, "retry_after": 17}});
    let body = mapping("deploy", "deploy", json!({"parameters": "import"}));
    for path in ["/job_templates/10/launch/", "/survey_spec/", "/projects/"] {
        controller.order(throttled(path)).await;
        let answer = acme.admin.post("/api/v1/templates", &body).await;
        assert_eq!(answer.header("retry-after"), "17", "{path}: {}", answer.text);
        answer.refused(503, "CONTROLLER_UNREACHABLE");
    }
    controller.order(throttled("/job_templates/")).await;
    let answer = acme.admin.get("/api/v1/controllers/awx/templates").await;
    assert_eq!(answer.header("retry-after"), "17", "{}", answer.text);
    answer.refused(503, "CONTROLLER_UNREACHABLE");
    let _made = acme.admin.post("/api/v1/templates", &body).await.expect(201);
}
