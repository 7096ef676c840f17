//! Surveys and variables as people have them.

use super::sandbox::{client, lever, start};
use super::*;

fn survey(spec: &str) -> TemplateView {
    let spec: Value = serde_json::from_str(spec).unwrap();
    view(TemplateKind::Job, json!({}), Some(spec["spec"].clone()))
}

fn here() -> Installation {
    Installation::new(Some(uuid::Uuid::from_u128(7)), &target_for(([127, 0, 0, 1], 1).into()))
}

fn judged(schema: &Value, parameters: Value) -> bool {
    jsonschema::draft202012::is_valid(schema, &parameters)
}

#[test]
fn a_survey_that_was_saved_by_the_screen() {
    let template = survey(include_str!("surveys/saved_by_the_screen.json"));
    let schema = template.schema();
    assert_eq!(schema["properties"]["rings"]["items"], json!({"enum": ["ring-a", "ring-b", "ring-c"]}));
    assert_eq!(schema["properties"]["rings"]["default"], json!(["ring-a", "ring-c"]));
    assert_eq!(schema["properties"]["reload"], json!({"title": "Reload afterwards?", "enum": ["yes", "no"]}));
    assert_eq!((template.problems.len(), template.notes.len()), (0, 0));
}

#[test]
fn a_survey_that_was_made_by_code_hands_text_on_as_it_is() {
    let schema = survey(include_str!("surveys/made_by_code.json")).schema();
    assert_eq!(schema["required"], json!(["script", "minutes"]));
    let script = "Get-Process | Where-Object {$_.CPU -gt 10} | Select-Object 'Id'";
    assert_eq!(schema["properties"]["script"]["default"], script);
    assert!(judged(&schema, json!({"script": script, "minutes": 1, "update_kinds": ["Service (roll-up)"]})));
}

#[test]
fn odd_names_stay_variables() {
    let schema = survey(include_str!("surveys/odd_names.json")).schema();
    assert_eq!(schema["properties"]["limit"]["x-runwarden-target"], "extra_vars");
    assert!(schema["properties"]["kennwort"].get("default").is_none());
    assert!(judged(&schema, json!({"app.release": "1", "change-ticket": "C-1", "größe": 2.5, "ort": "東京"})));
}

