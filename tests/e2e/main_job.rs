//! The main job: a launcher asks, one template is launched once, everything can be looked up and proven.

use std::process::Command;

use reqwest::Method;
use runwarden_harness::events::printed;
use runwarden_harness::jobs::text;
use runwarden_harness::{Controller, Reach, System, Tenant};
use serde_json::{Value, json};

use super::{deployment, settings};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test(flavor = "multi_thread")]
async fn a_launcher_runs_a_template_once_and_everything_can_be_looked_up() {
    let controller = Controller::start().await;
    let system = System::start(&settings()).await;
    walk(system.reach(), &controller, system.scratch()).await;
}

/// The whole way, on whatever kind of system.
pub(super) async fn walk(reach: &Reach, controller: &Controller, scratch: &std::path::Path) {
    let acme = Tenant::onboard(reach, "acme", controller).await;
    let mapped = acme.map("deploy", "deploy").await;
    assert_eq!(mapped["parameters"]["required"], json!(["environment", "version"]));
    assert_eq!(mapped["parameters"]["properties"]["deploy_password"]["writeOnly"], true);

    let id = submits(&acme).await;
    let job = acme.launcher.over(&id).await;
    looks_right(&job, &acme);
    let lists = acme.launcher.all("/api/v1/jobs?state=succeeded&template=deploy&project=web").await;
    assert_eq!(lists, std::slice::from_ref(&job), "the job is listed as it reads");
    assert!(acme.launcher.all("/api/v1/jobs?state=failed").await.is_empty());

    events_match_the_output(&acme, &id).await;
    let launches = controller.launches("deploy");
    assert_eq!(launches.len(), 1, "it was launched exactly once");
    let run = controller.run(launches[0]).await;
    assert_eq!(run["extra_vars"]["version"], "1.4.2");
    assert_eq!(run["starts"], 1);

    is_on_record(&acme, &id).await;
    proves_itself(&acme, scratch).await;
}

async fn submits(acme: &Tenant) -> String {
    let body = json!({"template": "deploy", "parameters": deployment()});
    let call = acme.launcher.call(Method::POST, "/api/v1/jobs").json(&body);
    let answer =
        call.header("traceparent", &format!("00-{TRACE}-b7ad6b7169203331-01")).header("x-request-id", "walk-1");
    let answer = answer.send().await;
    let job = answer.expect(202);
    let id = text(&job, "id").to_owned();
    assert!(id.starts_with("job_"), "{id}");
    assert_eq!(answer.header("location"), format!("/api/v1/jobs/{id}"));
    assert_eq!(answer.header("x-request-id"), "walk-1");
    assert_eq!((text(&job, "state"), text(&job, "template")), ("new", "deploy"));
    id
}

fn looks_right(job: &Value, acme: &Tenant) {
    assert_eq!(text(job, "state"), "succeeded", "{job}");
    assert_eq!((text(job, "template"), text(job, "project")), ("deploy", "web"));
    assert_eq!(job["parameters"], deployment());
    assert!(text(job, "requested_by").starts_with("sa_"), "{job}");
    assert_eq!(text(job, "requested_by_name"), "ci", "{job}");
    assert_eq!((text(job, "trace_id"), text(job, "request_id")), (TRACE, "walk-1"));
    assert_eq!(job["outcome"]["status"], "successful", "{job}");
    assert!(job.get("reason").is_none(), "{job}");
    let times = ["created_at", "launched_at", "finished_at"].map(|key| text(job, key));
    assert!(times.iter().all(|time| time.ends_with('Z')), "{job}");
    assert!(times.is_sorted(), "RFC 3339 in UTC sorts as text: {times:?}");
    assert_eq!(acme.name, "acme");
}

