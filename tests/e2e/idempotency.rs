//! The same request twice is one request.

use reqwest::Method;
use runwarden_harness::jobs::text;
use runwarden_harness::{Answer, Api};
use serde_json::{Value, json};

use super::{acme, deployment, settings};

async fn create(api: &Api, path: &str, key: &str, body: &Value) -> Answer {
    api.call(Method::POST, path).header("idempotency-key", key).json(body).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_created_twice_with_one_key_is_created_once_and_answered_the_same() {
    let (_controller, system, acme) = acme(&settings().that_stays()).await;
    let mut system = system;
    let platform = system.reach().platform_admin().await;
    let member =
        acme.admin.post("/api/v1/clients", &json!({"name": "other", "roles": ["project-user"]})).await.expect(201);
    let binding = json!({"principal": text(&member, "principal"), "role": "launcher", "project": "web"});
    let client = json!({"name": "second", "project": "web", "roles": ["launcher"]});
    let things = [
        (&platform, "/api/v1/tenants", json!({"name": "globex"}), "display_name", json!("Other")),
        (&acme.admin, "/api/v1/projects", json!({"name": "ops"}), "display_name", json!("Other")),
        (&acme.admin, "/api/v1/clients", client, "name", json!("third")),
        (&acme.admin, "/api/v1/roles", json!({"name": "reader", "permissions": ["jobs.read"]}), "name", json!("other")),
        (&acme.admin, "/api/v1/bindings", binding, "role", json!("project-user")),
    ];
    let mut first = Vec::new();
    for (api, path, body, field, other) in &things {
        let answer = create(api, path, "key-1", body).await;
        let made = answer.expect(201);
        let again = create(api, path, "key-1", body).await;
        assert_eq!(again.expect(201), made, "{path}: the same answer, secrets and all");
        assert_eq!(again.header("location"), answer.header("location"), "{path}");
        let replayed = [&answer, &again].map(|answer| answer.header("idempotency-replayed"));
        assert_eq!(replayed, ["", "true"], "{path}: a repeat says that it is one");
        let mut changed = body.clone();
        changed[field] = other.clone();
        create(api, path, "key-1", &changed).await.refused(422, "IDEMPOTENCY_KEY_REUSED");
        first.push(made);
    }
    // Another caller's keys are its own.
    let theirs = create(&acme.platform, "/api/v1/projects", "key-1", &json!({"name": "fresh"})).await;
    let _fresh = theirs.expect(201);
    // The answers are kept with the data.
    system.restart(runwarden_harness::Signal::Kill).await;
    for ((api, path, body, _, _), made) in things.iter().zip(first) {
        assert_eq!(create(api, path, "key-1", body).await.expect(201), made, "{path} after a restart");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_submitted_many_times_at_once_with_one_key_is_one_job() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let body = json!({"template": "deploy", "parameters": deployment()});
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (api, body) = (acme.launcher.clone(), body.clone());
        calls.spawn(async move { create(&api, "/api/v1/jobs", "\"once\"", &body).await });
    }
    let mut accepted = Vec::new();
    while let Some(answer) = calls.join_next().await {
        let answer = answer.unwrap();
        if answer.status == 409 {
            answer.refused(409, "IDEMPOTENCY_IN_PROGRESS");
            assert!(!answer.header("retry-after").is_empty());
        } else {
            accepted.push(answer.expect(202));
        }
    }
    assert!(!accepted.is_empty());
    assert!(accepted.iter().all(|job| *job == accepted[0]), "{accepted:?}");
    let ended = acme.launcher.over(text(&accepted[0], "id")).await;
    assert_eq!(text(&ended, "state"), "succeeded", "{ended}");
    // Long after, too: the answer of then, and another request is refused.
    let repeat = create(&acme.launcher, "/api/v1/jobs", "once", &body).await;
    assert_eq!((repeat.expect(202), repeat.header("idempotency-replayed")), (accepted[0].clone(), "true"));
    let other = json!({"template": "deploy", "parameters": {"environment": "prod", "version": "1.4.2"}});
    create(&acme.launcher, "/api/v1/jobs", "once", &other).await.refused(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(acme.launcher.all("/api/v1/jobs").await.len(), 1);
    assert_eq!(controller.launched(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_two_requests_are_two_jobs() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let (one, two) = (acme.launcher.run("deploy", deployment()).await, acme.launcher.run("deploy", deployment()).await);
    assert_ne!(text(&one, "id"), text(&two, "id"));
    assert_eq!(controller.launched(), 2);
}
