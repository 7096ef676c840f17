use time::macros::datetime;

use super::*;

fn template(id: i64) -> Value {
    json!({
        "id": id, "type": "job_template", "name": format!("jt-{id}"), "description": "d", "job_type": "run", "inventory": 2,
        "project": 8, "playbook": "site.yml", "scm_branch": "", "limit": "", "extra_vars": "---", "survey_enabled": id % 2 == 0,
        "ask_limit_on_launch": true, "job_slice_count": 1, "execution_environment": null, "skip_tags": "slow",
        "summary_fields": {
            "inventory": {"id": 2, "name": "Inv"}, "project": {"id": 8, "name": "Project"},
            "credentials": [{"id": 3, "name": "ssh"}], "user_capabilities": {"start": true},
        },
    })
}

fn project() -> Value {
    json!({"id": 8, "scm_type": "git", "scm_url": "https://user:s3cr3t@git.example/x", "scm_branch": "main", "scm_update_on_launch": true, "scm_revision": "abc"})
}

fn controller(
    change: impl Fn(&str, &mut Value) + Send + Sync + 'static,
) -> impl Fn(&Seen) -> Response + Send + Sync + 'static {
    move |seen| {
        let path = seen.path.trim_start_matches("/api/v2");
        let mut answer = match path {
            "/job_templates/4/" => template(4),
            "/job_templates/4/launch/" => {
                json!({"ask_limit_on_launch": true, "ask_variables_on_launch": true, "can_start_without_user_input": false,
                "passwords_needed_to_start": [], "variables_needed_to_start": ["who"], "survey_enabled": true})
            }
            "/job_templates/4/survey_spec/" => {
                json!({"name": "", "spec": [{"variable": "who", "type": "text", "required": true}]})
            }
            "/projects/8/" => project(),
            "/workflow_job_templates/6/" => {
                json!({"id": 6, "name": "wf", "ask_limit_on_launch": false, "survey_enabled": false})
            }
            "/workflow_job_templates/6/launch/" => json!({"ask_variables_on_launch": true}),
            "/workflow_job_templates/6/workflow_nodes/" => {
                json!({"next": null, "results": [{"id": 1, "unified_job_template": 4, "success_nodes": [2]}, {"id": 2, "unified_job_template": 5}]})
            }
            _ => return json_answer(404, &json!({"detail": "No JobTemplate matches the given query."})),
        };
        change(path, &mut answer);
        json_answer(200, &answer)
    }
}

async fn read(kind: TemplateKind, id: i64, change: impl Fn(&str, &mut Value) + Send + Sync + 'static) -> TemplateView {
    Stub::start(controller(change)).await.client().template(kind, id).await.unwrap()
}

#[tokio::test]
async fn a_template_is_read_whole() {
    let view = read(TemplateKind::Job, 4, |_, _| {}).await;
    assert_eq!((view.name.as_str(), view.id, view.kind), ("jt-4", 4, TemplateKind::Job));
    assert_eq!(view.asks.names(), ["extra_vars", "limit"]);
    assert_eq!(view.inventory, Some(Named { id: 2, name: "Inv".into() }));
    assert_eq!(view.default_skip_tags(), "slow");
    assert_eq!(view.problems, Vec::<String>::new());
    let parts = view.parts().to_string();
    assert!(!parts.contains("s3cr3t"), "addresses of repositories may hold passwords");
    assert_eq!(fingerprint(&view.parts()).len(), 64);
}

#[tokio::test]
async fn the_controllers_own_time_is_known_once_its_template_was_read() {
    for (date, told) in
        [("Sun, 22 Nov 2026 05:00:07 GMT", Some(datetime!(2026-11-22 05:00:07 UTC))), ("yesterday", None), ("", None)]
    {
        let stub = Stub::start(move |seen| {
            let mut response = controller(|_, _| {})(seen);
            response.headers_mut().insert("date", date.parse().unwrap());
            response
        })
        .await;
        let client = stub.client();
        client.template(TemplateKind::Job, 4).await.unwrap();
        let since = client.controller_time().zip(told).map(|(now, told)| now - told);
        assert_eq!(client.controller_time().is_some(), told.is_some(), "{date}");
        assert!(since.is_none_or(|since| since >= time::Duration::ZERO && since < time::Duration::MINUTE), "{date}");
    }
}

