//! Runs with a program in the place of `ansible-playbook`: what it is given, and that nothing of it is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::{Bench, Result, options};
use reqwest::Method;
use runwarden_sandbox::{Options, UseAnsible};
use serde_json::json;

/// Writes a program that notes how it was called, prints a little, and then does `last`.
fn program(dir: &Path, last: &str) -> Result<PathBuf> {
    let path = dir.join("ansible-playbook");
    let notes = dir.join("notes");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\n{{ pwd; stat -c %a given.yml vars.yml secrets.yml | uniq; cat vars.yml; echo \"$@\"; }} > {notes}.new\nmv {notes}.new {notes}\n\
         printf '\\nPLAY [Real] ***\\n\\nTASK [One] ***\\nok: [localhost]\\n'\necho 'on stderr' >&2\n{last}\n",
        notes = notes.display()
    );
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

async fn bench(program: PathBuf) -> Result<Bench> {
    let options = Options { use_ansible: UseAnsible::Auto, ansible_playbook: Some(program), ..options() };
    Bench::with(options).await
}

#[tokio::test]
async fn a_real_run_gets_its_variables_in_a_private_file_that_is_gone_afterwards() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let bench = bench(program(dir.path(), "exit 3")?).await?;
    assert_eq!(bench.sandbox.engine(), "ansible");
    let body = json!({"extra_vars": {"colour": "{{ red }} ü"}, "limit": "localhost", "verbosity": 2, "diff_mode": true, "job_type": "check"});
    let run = bench.launch(11, body).await?;
    let ended = bench.ended(run).await?;
    assert_eq!((&ended["status"], &ended["execution_node"]), (&json!("failed"), &json!("sandbox-ansible")));
    let notes = fs::read_to_string(dir.path().join("notes"))?;
    let lines: Vec<&str> = notes.lines().collect();
    assert_eq!(
        lines[1..],
        [
            "600",
            "{\"colour\": !unsafe \"{{ red }} \\U000000fc\"}",
            "-i inventory.yml -e @given.yml -e @vars.yml -e @secrets.yml --limit=localhost --check --diff -vv variables.yml",
        ]
    );
    assert!(!Path::new(lines[0]).exists(), "{} is still there", lines[0]);
    let (_, output) = bench.get(&format!("/api/v2/jobs/{run}/stdout/?format=json")).await?;
    assert_eq!(output["content"], "\nPLAY [Real] ***\n\nTASK [One] ***\nok: [localhost]\non stderr\n");
    Ok(())
}

#[tokio::test]
async fn cancelling_a_real_run_ends_all_its_processes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pid_file = dir.path().join("pid");
    let last =
        format!("setsid sh -c 'echo $$ > {p}.new; mv {p}.new {p}; exec sleep 600' &\nwait", p = pid_file.display());
    let bench = bench(program(dir.path(), &last)?).await?;
    let run = bench.launch(13, json!({})).await?;
    let alive = || {
        let child = fs::read_to_string(&pid_file).unwrap_or_default();
        fs::read_to_string(format!("/proc/{}/cmdline", child.trim())).is_ok_and(|c| c.contains("sleep"))
    };
    let started = Instant::now();
    // While it becomes another program its command line is empty.
    while !alive() {
        assert!(started.elapsed() < Duration::from_secs(20), "the run never started");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let response = bench.ask(Method::POST, &format!("/api/v2/jobs/{run}/cancel/")).send().await?;
    assert_eq!(response.status(), 202);
    assert_eq!(bench.ended(run).await?["status"], "canceled");
    let started = Instant::now();
    while alive() {
        assert!(started.elapsed() < Duration::from_secs(20), "a process outlived its run");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_broken_ansible_is_not_used() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("ansible-playbook");
    fs::write(&path, "#!/bin/sh\nexit 1\n")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    assert_eq!(bench(path).await?.sandbox.engine(), "simulated");
    Ok(())
}
