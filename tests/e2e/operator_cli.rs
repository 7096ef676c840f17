//! `runwarden jobs`, as operators use it.

use std::process::Stdio;

use runwarden_harness::jobs::text;
use runwarden_harness::{Api, Credentials};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{acme, deployment, settings};

/// What a command answered.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// What it printed when it went well.
    #[track_caller]
    fn well(&self) -> &str {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        &self.out
    }

    /// Why it did not do what it was asked to.
    #[track_caller]
    fn failed(&self, code: i32) -> &str {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        &self.err
    }
}

/// Runs `runwarden jobs …` with nothing in its environment but this secret.
async fn jobs(line: &str, more: &[&str], secret: Option<&str>) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runwarden"));
    command.arg("jobs").args(line.split_whitespace()).args(more).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    if let Some(secret) = secret {
        command.env("RUNWARDEN_CLIENT_SECRET", secret);
    }
    let output = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Where the admin listener is and whom to be, for [`jobs`].
fn as_client<'a>(admin: &'a Api, client: &'a Credentials) -> [&'a str; 4] {
    ["--url", admin.base(), "--client-id", &client.id]
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_shown_and_cancelled_with_what_the_data_folder_tells() {
    let (_controller, system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    acme.map_bare("hangs", "hangs").await;
    let done = acme.launcher.run("deploy", deployment()).await;
    let hangs = acme.launcher.submit("hangs", json!({})).await;
    let (done, hangs) = (text(&done, "id"), text(&hangs, "id"));
    acme.launcher.becomes(hangs, "running").await;
    let data = system.data().display().to_string();
    let here = ["--data-dir", &data, "--tenant", "acme"];

    let list = jobs("list", &here, None).await;
    let rows: Vec<Vec<&str>> = list.well().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "STATE", "TEMPLATE", "PROJECT", "CREATED", "REQUESTED", "BY", "REASON"]);
    assert_eq!(rows[1][..4], [hangs, "running", "hangs", "web"], "newest first");
    assert_eq!((&rows[2][..4], rows.len()), (&[done, "succeeded", "deploy", "web"][..], 3));
    let one = jobs("list --limit 1", &here, None).await;
    assert!(one.well().contains(hangs) && !one.out.contains(done) && one.out.contains("there are more"), "{}", one.out);
    let running = jobs("list --state running,unknown --template hangs", &here, None).await;
    assert!(running.well().contains(hangs) && !running.out.contains(done), "{}", running.out);
    assert_eq!(jobs("list --state unknown", &here, None).await.well(), "no jobs\n");

    let shown = jobs(&format!("show {done}"), &here, None).await;
    let field = |name: &str| {
        let line = shown.well().lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.map(str::trim).unwrap_or_default().to_owned()
    };
    assert_eq!((field("id"), field("state"), field("template")), (done.into(), "succeeded".into(), "deploy".into()));
    assert_eq!(serde_json::from_str::<Value>(&field("parameters")).unwrap(), deployment());

    let cancelled = jobs(&format!("cancel {hangs}"), &here, None).await;
    assert!(cancelled.well().starts_with("id:") && cancelled.out.contains(hangs), "{}", cancelled.out);
    assert_eq!(text(&acme.launcher.over(hangs).await, "state"), "canceled");
    let again = jobs(&format!("cancel {hangs}"), &here, None).await;
    let why = again.failed(4);
    assert!(why.starts_with("runwarden jobs cancel: ") && why.contains("(409 JOB_FINISHED)"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_its_own_gets_the_answers_as_they_are() {
    let (_controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let job = acme.launcher.run("deploy", deployment()).await;
    let id = text(&job, "id");
    let (who, secret) = (as_client(&acme.admin, &acme.admin_credentials), Some(acme.admin_credentials.secret.as_str()));

    let shown = jobs(&format!("show {id} --json"), &who, secret).await;
    assert_eq!(serde_json::from_str::<Value>(shown.well()).unwrap(), acme.admin.job(id).await);
    let listed = jobs("list --json --state succeeded", &who, secret).await;
    let listed: Value = serde_json::from_str(listed.well()).unwrap();
    assert_eq!((&listed["items"][0]["id"], &listed["next_page_token"]), (&job["id"], &json!("")));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{}\n", acme.admin_credentials.secret)).unwrap();
    let file = file.display().to_string();
    let line = format!("show {id} --client-secret-file {file}");
    assert!(jobs(&line, &who, Some("not this one")).await.well().contains("succeeded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_with_a_code_and_what_to_quote() {
    let (_controller, system, acme) = acme(&settings()).await;
    let (who, secret) = (as_client(&acme.admin, &acme.admin_credentials), Some(acme.admin_credentials.secret.as_str()));
    let said = jobs("show job_none", &who, secret).await;
    let why = said.failed(4);
    assert!(why.contains("(404 NOT_FOUND)") && why.contains("request: req_"), "{why}");
    let said = jobs("show job_none --json", &who, secret).await;
    let problem: Value = serde_json::from_str(said.failed(4)).unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&json!("NOT_FOUND"), &json!(404)));
    // A platform administrator must say for which tenant.
    let data = system.data().display().to_string();
    let said = jobs("list", &["--data-dir", &data], None).await;
    assert!(said.failed(4).contains("--tenant") && !said.err.contains("X-Tenant"), "{}", said.err);

    let said = jobs("list", &who, Some("wr0ng-s3cret")).await;
    let why = said.failed(3);
    assert!(
        why.contains("did not give") && why.contains("token") && why.contains("401") && !why.contains("wr0ng-s3cret"),
        "{why}"
    );
    // A launcher has nothing to resolve, and from outside nobody has.
    let who = as_client(&acme.admin, &acme.launcher_credentials);
    let secret = Some(acme.launcher_credentials.secret.as_str());
    for line in ["attempts job_1", "resolve job_1 --retry --reason why"] {
        let said = jobs(line, &who, secret).await;
        assert!(said.failed(3).contains("(403 PERMISSION_DENIED)"), "{}", said.err);
        let outside = ["--url", acme.launcher.base(), "--client-id", &acme.launcher_credentials.id];
        let said = jobs(line, &outside, secret).await;
        assert!(said.failed(4).contains("(404 NOT_FOUND)"), "{}", said.err);
    }
    // The port was somebody's until just now.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = jobs("list --client-id c", &["--url", &format!("http://{port}")], secret).await;
    assert!(said.failed(7).contains("cannot be reached"), "{}", said.err);
}

#[tokio::test]
async fn a_command_that_makes_no_sense_ends_with_2() {
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().display().to_string();
    for line in [
        "show",
        "resolve job_1 --retry --give-up --reason why --url http://127.0.0.1:1",
        "resolve job_1 --reason why --url http://127.0.0.1:1",
        "list --url http://127.0.0.1:1",
        "list --url http://127.0.0.1:1 --client-id c",
        "list --url http://runwarden.example --client-id c --client-secret-file f",
        "list --url http://127.0.0.1:1 --profile prod",
    ] {
        assert!(!jobs(line, &[], None).await.failed(2).is_empty(), "{line}");
    }
    // A folder without a running system is no nonsense, and still no success.
    let said = jobs("list --client-id c", &["--data-dir", &empty], Some("s")).await;
    assert!(said.failed(9).contains("runwarden.json"), "{}", said.err);
    // Nothing was said, and nothing is kept anywhere.
    let mut command = Command::new(env!("CARGO_BIN_EXE_runwarden"));
    let output = command.args(["jobs", "list"]).env_clear().env("HOME", &empty).output().await.unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("runwarden login"));
}
