//! The story: a tenant is onboarded, a job is run and followed, something is refused, everything is proven.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use reqwest::{Method, StatusCode};
use runwarden_audit::cli::{Records, verify_export};
use runwarden_kit::private_file;
use runwarden_sandbox::Sandbox;
use serde_json::{Value, json};

use super::tell::Teller;
use crate::api::{Api, Events};
use crate::up::Running;

const TENANT: &str = "acme";
const PROJECT: &str = "web";
const CONTROLLER: &str = "sandbox";
pub(super) const TEMPLATE: &str = "deploy";
const CLIENT: &str = "ci";

/// What the story leaves behind for the reader.
pub(super) struct Told {
    /// Whether the job succeeded and the audit log verified.
    pub(super) went_well: bool,
    /// The job that was run.
    pub(super) job: String,
    /// A file with `client_id:client_secret` of the launcher.
    pub(super) credentials: PathBuf,
    /// The exported audit log.
    pub(super) export: PathBuf,
    /// The key that verifies it.
    pub(super) verifier_key: String,
}

/// Tells it.
pub(super) async fn tell(running: &Running, sandbox: &Sandbox, teller: &Teller) -> anyhow::Result<Told> {
    let admin = onboard(running, sandbox, teller).await?;
    let (caller, credentials) = launcher(running, &admin, teller).await?;
    let (job, succeeded) = run_job(&caller, teller).await?;
    refuse(&caller, teller).await?;
    let (export, verifier_key, verified) = prove(running, &admin, &job, teller).await?;
    Ok(Told { went_well: succeeded && verified, job, credentials, export, verifier_key })
}

/// Tenant, project, controller, template: what an administrator does once.
async fn onboard(running: &Running, sandbox: &Sandbox, teller: &Teller) -> anyhow::Result<Api> {
    teller.step("A platform admin onboards a tenant");
    let bootstrap: Value = serde_json::from_slice(&std::fs::read(running.layout.bootstrap_file())?)?;
    let text = |key: &str| bootstrap.get(key).and_then(Value::as_str).unwrap_or_default();
    let secret = text("client_secret").into();
    let platform = Api::log_in(&running.admin_base_url, Vec::new(), text("client_id"), &secret).await?;
    teller.call("POST /api/v1/auth/token", "a signed token that every service verifies by itself");
    make(&platform, teller, "/api/v1/tenants", &json!({"name": TENANT, "display_name": "Acme"})).await?;
    let admin = platform.acting_for(TENANT);
    make(&admin, teller, "/api/v1/projects", &json!({"name": PROJECT})).await?;
    let controller = json!({"name": CONTROLLER, "url": sandbox.url(), "credential": {"token": sandbox.token()}});
    if !make(&admin, teller, "/api/v1/controllers", &controller).await? {
        move_controller(&admin, sandbox).await?;
    }
    let template = find_template(&admin, teller).await?;
    let mapping = json!({
        "name": TEMPLATE, "project": PROJECT, "controller": CONTROLLER, "parameters": "import",
        "controller_template": {"kind": "job", "id": template},
    });
    make(&admin, teller, "/api/v1/templates", &mapping).await?;
    let mapped = admin.get(&format!("/api/v1/templates/{TEMPLATE}")).await?;
    let parameters: Vec<&String> = mapped
        .pointer("/parameters/properties")
        .and_then(Value::as_object)
        .map(|properties| properties.keys().collect())
        .unwrap_or_default();
    teller.say(&format!("Its survey became the schema of its parameters: {parameters:?}."));
    Ok(admin)
}

/// Creates something; false if it is there already.
async fn make(api: &Api, teller: &Teller, path: &str, body: &Value) -> anyhow::Result<bool> {
    let (status, answer) = api.call(Method::POST, path, Some(body)).await?;
    let shown = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let call = format!("POST {path} {shown}");
    match status {
        StatusCode::CREATED => {
            teller.call(&call, "201 Created");
            Ok(true)
        }
        StatusCode::CONFLICT => {
            teller.call(&call, "409: it is there from an earlier start, and stays");
            Ok(false)
        }
        _ => bail!("{call}: {status} {answer}"),
    }
}