#[test]
fn one_question_that_cannot_be_answered_keeps_nobody_from_the_others() {
    let template = survey(include_str!("surveys/a_space_in_a_name.json"));
    let schema = template.schema();
    assert_eq!(schema["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), ["who"]);
    assert_eq!(template.problems, Vec::<String>::new());
    assert_eq!(
        template.notes,
        ["its survey's question for `cost centre` is left out: it has a name with spaces or control characters"]
    );
    // One that must be answered keeps everybody.
    let spec = json!([
        {"variable": "cost centre", "type": "text", "required": true},
        {"variable": "none", "type": "multiplechoice", "required": true, "choices": []},
        {"variable": "never", "type": "integer", "required": false, "min": 3, "max": 2},
    ]);
    let template = view(TemplateKind::Job, json!({}), Some(spec));
    assert_eq!((template.problems.len(), template.notes.len()), (2, 1), "{:?}", template.problems);
}

#[test]
fn truth_and_numbers_keep_their_types() {
    let schema = survey(include_str!("surveys/truth_and_numbers.json")).schema();
    assert!(judged(&schema, json!({"drain": true, "slots": 2, "load": 1})));
    for wrong in
        [json!({"drain": "true"}), json!({"drain": true, "slots": "2"}), json!({"drain": true, "load": 1.000_000_1})]
    {
        assert!(!judged(&schema, wrong.clone()), "{wrong}");
    }
}

#[tokio::test]
async fn how_a_templates_variables_are_written_is_no_drift() {
    let sandbox = start().await;
    let client = client(&sandbox);
    let written = async |text: &str, map: Value| {
        let change = json!({"extra_vars_text": text, "extra_vars": map});
        lever(&sandbox, reqwest::Method::PATCH, "templates/9", change).await;
        client.template(TemplateKind::Job, 9).await.unwrap()
    };
    let same = json!({"port": 8080, "restart": true});
    let pinned = written("port: 8080\nrestart: yes\n", same.clone()).await;
    let (fingerprint, parts) = (fingerprint(&pinned.parts()), pinned.parts());
    for text in [
        "# why\nrestart: yes\nport: 8080 # as ever\n",
        r#"{"restart": true, "port": 8080}"#,
        "---\nport: 8080\nrestart: on",
    ] {
        let now = written(text, same.clone()).await;
        assert_eq!(now.changed_since(&fingerprint, &parts, &here()), Vec::<String>::new(), "{text}");
    }
    let now = written("port: 8081\nrestart: yes\n", json!({"port": 8081, "restart": true})).await;
    assert_eq!(now.changed_since(&fingerprint, &parts, &here()), ["the template's own variables changed"]);
}

#[test]
fn the_order_of_questions_and_tags_is_no_drift() {
    let questions = |order: [&str; 2]| json!(order.map(|name| json!({"variable": name, "type": "text"})));
    let row = |tags: &str| json!({"job_tags": tags});
    let pinned = view(TemplateKind::Job, row("b, a"), Some(questions(["x", "y"])));
    let now = view(TemplateKind::Job, row("a,b"), Some(questions(["y", "x"])));
    assert_eq!(now.changed_since(&fingerprint(&pinned.parts()), &pinned.parts(), &here()), Vec::<String>::new());
    let now = view(TemplateKind::Job, row("a"), Some(questions(["y", "x"])));
    assert_eq!(
        now.changed_since(&fingerprint(&pinned.parts()), &pinned.parts(), &here()),
        ["the tags changed from `a,b` to `a`"]
    );
}

/// Templates stay pinned as they are when Runwarden is upgraded.
#[test]
fn a_template_that_an_earlier_version_pinned_has_not_drifted() {
    let row = json!({"extra_vars": "# why\na: 1", "job_tags": "b, a"});
    let template = view(TemplateKind::Job, row, None);
    // As 0.1 wrote them.
    let pinned = json!({
        "kind": "job", "limit": "", "job_tags": "b, a", "skip_tags": "", "scm_branch": "", "inventory": {"id": 2, "name": ""},
        "extra_vars": runwarden_kit::json::digest(&json!("# why\na: 1")), "prompts": [], "survey": null,
        "playbook": "hello.yml", "job_type": "", "become_enabled": false, "start_at_task": "", "job_slice_count": 1,
        "execution_environment": null, "credentials": [], "project": null, "project_source": null,
    });
    let mut counted = pinned.clone();
    counted["inventory"] = json!({"id": 2});
    let fingerprint = runwarden_kit::json::digest(&counted);
    assert_eq!(template.changed_since(&fingerprint, &pinned, &here()), Vec::<String>::new());
    let changed = view(TemplateKind::Job, json!({"extra_vars": "a: 2", "job_tags": "b, a"}), None);
    assert_eq!(changed.changed_since(&fingerprint, &pinned, &here()), ["the template's own variables changed"]);
}

#[tokio::test]
async fn a_list_says_what_a_mapping_would() {
    let sandbox = start().await;
    let client = client(&sandbox);
    let spec: Value = serde_json::from_str(include_str!("surveys/a_space_in_a_name.json")).unwrap();
    let questions: Vec<Value> = spec["spec"]
        .as_array()
        .unwrap()
        .iter()
        .map(|question| {
            let mut question = question.clone();
            question["choices"] = json!([]);
            question["new_question"] = json!(true);
            question
        })
        .collect();
    let spaced = json!({"survey_enabled": true, "survey": questions, "ask": []});
    lever(&sandbox, reqwest::Method::PATCH, "templates/22", spaced).await;
    lever(&sandbox, reqwest::Method::PATCH, "templates/12", json!({"name": "plain", "organization": 2})).await;
    // A survey that was deleted leaves its flag.
    lever(&sandbox, reqwest::Method::PATCH, "templates/16", json!({"survey": []})).await;
    let listed = client.templates(None, 200).await.unwrap().items;
    let find = |id: i64| listed.iter().find(|template| template.id == id).unwrap();
    for template in &listed {
        let view = client.template(template.kind, template.id).await.unwrap();
        assert_eq!(fingerprint(&view.parts_at(&here())), template.fingerprint_at(&here()), "{}", template.name);
        assert_eq!((&view.problems, &view.notes), (&template.problems, &template.notes), "{}", template.name);
    }
    assert!(find(26).problems[0].contains("passwords at launch (ssh_password)"), "{:?}", find(26).problems);
    assert!(find(22).notes[0].contains("`cost centre`") && find(22).problems.is_empty(), "{:?}", find(22).notes);
    assert_eq!(find(9).name, find(12).name);
    assert_eq!((find(9).organization.as_str(), find(12).organization.as_str()), ("Default", "Elsewhere"));
    assert!(!find(16).survey_enabled && find(16).problems.is_empty(), "{:?}", find(16).problems);
}

#[tokio::test]
async fn an_account_without_execute_learns_which_right_is_missing() {
    let sandbox = start().await;
    let viewer = sandbox.account("viewer");
    let credential = Credential::basic(viewer.username, viewer.password);
    let viewer = Client::new(&target_for(sandbox.address()), &credential, quick()).unwrap();
    let view = viewer.template(TemplateKind::Job, 9).await.unwrap();
    assert!(!view.can_start);
    assert!(view.problems[0].contains("the role Execute"), "{:?}", view.problems);
    assert!(details(preflight(&view, &body(json!({}))))[0].contains("the role Execute"));
    // Some controllers do not show it their launch page either.
    let stub = Stub::start(|seen| match seen.path.as_str() {
        "/api/v2/job_templates/9/" => {
            json_answer(200, &json!({"id": 9, "name": "t", "project": 8, "playbook": "p", "inventory": 2}))
        }
        _ => json_answer(403, &json!({"detail": "You do not have permission to perform this action."})),
    })
    .await;
    let view = stub.client().template(TemplateKind::Job, 9).await.unwrap();
    assert!(view.problems[0].contains("the role Execute"), "{:?}", view.problems);
}

#[tokio::test]
async fn the_root_of_the_platforms_gateway_is_no_controller() {
    let gateway = Stub::start(|seen| match seen.path.as_str() {
        "/api/v2/me/" => json_answer(200, &json!({"results": [{"id": 2, "username": "runwarden"}]})),
        "/api/v2/" => json_answer(
            200,
            &json!({"users": "/api/gateway/v1/users/", "organizations": "/api/gateway/v1/organizations/"}),
        ),
        _ => json_answer(404, &json!({"detail": "Not found."})),
    })
    .await;
    let error = gateway.client().who_am_i().await.unwrap_err();
    assert!(error.to_string().contains("/api/controller/v2"), "{error}");
}

#[tokio::test]
async fn a_controller_that_wants_fewer_requests_is_left_alone_for_as_long_as_it_says() {
    let date = Some(("Sat, 28 Nov 2026 10:00:00 GMT", "Sat, 28 Nov 2026 10:00:42 GMT"));
    for (told, dates, after) in [("17", None, 17), ("0", None, 1), ("99999", None, 3600), ("", date, 42)] {
        let stub = Stub::start(move |_| {
            let mut answer = json_answer(429, &json!({"detail": "Request was throttled."}));
            let (now, until) = dates.unwrap_or(("Sat, 28 Nov 2026 10:00:00 GMT", told));
            answer.headers_mut().insert("date", now.parse().unwrap());
            answer.headers_mut().insert("retry-after", until.parse().unwrap());
            answer
        })
        .await;
        let client = stub.client();
        let view = view(TemplateKind::Job, json!({"ask_labels_on_launch": true}), None);
        let failures = [
            client.who_am_i().await.unwrap_err(),
            client.templates(None, 5).await.unwrap_err(),
            client.template(TemplateKind::Job, 9).await.unwrap_err(),
            client.objects(&view, &[(LaunchField::Labels, json!([1]))]).await.unwrap_err(),
        ];
        for failure in failures {
            let error = runwarden_kit::Error::from(failure);
            assert_eq!(error.reason(), runwarden_kit::ErrorReason::ControllerUnreachable);
            assert_eq!(error.retry_after(), Some(Duration::from_secs(after)), "{told}");
        }
    }
}

#[test]
fn parameters_that_no_launch_takes_are_refused_when_they_are_sent() {
    let schema = json!({"properties": {
        "verbosity": {"type": "integer"}, "hosts": {"x-runwarden-target": "limit"}, "timeout": {"x-runwarden-target": "extra_vars"},
    }});
    let sent = json!({"verbosity": 6, "hosts": 5, "timeout": "long", "skip_tags": "x".repeat(1025), "who": null,
        "job_tags": ["x".repeat(600), "y".repeat(600)]});
    let told: Vec<String> =
        refused_fields(&schema, &object(sent)).iter().map(|problem| problem.pointer.clone()).collect();
    assert_eq!(told, ["/hosts", "/job_tags", "/skip_tags", "/verbosity"]);
}
