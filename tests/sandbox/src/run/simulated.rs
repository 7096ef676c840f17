//! Runs without Ansible: the same kind of output, line by line, over the same kind of time.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::python;

const GREEN: &str = "\u{1b}[0;32m";
const YELLOW: &str = "\u{1b}[0;33m";
const RED: &str = "\u{1b}[0;31m";
const OFF: &str = "\u{1b}[0m";

/// How a simulated run ends after its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Successful,
    Failed,
    /// Never, of its own.
    Hangs,
}

/// A run to play: lines with the pause before each.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) lines: Vec<(Duration, String)>,
    pub(crate) end: End,
}

struct Writer {
    lines: Vec<(Duration, String)>,
    hosts: Vec<String>,
    ok: u32,
    changed: u32,
    failed: u32,
}

impl Writer {
    fn say(&mut self, pause_ms: u64, line: impl Into<String>) {
        self.lines.push((Duration::from_millis(pause_ms), line.into()));
    }

    fn header(&mut self, pause_ms: u64, text: &str) {
        self.say(pause_ms, "");
        self.say(0, format!("{text} {}", "*".repeat(79usize.saturating_sub(text.len()).max(3))));
    }

    fn task(&mut self, name: &str) {
        self.header(120, &format!("TASK [{name}]"));
    }

    /// A `debug` task's result on every host.
    fn debug(&mut self, pause_ms: u64, message: &str) {
        self.ok += 1;
        for host in self.hosts.clone() {
            self.say(pause_ms, format!("{GREEN}ok: [{host}] => {{{OFF}"));
            self.say(0, format!("{GREEN}    \"msg\": {}{OFF}", python::dumps(&Value::from(message))));
            self.say(0, format!("{GREEN}}}{OFF}"));
        }
    }

    fn change(&mut self, pause_ms: u64, item: Option<&str>) {
        self.ok += 1;
        self.changed += 1;
        for host in self.hosts.clone() {
            let item = item.map(|i| format!(" => (item={i})")).unwrap_or_default();
            self.say(pause_ms, format!("{YELLOW}changed: [{host}]{item}{OFF}"));
        }
    }

    fn fail(&mut self, pause_ms: u64, message: &str) {
        self.failed += 1;
        for host in self.hosts.clone() {
            self.say(
                pause_ms,
                format!(
                    "{RED}fatal: [{host}]: FAILED! => {{\"changed\": false, \"msg\": {}}}{OFF}",
                    python::dumps(&Value::from(message))
                ),
            );
        }
    }

    fn recap(&mut self) {
        self.header(100, "PLAY RECAP");
        let (ok, changed, failed) = (self.ok, self.changed, self.failed);
        for host in self.hosts.clone() {
            self.say(
                0,
                format!("{host:<26} : ok={ok:<4} changed={changed:<4} unreachable=0    failed={failed:<4} skipped=0    rescued=0    ignored=0   "),
            );
        }
        self.say(0, "");
    }
}

/// Writes the script of a playbook.
pub(crate) fn script(
    playbook: &str,
    hosts: &[String],
    vars: &Map<String, Value>,
    secrets: &std::collections::BTreeSet<String>,
) -> Script {
    let mut w = Writer { lines: Vec::new(), hosts: hosts.to_vec(), ok: 0, changed: 0, failed: 0 };
    if hosts.is_empty() {
        w.say(
            50,
            format!(
                "{RED}ERROR! Specified inventory, host pattern and/or --limit leaves us with no hosts to target.{OFF}"
            ),
        );
        return Script { lines: w.lines, end: End::Failed };
    }
    let text = |name: &str| vars.get(name).map(python::text).unwrap_or_default();
    let mut end = End::Successful;
    match playbook {
        "deploy.yml" => {
            let (environment, version) = (text("environment"), text("version"));
            w.header(100, "PLAY [Deploy a release]");
            w.task("Say what will happen");
            w.debug(250, &format!("Deploying {version} to {environment}, {} replicas", text("replicas")));
            w.task("Show every variable that was asked for");
            print_variables(&mut w, vars, secrets);
            for (name, pause) in [
                ("Fetch the artefact", 600),
                ("Stop the old release", 450),
                ("Unpack", 500),
                ("Start the new release", 600),
            ] {
                w.task(name);
                w.change(pause, None);
            }
            w.task("Check that it answers");
            w.debug(400, &format!("{version} answers in {environment}"));
        }
        "fails.yml" => {
            w.header(100, "PLAY [Fail]");
            w.task("Go well so far");
            w.debug(200, "so far, so good");
            w.task("Say no");
            w.fail(300, "This template fails on purpose.");
            end = End::Failed;
        }
        "hangs.yml" => {
            w.header(100, "PLAY [Hang]");
            w.task("Say that it will take long");
            w.debug(200, "waiting until somebody cancels");
            w.task("Wait");
            end = End::Hangs;
        }
        "prints.yml" => {
            w.header(100, "PLAY [Print a lot]");
            w.task("Print");
            for page in 0..40 {
                w.ok += 1;
                for host in w.hosts.clone() {
                    w.say(10, format!("{GREEN}ok: [{host}] => (item={page}) => {{{OFF}"));
                    w.say(0, format!("{GREEN}    \"msg\": [{OFF}"));
                    for row in 0..1000 {
                        w.say(
                            0,
                            format!("{GREEN}        \"page {page:02} row {row:04} {}\",{OFF}", "0123456789".repeat(7)),
                        );
                    }
                    w.say(0, format!("{GREEN}    ]{OFF}"));
                    w.say(0, format!("{GREEN}}}{OFF}"));
                }
            }
        }
        "variables.yml" => {
            w.header(100, "PLAY [Print variables]");
            w.task("Show every variable that was asked for");
            print_variables(&mut w, vars, secrets);
        }
        "request.yml" => {
            w.header(100, "PLAY [Deploy, and say for whom]");
            w.task("Leave a note");
            let reference = Some(text("runwarden_reference")).filter(|text| !text.is_empty());
            let note = format!(
                "{}: job {}, asked for by {}, see {}",
                reference.unwrap_or_else(|| "no ticket".to_owned()),
                text("runwarden_job_id"),
                text("runwarden_requested_by"),
                text("runwarden_job_url")
            );
            w.debug(250, &note);
        }
        _ => {
            w.header(100, "PLAY [Say hello]");
            w.task("Say hello");
            w.debug(250, "Hello from the sandbox");
            w.task("Change something");
            w.change(250, None);
        }
    }
    if end != End::Hangs {
        w.recap();
    }
    Script { lines: w.lines, end }
}

fn print_variables(w: &mut Writer, vars: &Map<String, Value>, secrets: &std::collections::BTreeSet<String>) {
    for (name, value) in vars {
        let shown = if secrets.contains(name) { "set, not shown".to_owned() } else { python::text(value) };
        for host in w.hosts.clone() {
            w.say(150, format!("{GREEN}ok: [{host}] => (item={name}) => {{{OFF}"));
            w.say(0, format!("{GREEN}    \"msg\": {}{OFF}", python::dumps(&Value::from(format!("{name} = {shown}")))));
            w.say(0, format!("{GREEN}}}{OFF}"));
        }
    }
    w.ok += 1;
}