/// The sandbox may have another address than the last time, and, if its folder was removed, another token.
async fn move_controller(admin: &Api, sandbox: &Sandbox) -> anyhow::Result<()> {
    let path = format!("/api/v1/controllers/{CONTROLLER}");
    let change = json!({"url": sandbox.url(), "credential": {"token": sandbox.token()}});
    let (status, answer) = admin.call(Method::PATCH, &path, Some(&change)).await?;
    if !status.is_success() {
        bail!("PATCH {path}: {status} {answer}");
    }
    Ok(())
}

/// The id of the controller's template that the demo maps.
async fn find_template(admin: &Api, teller: &Teller) -> anyhow::Result<i64> {
    let path = format!("/api/v1/controllers/{CONTROLLER}/templates?page_size=200");
    let offered = admin.get(&path).await?;
    let items = offered.get("items").and_then(Value::as_array).context("a list of templates")?;
    teller.call(
        &format!("GET /api/v1/controllers/{CONTROLLER}/templates"),
        &format!("{} templates on offer", items.len()),
    );
    items
        .iter()
        .find(|t| t.get("name").and_then(Value::as_str) == Some(TEMPLATE))
        .and_then(|t| t.get("id").and_then(Value::as_i64))
        .context("the sandbox offers the demo's template")
}

/// A service account that may launch and nothing else. Its secret is shown once, so it is kept in a file.
async fn launcher(running: &Running, admin: &Api, teller: &Teller) -> anyhow::Result<(Api, PathBuf)> {
    teller.step("A service account for CI gets a token");
    let file = running.layout.path("demo-client");
    if !file.exists() {
        create_launcher(admin, teller, &file).await?;
    }
    let kept = std::fs::read_to_string(&file)?;
    let (id, secret) = kept.trim().split_once(':').context("demo-client holds id:secret")?;
    let caller = Api::log_in(&running.base_url, Vec::new(), id, &secret.into()).await?;
    teller.call("POST /api/v1/auth/token", &format!("a token for {CLIENT}, role launcher in project {PROJECT}"));
    Ok((caller, file))
}

async fn create_launcher(admin: &Api, teller: &Teller, file: &Path) -> anyhow::Result<()> {
    let mut name = CLIENT.to_owned();
    for number in 2.. {
        let body = json!({"name": name, "project": PROJECT, "roles": ["launcher"]});
        let (status, answer) = admin.call(Method::POST, "/api/v1/clients", Some(&body)).await?;
        match status {
            StatusCode::CREATED => {
                let text = |key: &str| answer.get(key).and_then(Value::as_str).context("the answer holds it");
                let line = format!("{}:{}\n", text("client_id")?, text("client_secret")?);
                private_file::write(file, line.as_bytes())?;
                teller.call(&format!("POST /api/v1/clients {name}"), "201 Created; the secret is shown this once");
                break;
            }
            // Its secret was lost with the file: it cannot be shown again, so there will be another.
            StatusCode::CONFLICT if number < 100 => name = format!("{CLIENT}-{number}"),
            _ => bail!("POST /api/v1/clients: {status} {answer}"),
        }
    }
    Ok(())
}

/// Submits a job and follows it to its end.
async fn run_job(caller: &Api, teller: &Teller) -> anyhow::Result<(String, bool)> {
    teller.step("CI asks for a job, and follows it");
    let body = json!({
        "template": TEMPLATE,
        "parameters": {"environment": "dev", "version": "1.4.2", "replicas": 3, "deploy_password": "hunter2-hunter2"},
    });
    let (status, job) = caller.call(Method::POST, "/api/v1/jobs", Some(&body)).await?;
    if status != StatusCode::ACCEPTED {
        bail!("POST /api/v1/jobs: {status} {job}");
    }
    let id = job.get("id").and_then(Value::as_str).context("a job has an id")?.to_owned();
    teller.call(
        &format!("POST /api/v1/jobs {TEMPLATE}"),
        &format!("202 Accepted {id}: validated, allowed by policy, durable and on record"),
    );
    teller.say(&format!(
        "Its password is sealed; shown is {}.",
        job.pointer("/parameters/deploy_password").unwrap_or(&Value::Null)
    ));
    teller.call(&format!("GET /api/v1/jobs/{id}/events"), "its states and output as they come");
    follow(caller, &id, teller).await?;
    let ended = caller.get(&format!("/api/v1/jobs/{id}?wait=60")).await?;
    let state = ended.get("state").and_then(Value::as_str).unwrap_or_default();
    let succeeded = state == "succeeded";
    if succeeded {
        teller.good(&format!("{id} {state}"));
    } else {
        let why = ended.get("reason_detail").and_then(Value::as_str).unwrap_or_default();
        teller.bad(&format!("{id} {state}: {why}"));
    }
    Ok((id, succeeded))
}

