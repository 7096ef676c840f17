//! The audit folder is put back to yesterday's copy while everything else goes on: noticed at the start, told to whom it
//! concerns, stopped for those tenants only, and taken up again when an operator says so.

use std::path::Path;
use std::process::Stdio;

use runwarden_harness::{Api, Controller, Signal, System, Tenant, until};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{metric, settings};

/// Runs `runwarden audit …` over a data folder; answers its exit code and what it printed.
async fn audit(command: &str, data: &Path, more: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_runwarden"))
        .args(["audit", command, "--data-dir"])
        .arg(data)
        .args(more)
        .env_clear()
        .env("USER", "root")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout) + &text(output.stderr))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

async fn notes(base: &str) -> Value {
    Api::anonymous(base).get("/api/v1/health/ready").await.expect(200)["notes"].clone()
}

async fn records(tenant: &Tenant) -> usize {
    tenant.admin.all("/api/v1/audit/records").await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn yesterdays_copy_of_the_audit_folder_is_refused_until_an_operator_accepts_it() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let controller = Controller::start().await;
    let settings = settings().that_stays().set("RUNWARDEN_METRICS_LISTEN", &free);
    let mut system = System::start(&settings).await;
    let acme = Tenant::onboard(system.reach(), "acme", &controller).await;
    let umbrella = Tenant::onboard(system.reach(), "umbrella", &controller).await;
    for tenant in [&acme, &umbrella] {
        tenant.map_bare("plain", "plain").await;
        tenant.launcher.run("plain", json!({})).await;
        // What is recorded last is handed over a moment after the job has ended.
        let recorded = async || {
            let records = tenant.admin.all("/api/v1/audit/records").await;
            records.iter().any(|record| record["action"] == "job.finish").then_some(())
        };
        until("the end of the job to be recorded", recorded).await;
    }
    let (data, yesterday) = (system.data(), system.scratch().join("yesterday"));
    system.end(Signal::Term).await;
    copy(&data.join("audit"), &yesterday);
    let (code, said) = audit("verify", &data, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("continues what executor saw of it"), "{said}");
    assert!(said.contains("Compared with the tenants that exist."), "{said}");
    assert!(said.contains("Not compared: checkpoints kept elsewhere"), "{said}");

    system.start_again().await;
    acme.launcher.run("plain", json!({})).await;
    system.end(Signal::Term).await;
    std::fs::remove_dir_all(data.join("audit")).unwrap();
    copy(&yesterday, &data.join("audit"));
    let (code, said) = audit("verify", &data, &[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("runwarden-audit/acme: NOT WHOLE"), "{said}");
    assert!(said.contains("executor saw"), "{said}");
    assert!(said.contains("runwarden-audit/umbrella: whole"), "{said}");

    // It starts, and other tenants are not affected.
    system.allow_error("an audit log");
    system.start_again().await;
    let before = records(&acme).await;
    let submitted = acme.launcher.post("/api/v1/jobs", &json!({"template": "plain", "parameters": {}})).await;
    let problem = submitted.refused(503, "AUDIT_LOG_UNTRUSTED");
    assert!(problem["detail"].as_str().unwrap().contains("older than what was seen of it"), "{problem}");
    let made = acme.admin.post("/api/v1/projects", &json!({"name": "more"})).await;
    made.refused(503, "AUDIT_LOG_UNTRUSTED");
    let done = umbrella.launcher.run("plain", json!({})).await;
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(records(&acme).await, before, "the log does not grow");
    assert!(metric(&free, "runwarden_audit_rolled_back_logs").await >= 1.0);
    let noted = notes(&system.reach().admin_base_url).await.to_string();
    assert!(noted.contains("older than seen: acme"), "{noted}");
    assert_eq!(notes(&system.reach().base_url).await, Value::Null, "outside callers hear of no tenant");

    let (code, said) = audit("accept-restore", &data, &["--all", "--reason", "disk failed"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the audit service is running"), "{said}");
    system.end(Signal::Term).await;
    let (code, said) = audit("accept-restore", &data, &["--tenant", "umbrella", "--reason", "disk failed"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("nothing to accept"), "{said}");
    let (code, said) = audit("accept-restore", &data, &["--all", "--reason", "disk failed"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("acme: accepted"), "{said}");
    let (code, said) = audit("verify", &data, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("operator:root accepted that it was restored from a copy: disk failed"), "{said}");

    system.start_again().await;
    let done = acme.launcher.run("plain", json!({})).await;
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(notes(&system.reach().admin_base_url).await, Value::Null);
    let accepted = acme.admin.all("/api/v1/audit/records?action=audit.accept_restore").await;
    assert_eq!(accepted.len(), 1, "{accepted:?}");
    system.end(Signal::Term).await;
    let (code, said) = audit("verify", &data, &[]).await;
    assert_eq!(code, Some(0), "{said}");
}
