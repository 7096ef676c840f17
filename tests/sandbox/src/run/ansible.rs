//! Runs with the real `ansible-playbook`: a private directory, variables in a 0600 file, both gone afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use super::processes;
use crate::python;

const PLAYBOOKS: &[(&str, &str)] = &[
    ("plain.yml", include_str!("../../playbooks/plain.yml")),
    ("variables.yml", include_str!("../../playbooks/variables.yml")),
    ("deploy.yml", include_str!("../../playbooks/deploy.yml")),
    ("fails.yml", include_str!("../../playbooks/fails.yml")),
    ("hangs.yml", include_str!("../../playbooks/hangs.yml")),
    ("request.yml", include_str!("../../playbooks/request.yml")),
    ("prints.yml", include_str!("../../playbooks/prints.yml")),
];

/// What one run needs to know.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) playbook: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) limit: String,
    pub(crate) tags: String,
    pub(crate) skip_tags: String,
    pub(crate) check: bool,
    pub(crate) diff: bool,
    pub(crate) verbosity: i64,
    pub(crate) forks: i64,
    pub(crate) vars: Map<String, Value>,
    pub(crate) secrets: BTreeSet<String>,
    pub(crate) pause: f64,
}

/// A playbook under way. Dropping it kills the whole process group and removes its files.
#[derive(Debug)]
pub(crate) struct Play {
    child: Child,
    lines: Lines<BufReader<pipe::Receiver>>,
    _dir: tempfile::TempDir,
}

/// Finds a working `ansible-playbook`: the given one, or the first on the PATH.
pub(crate) async fn find(given: Option<&Path>) -> Option<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|dir| dir.join("ansible-playbook"))
            .find(|candidate| candidate.is_file())?,
    };
    let mut probe = Command::new(&path);
    probe.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(Duration::from_secs(20), probe.status()).await {
        Ok(Ok(status)) if status.success() => Some(path),
        _ => {
            tracing::warn!(path = %path.display(), "ansible-playbook is installed but does not run; simulating instead");
            None
        }
    }
}

impl Play {
    /// Writes the files and starts the process.
    pub(crate) fn start(program: &Path, order: &Order) -> anyhow::Result<Self> {
        let dir =
            tempfile::Builder::new().prefix("sandbox-run-").tempdir().context("cannot create a private directory")?;
        let home = dir.path();
        fs::DirBuilder::new().mode(0o700).create(home.join("tmp"))?;
        for (name, text) in PLAYBOOKS {
            write_private(&home.join(name), text)?;
        }
        write_private(&home.join("inventory.yml"), &inventory(order))?;
        // An empty one of our own, so that none of the machine's is found.
        write_private(&home.join("ansible.cfg"), "")?;
        for (name, text) in variable_files(order) {
            write_private(&home.join(name), &text)?;
        }
        let (reader, writer) = std::io::pipe()?;
        let mut command = Command::new(program);
        command
            .args(arguments(order))
            .current_dir(home)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("LANG", "C.UTF-8")
            .env("ANSIBLE_FORCE_COLOR", "1")
            .env("ANSIBLE_NOCOWS", "1")
            .env("ANSIBLE_CONFIG", home.join("ansible.cfg"))
            .env("ANSIBLE_LOCAL_TEMP", home.join("tmp"))
            .env("ANSIBLE_REMOTE_TEMP", home.join("tmp"))
            .env("ANSIBLE_RETRY_FILES_ENABLED", "0")
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().context("ansible-playbook cannot be started")?;
        // The command holds the pipe's other writing ends; without dropping it the reader would never see the end.
        drop(command);
        let receiver = pipe::Receiver::from_owned_fd(reader.into())?;
        Ok(Self { child, lines: BufReader::new(receiver).lines(), _dir: dir })
    }

    /// The next line, `None` at the end of the output. Cancel-safe.
    pub(crate) async fn line(&mut self) -> std::io::Result<Option<String>> {
        self.lines.next_line().await
    }

