//! What must not be seen is not: not in any answer, not in a log, not on disk. The controller gets it all the same.

use std::path::Path;

use runwarden_harness::jobs::text;
use runwarden_harness::{Signal, System, until};
use serde_json::json;

use super::hooks::{KEY, deliver};
use super::{acme, settings};

const PASSWORD: &str = "xyzzy-Plugh-4711-do-not-show";

/// All files below a folder that hold these bytes.
fn files_with(folder: &Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).unwrap_or_default().windows(needle.len()).any(|bytes| bytes == needle) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

pub(super) fn is_nowhere(system: &System, secret: &str, but: &[&str]) {
    assert!(!system.log().contains(secret), "it was logged");
    let files = files_with(&system.data(), secret.as_bytes());
    let unexpected: Vec<_> = files.iter().filter(|file| !but.iter().any(|name| file.ends_with(name))).collect();
    assert!(unexpected.is_empty(), "it is in clear in {unexpected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_only_parameter_reaches_the_controller_and_nobody_else() {
    let settings = settings().set("RUNWARDEN_LOG", "debug,h2=info,hyper=info,tower=info");
    let (controller, mut system, acme) = acme(&settings).await;
    acme.map("deploy", "deploy").await;
    let parameters = json!({"environment": "dev", "version": "1", "deploy_password": PASSWORD});
    let submitted = acme.launcher.submit("deploy", parameters).await;
    let id = text(&submitted, "id");
    assert_eq!(submitted["parameters"]["deploy_password"], json!({"set": true}));
    let ended = acme.launcher.over(id).await;
    assert_eq!(text(&ended, "state"), "succeeded", "{ended}");
    assert_eq!(ended["parameters"]["deploy_password"], json!({"set": true}));
    let run = controller.run(controller.launches("deploy")[0]).await;
    assert_eq!(run["extra_vars"]["deploy_password"], PASSWORD, "the controller got it");

    // A wrong one is not quoted back.
    let wrong = json!({"environment": "dev", "version": "1", "deploy_password": [PASSWORD]});
    let wrong = acme.launcher.post("/api/v1/jobs", &json!({"template": "deploy", "parameters": wrong})).await;
    wrong.refused(422, "PARAMETERS_INVALID");
    assert!(!wrong.text.contains(PASSWORD), "{}", wrong.text);

    let paths = [
        format!("/api/v1/jobs/{id}"),
        format!("/api/v1/jobs/{id}/output"),
        format!("/api/v1/jobs/{id}/events"),
        "/api/v1/jobs".to_owned(),
        "/api/v1/templates/deploy".to_owned(),
        "/api/v1/secrets".to_owned(),
        "/api/v1/audit/records?page_size=200".to_owned(),
        "/api/v1/audit/export".to_owned(),
    ];
    acme.admin.trail(id).await;
    for path in paths {
        let answer = acme.admin.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert!(!answer.text.contains(PASSWORD), "{path} shows it");
    }
    is_nowhere(&system, PASSWORD, &[]);
    system.end(Signal::Term).await;
    is_nowhere(&system, PASSWORD, &[]);
}

/// A mapping takes a write-only parameter from an event, and the process dies before the job is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_only_parameter_of_a_delivery_is_kept_sealed_and_shown_to_nobody() {
    let (controller, mut system, acme) = acme(&settings().that_stays()).await;
    acme.map("deploy", "deploy").await;
    let account = acme.client("push-account", Some("web"), &["launcher"]).await;
    // The event holds its two halves, so that what is found is what the mapping made.
    let module = "package runwarden.hook\n\nparameters := {\"environment\": \"dev\", \"version\": \"1\", \
        \"deploy_password\": concat(\"-\", [input.body.first, input.body.second])}\n";
    let body = json!({"name": "push", "project": "web", "template": "deploy", "kind": "github", "client_id": account.id,
        "module": module, "key": KEY});
    let _hook = acme.admin.post("/api/v1/hooks", &body).await.expect(201);
    let (first, second) = PASSWORD.split_once('-').unwrap();
    let event = json!({"first": first, "second": second}).to_string();

    let tried = json!({"event": "push", "body": {"first": first, "second": second}});
    let tried = acme.admin.post("/api/v1/hooks/push/test", &tried).await.expect(200);
    assert_eq!((&tried["would_run"], &tried["parameters"]["deploy_password"]), (&json!(true), &json!({"set": true})));

    system.set("RUNWARDEN_HOOK_FAILPOINT", "map.after");
    system.restart(Signal::Term).await;
    let base = system.reach().base_url.clone();
    let _unanswered = deliver(&base, "/webhook/acme/push", KEY, "1", &event).await;
    system.process().ended().await;
    is_nowhere(&system, PASSWORD, &[]);
    system.set("RUNWARDEN_HOOK_FAILPOINT", "");
    system.start_again().await;
    let again = deliver(&base, "/webhook/acme/push", KEY, "1", &event).await.unwrap();
    let path = format!("/api/v1/hooks/push/deliveries/{}", text(&again.json(), "delivery"));
    let delivery = until("the delivery's job", async || {
        let found = acme.admin.get(&path).await.expect(200);
        found.get("job").is_some().then_some(found)
    })
    .await;
    assert!(delivery.get("parameters").is_none(), "its job has them: {delivery}");
    let job = acme.admin.over(text(&delivery, "job")).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    let run = controller.run(controller.launches("deploy")[0]).await;
    assert_eq!(run["extra_vars"]["deploy_password"], PASSWORD, "the controller got it");
    let listed = acme.admin.get("/api/v1/hooks/push/deliveries?state=submitted").await;
    assert!(listed.text.contains(text(&delivery, "id")) && !listed.text.contains(PASSWORD), "{}", listed.text);
    is_nowhere(&system, PASSWORD, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_nowhere_in_clear() {
    let settings = settings().set("RUNWARDEN_LOG", "debug,h2=info,hyper=info,tower=info");
    let (controller, mut system, acme) = acme(&settings).await;
    acme.map("deploy", "deploy").await;
    assert_eq!(text(&acme.launcher.run("deploy", super::deployment()).await, "state"), "succeeded");
    let shown = acme.admin.get("/api/v1/controllers/awx").await;
    let _shown = shown.expect(200);
    let token = controller.sandbox().token();
    assert!(!shown.text.contains(&token), "{}", shown.text);
    for _ in 0..2 {
        is_nowhere(&system, &token, &[]);
        is_nowhere(&system, &acme.launcher_credentials.secret, &[]);
        is_nowhere(&system, &acme.admin_credentials.secret, &[]);
        is_nowhere(&system, acme.launcher.token(), &[]);
        is_nowhere(&system, &system.reach().bootstrap().secret, &["bootstrap.json"]);
        system.process().signal(Signal::Term);
        let _status = system.process().ended().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotent_answer_with_a_secret_in_it_is_not_kept_in_clear() {
    let (_controller, system, acme) = acme(&settings()).await;
    let call =
        acme.admin.call(reqwest::Method::POST, "/api/v1/clients").header("idempotency-key", "keep-me-out-of-files");
    let client = call.json(&json!({"name": "once", "roles": ["project-user"]})).send().await.expect(201);
    is_nowhere(&system, text(&client, "client_secret"), &[]);
    is_nowhere(&system, "keep-me-out-of-files", &[]);
}