async fn events_match_the_output(acme: &Tenant, id: &str) {
    let output = acme.launcher.output(id).await;
    assert!(output.contains("PLAY RECAP"), "{output}");
    let events = acme.launcher.follow(id, None).await.rest().await;
    assert_eq!(printed(&events), output);
    let states: Vec<&str> = events.iter().filter(|e| e.name == "state").map(|e| text(&e.data, "state")).collect();
    assert_eq!(states.first(), Some(&"new"));
    assert_eq!(states.last(), Some(&"succeeded"));
    let last = events.last().unwrap();
    assert_eq!((last.name.as_str(), text(&last.data, "state")), ("end", "succeeded"));

    let numbered: Vec<_> = events.iter().filter(|event| event.id.is_some()).cloned().collect();
    assert!(numbered.is_sorted_by_key(|event| event.id), "numbers rise");
    let middle = numbered.len() / 2;
    let rest = acme.launcher.follow(id, numbered[middle - 1].id).await.rest().await;
    let rest: Vec<_> = rest.into_iter().filter(|event| event.id.is_some()).collect();
    assert_eq!(rest, numbered[middle..], "coming back goes on where it was");
    let end = numbered.last().unwrap().id.unwrap().to_string();
    let call = acme.launcher.call(Method::GET, &format!("/api/v1/jobs/{id}/events"));
    assert_eq!(call.header("last-event-id", &end).send().await.status, 204, "there is nothing more to come");
}

async fn is_on_record(acme: &Tenant, id: &str) {
    let trail = acme.admin.trail(id).await;
    let told: Vec<(&str, &str)> = trail.iter().map(|r| (text(r, "action"), text(r, "outcome"))).collect();
    for step in
        [("job.submit", "success"), ("job.launch", "intent"), ("job.bind", "success"), ("job.finish", "success")]
    {
        assert!(told.contains(&step), "{step:?} is missing: {told:?}");
    }
    let submit = trail.iter().find(|r| text(r, "action") == "job.submit").unwrap();
    assert_eq!(submit["actor"]["name"], "ci");
    assert_eq!((text(submit, "trace_id"), text(submit, "request_id")), (TRACE, "walk-1"));
    assert_eq!(text(submit, "source_address"), "127.0.0.1");
    assert_eq!((text(submit, "object_type"), text(submit, "object_id")), ("job", id));
    assert!(!text(submit, "payload_digest").is_empty() && !text(submit, "decision_id").is_empty(), "{submit}");

    let principal = submit["actor"]["principal"].as_str().unwrap();
    let theirs = acme.admin.all(&format!("/api/v1/audit/records?principal={principal}")).await;
    assert!(!theirs.is_empty() && theirs.iter().all(|r| r["actor"]["principal"] == principal), "{theirs:?}");
    let submits = acme.admin.all("/api/v1/audit/records?action=job.submit").await;
    assert!(!submits.is_empty() && submits.iter().all(|r| text(r, "action") == "job.submit"));
    let none = acme.admin.all("/api/v1/audit/records?after=2999-01-01T00:00:00Z").await;
    assert!(none.is_empty(), "{none:?}");
    acme.launcher.at(acme.admin.base()).get("/api/v1/audit/records").await.refused(403, "PERMISSION_DENIED");
}

async fn proves_itself(acme: &Tenant, scratch: &std::path::Path) {
    let checkpoint = acme.admin.get("/api/v1/audit/checkpoint").await.expect(200);
    let export = acme.admin.get("/api/v1/audit/export").await;
    assert_eq!(export.status, 200, "{}", export.text);
    let whole = scratch.join("export.ndjson");
    std::fs::write(&whole, &export.text).unwrap();
    let key = text(&checkpoint, "verifier_key");
    let verify = |file: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runwarden"));
        command.args(["audit", "verify", "--key", key, "--records"]).arg(file);
        command.output().unwrap().status.code()
    };
    assert_eq!(verify(&whole), Some(0));

    let lines: Vec<&str> = export.text.lines().collect();
    let changed = export.text.replacen("project.create", "project.remove", 1);
    let removed = [&lines[..2], &lines[3..]].concat().join("\n");
    let swapped = [&lines[..1], &lines[2..3], &lines[1..2], &lines[3..]].concat().join("\n");
    let cut = [&lines[..lines.len() - 2], &lines[lines.len() - 1..]].concat().join("\n");
    for (how, content) in [("changed", changed), ("removed", removed), ("swapped", swapped), ("cut", cut)] {
        let file = scratch.join(how);
        assert_ne!(content, export.text, "{how}");
        std::fs::write(&file, content).unwrap();
        assert_eq!(verify(&file), Some(1), "a log that was {how} is found out");
    }
}