    /// Waits for the process.
    pub(crate) async fn end(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        let Some(id) = self.child.id() else { return };
        // Ansible's workers leave the process group, so the tree is looked up before its root is gone.
        let tree = processes::tree(id);
        processes::kill_group(id);
        for id in tree {
            processes::kill(id);
        }
    }
}

fn arguments(order: &Order) -> Vec<String> {
    let mut args: Vec<String> = ["-i", "inventory.yml", "-e", "@given.yml", "-e", "@vars.yml", "-e", "@secrets.yml"]
        .map(str::to_owned)
        .to_vec();
    let pairs = [("--limit", &order.limit), ("--tags", &order.tags), ("--skip-tags", &order.skip_tags)];
    for (flag, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        // One word, so that no value can be read as another option.
        args.push(format!("{flag}={value}"));
    }
    if order.check {
        args.push("--check".to_owned());
    }
    if order.diff {
        args.push("--diff".to_owned());
    }
    if order.forks > 0 {
        args.push(format!("--forks={}", order.forks));
    }
    if order.verbosity > 0 {
        args.push(format!("-{}", "v".repeat(usize::try_from(order.verbosity.min(5)).unwrap_or(1))));
    }
    args.push(order.playbook.clone());
    args
}

/// All hosts are this machine.
fn inventory(order: &Order) -> String {
    let hosts: String = order.hosts.iter().map(|host| format!("    {host}:\n")).collect();
    format!(
        "all:\n  hosts:\n{hosts}  vars:\n    ansible_connection: local\n    ansible_python_interpreter: \"{{{{ ansible_playbook_python }}}}\"\n    sandbox_pause: {}\n",
        order.pause,
    )
}

/// The files of variables, by name. Secrets are apart: Ansible quotes the file it complains about.
fn variable_files(order: &Order) -> Vec<(&'static str, String)> {
    let (secret, open): (Vec<_>, Vec<_>) = order.vars.iter().partition(|(name, _)| order.secrets.contains(*name));
    // Ansible has a keyword of that name, which hides the variable and earns a warning.
    let usable = open.iter().filter(|(name, _)| *name != "environment");
    let shown = open
        .iter()
        .map(|(name, value)| ((*name).clone(), (*value).clone()))
        .chain(secret.iter().map(|(name, _)| ((*name).clone(), Value::from("set, not shown"))))
        .collect::<Map<_, _>>();
    let mut given = Map::new();
    given.insert("sandbox_given".to_owned(), Value::Object(shown));
    let own = |pairs: Vec<(&String, &Value)>| {
        let map: Map<_, _> = pairs.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        unsafe_yaml(&map)
    };
    vec![("given.yml", unsafe_yaml(&given)), ("vars.yml", own(usable.copied().collect())), ("secrets.yml", own(secret))]
}

/// The variables as YAML in which no text is a template, as AWX passes launch-time variables.
fn unsafe_yaml(vars: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_unsafe_map(vars, &mut out);
    out.push('\n');
    out
}

fn write_unsafe(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => {
            out.push_str("!unsafe ");
            write_yaml_text(text, out);
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_unsafe(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => write_unsafe_map(map, out),
        other => out.push_str(&python::dumps(other)),
    }
}

fn write_unsafe_map(map: &Map<String, Value>, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in map.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        write_yaml_text(name, out);
        out.push_str(": ");
        write_unsafe(value, out);
    }
    out.push('}');
}

/// A double-quoted YAML string. JSON's would nearly do, but YAML knows no surrogate pairs.
fn write_yaml_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            other => out.push_str(&format!("\\U{:08x}", u32::from(other))),
        }
    }
    out.push('"');
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_marked_so_that_jinja_stays_text() {
        let vars = json!({"a": "{{ 1 + 1 }}", "b": [true, {"c": "d"}]});
        assert_eq!(
            unsafe_yaml(vars.as_object().unwrap()),
            "{\"a\": !unsafe \"{{ 1 + 1 }}\", \"b\": [true, {\"c\": !unsafe \"d\"}]}\n"
        );
    }
}