async fn follow(caller: &Api, id: &str, teller: &Teller) -> anyhow::Result<()> {
    let mut events = Events::of(caller.open(&format!("/api/v1/jobs/{id}/events"), None).await?);
    let mut last = String::new();
    while let Some(event) = events.next().await? {
        let text = |key: &str| event.data.get(key).and_then(Value::as_str).unwrap_or_default();
        match event.name.as_str() {
            "output" => teller.output(text("text")),
            "state" => {
                let progress = text("progress");
                let told = if progress.is_empty() {
                    text("state").to_owned()
                } else {
                    format!("{}: {progress}", text("state"))
                };
                if told != last {
                    teller.say(&format!("· {told}"));
                    last = told;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is not allowed is refused, with a reason one can act on.
async fn refuse(caller: &Api, teller: &Teller) -> anyhow::Result<()> {
    teller.step("What should not be launched is refused before anything happens");
    let body = json!({"template": TEMPLATE, "parameters": {"environment": "the-moon", "version": "1", "limit": "all"}});
    let (status, problem) = caller.call(Method::POST, "/api/v1/jobs", Some(&body)).await?;
    anyhow::ensure!(
        status == StatusCode::UNPROCESSABLE_ENTITY,
        "a wrong request was answered with {status}: {problem}"
    );
    teller.call("POST /api/v1/jobs {\"environment\":\"the-moon\", \"limit\":\"all\", …}", &format!("{status}"));
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        teller.say(&format!("{} {}", text("pointer"), text("detail")));
    }
    Ok(())
}

/// The audit trail of the job, and the proof that the log is whole.
async fn prove(running: &Running, admin: &Api, job: &str, teller: &Teller) -> anyhow::Result<(PathBuf, String, bool)> {
    teller.step("Everything that happened can be looked up, and proven");
    let records = trail(admin, job).await?;
    teller.call(&format!("GET /api/v1/audit/records?job={job}"), &format!("{} records", records.len()));
    for record in records.iter().rev() {
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        teller.say(&format!(
            "#{:<4} {:<12} {:<8} by {}",
            record.get("index").and_then(Value::as_i64).unwrap_or_default(),
            text("/action"),
            text("/outcome"),
            text("/actor/name"),
        ));
    }
    let checkpoint = admin.get("/api/v1/audit/checkpoint").await?;
    let key = checkpoint.get("verifier_key").and_then(Value::as_str).context("a checkpoint has a key")?.to_owned();
    let export = running.layout.path("audit-export.ndjson");
    std::fs::write(&export, admin.get_text("/api/v1/audit/export").await?)?;
    teller.call("GET /api/v1/audit/export", &format!("saved to {}", export.display()));
    let report = verify_export(Records::from(export.as_path()), &key, None)?;
    if report.is_whole() {
        teller.good(&format!("{report}"));
    } else {
        teller.bad(&format!("{report}"));
    }
    Ok((export, key, report.is_whole() && !records.is_empty()))
}

/// The records of a job, once its end is among them: they arrive a moment after it.
async fn trail(admin: &Api, job: &str) -> anyhow::Result<Vec<Value>> {
    let mut records = Vec::new();
    for _ in 0..100 {
        let page = admin.get(&format!("/api/v1/audit/records?job={job}&page_size=200")).await?;
        records = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        if records.iter().any(|r| r.get("action").and_then(Value::as_str) == Some("job.finish")) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Ok(records)
}