#[tokio::test]
async fn what_changes_a_launch_changes_the_fingerprint_and_is_told() {
    let pinned = read(TemplateKind::Job, 4, |_, _| {}).await;
    let changes: [(&str, &str, Value, &str); 9] = [
        ("/job_templates/4/", "playbook", json!("evil.yml"), "the playbook changed from `site.yml` to `evil.yml`"),
        ("/job_templates/4/", "inventory", json!(3), "the inventory changed from `Inv` (2) to `Inv` (3)"),
        ("/job_templates/4/", "extra_vars", json!("a: 1"), "the template's own variables was added"),
        ("/job_templates/4/", "become_enabled", json!(true), "privilege escalation changed from off to on"),
        ("/job_templates/4/", "job_slice_count", json!(2), "the number of slices changed from 1 to 2"),
        ("/job_templates/4/launch/", "ask_limit_on_launch", json!(false), "its prompts: `limit` removed"),
        ("/job_templates/4/survey_spec/", "spec", json!([]), "the survey changed"),
        ("/projects/8/", "scm_branch", json!("dev"), "the branch changed from `main` to `dev`"),
        ("/projects/8/", "scm_url", json!("https://evil.example"), "the address of the project's repository changed"),
    ];
    for (at, key, value, words) in changes {
        let now = read(TemplateKind::Job, 4, move |path, answer| {
            if path == at {
                answer[key] = value.clone();
            }
        })
        .await;
        assert_ne!(fingerprint(&now.parts()), fingerprint(&pinned.parts()), "{key}");
        assert_eq!(drift(&pinned.parts(), &now.parts()), [words]);
    }
}

#[tokio::test]
async fn renames_and_new_commits_are_no_drift() {
    let pinned = read(TemplateKind::Job, 4, |_, _| {}).await;
    let now = read(TemplateKind::Job, 4, |path, answer| match path {
        "/job_templates/4/" => {
            answer["name"] = json!("renamed");
            answer["summary_fields"]["inventory"]["name"] = json!("renamed");
            answer["modified"] = json!("2026-11-22T00:00:00Z");
        }
        "/projects/8/" => answer["scm_revision"] = json!("def"),
        _ => {}
    })
    .await;
    assert_eq!(fingerprint(&now.parts()), fingerprint(&pinned.parts()));
    assert_eq!(drift(&pinned.parts(), &now.parts()), Vec::<String>::new());
}

#[tokio::test]
async fn what_our_account_may_not_read_is_known_to_be_unknown() {
    let stub = Stub::start(move |seen| match seen.path.as_str() {
        "/api/v2/projects/8/" | "/api/v2/job_templates/4/survey_spec/" => json_answer(403, &json!({"detail": "no"})),
        _ => controller(|_, _| {})(seen),
    })
    .await;
    let view = stub.client().template(TemplateKind::Job, 4).await.unwrap();
    assert_eq!(view.parts()["project_source"], "unreadable");
    assert_eq!(view.problems, ["its survey cannot be read by Runwarden's account"]);
    assert!(matches!(stub.client().template(TemplateKind::Job, 5).await, Err(AwxError::NotFound { .. })));
}

#[tokio::test]
async fn a_workflow_is_its_steps() {
    let pinned = read(TemplateKind::Workflow, 6, |_, _| {}).await;
    let now = read(TemplateKind::Workflow, 6, |path, answer| {
        if path.ends_with("workflow_nodes/") {
            answer["results"][1]["unified_job_template"] = json!(99);
        }
    })
    .await;
    assert_eq!(drift(&pinned.parts(), &now.parts()), ["the workflow's graph of steps changed"]);
    assert_eq!(preflight(&pinned, &body(json!({"x": 1}))), Ok(()));
    assert_eq!(details(preflight(&pinned, &body(json!({"limit": "x"})))).len(), 1);
}

#[tokio::test]
async fn browsing_pages_through_job_templates_then_workflows() {
    let stub = Stub::start(|seen| {
        if seen.path.ends_with("/survey_spec/") {
            return json_answer(200, &json!({"spec": [{"variable": "who", "type": "text"}]}));
        }
        if seen.path.ends_with("/launch/") {
            return json_answer(200, &json!({"ask_limit_on_launch": true}));
        }
        if seen.path.ends_with("/workflow_nodes/") {
            return page(Vec::new());
        }
        if seen.path == "/api/v2/projects/8/" {
            return json_answer(200, &project());
        }
        let all: Vec<i64> = if seen.path == "/api/v2/job_templates/" { vec![3, 4, 9] } else { vec![5, 6] };
        let after: i64 = seen.param("id__gt").parse().unwrap();
        let size: usize = seen.param("page_size").parse().unwrap();
        let rest: Vec<i64> = all.into_iter().filter(|id| *id > after).collect();
        let next = (rest.len() > size).then_some("/next");
        let rows: Vec<Value> = rest.into_iter().take(size).map(template).collect();
        json_answer(200, &json!({"next": next, "results": rows}))
    })
    .await;
    let client = stub.client();
    for size in [1, 2, 3, 4, 5, 50] {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let page = client.templates(cursor, size).await.unwrap();
            assert!(page.items.len() <= size);
            all.extend(page.items.iter().map(|item| (item.kind, item.id)));
            match page.next {
                Some(next) => cursor = Some(next.to_string().parse().unwrap()),
                None => break,
            }
        }
        let job = |id| (TemplateKind::Job, id);
        assert_eq!(all, [job(3), job(4), job(9), (TemplateKind::Workflow, 5), (TemplateKind::Workflow, 6)], "{size}");
    }
    let page = client.templates(None, 2).await.unwrap();
    assert!(page.items[0].survey.is_none());
    assert!(page.items[1].schema()["properties"].get("who").is_some());
}
