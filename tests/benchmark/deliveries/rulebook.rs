//! `ansible-rulebook`, the field's own way from an event to a job.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use runwarden_harness::ports::Port;
use runwarden_harness::until_within;
use tempfile::TempDir;

use super::hook::KEY;
use crate::controller::Controller;
use crate::load;
use crate::stage::TEMPLATE;
use crate::usage::Usage;

/// How long it may take to listen: it starts a Java machine.
const START: Duration = Duration::from_secs(60);

/// How it carries out actions.
#[derive(Clone, Copy)]
pub(super) enum Strategy {
    /// One after the other: each waits for the end of the job before it. What it does unless told otherwise.
    Sequential,
    /// All at once.
    Parallel,
}

/// A running one.
pub(super) struct Rulebook {
    process: Child,
    port: Port,
    packages: PathBuf,
    controller: (String, String),
    strategy: Strategy,
    folder: TempDir,
}

/// Where its packages are, if there is a Java to run it with.
pub(super) fn find() -> Option<PathBuf> {
    load::program("java", &[])?;
    let folder = load::backends().join("python/rulebook");
    folder.join(".complete").is_file().then_some(folder)
}

impl Rulebook {
    /// Starts one that launches the template for each event of the main branch.
    pub(super) async fn start(packages: &Path, controller: &Controller, strategy: Strategy) -> Self {
        let port = Port::take();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut file = std::fs::File::create(folder.path().join("rulebook.yml")).expect("a file");
        file.write_all(rules(&port).as_bytes()).expect("a written file");
        let hosts = "all:\n  hosts:\n    localhost:\n      ansible_connection: local\n";
        std::fs::write(folder.path().join("inventory.yml"), hosts).expect("a written file");
        let (url, token) = controller.account();
        let controller = (url.to_owned(), token.to_owned());
        let process = begin(packages, &folder, &controller, strategy);
        let started = Self { process, port, packages: packages.to_owned(), controller, strategy, folder };
        started.listens().await;
        started
    }

    /// Kills it and starts it again.
    pub(super) async fn restart(&mut self) {
        self.kill();
        self.process = begin(&self.packages, &self.folder, &self.controller, self.strategy);
        self.listens().await;
    }

    async fn listens(&self) {
        let answers = async || TcpStream::connect(self.port.address()).ok();
        let _stream = until_within(START, "ansible-rulebook to listen", answers).await;
    }

    fn kill(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Where it takes events.
    pub(super) fn endpoint(&self) -> String {
        format!("{}/endpoint", self.url())
    }

    /// What it has used.
    pub(super) fn usage(&self) -> Usage {
        Usage::of(self.process.id())
    }
}

impl Drop for Rulebook {
    fn drop(&mut self) {
        self.kill();
    }
}

fn begin(packages: &Path, folder: &TempDir, controller: &(String, String), strategy: Strategy) -> Child {
    let programs = packages.join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(programs.clone()).chain(std::env::split_paths(&path)));
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.path().join("log")).expect("a log");
    let errors = log.try_clone().expect("a log");
    let strategy = match strategy {
        Strategy::Sequential => "sequential",
        Strategy::Parallel => "parallel",
    };
    let (url, token) = controller;
    Command::new(programs.join("ansible-rulebook"))
        .args(["-r", "rulebook.yml", "-i", "inventory.yml", "--execution-strategy", strategy])
        .args(["--controller-url", &format!("{url}/"), "--controller-token", token])
        .current_dir(folder.path())
        .env("PATH", path.expect("a search path"))
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .expect("ansible-rulebook starts")
}

fn rules(port: &Port) -> String {
    let address = port.address();
    format!(
        r#"- name: pushes
  hosts: all
  sources:
    - eda.builtin.webhook:
        host: {}
        port: {}
        token: {KEY}
  rules:
    - name: launch
      condition: event.payload.ref == "refs/heads/main"
      action:
        run_job_template:
          name: {TEMPLATE}
          organization: Default
          job_args:
            extra_vars:
              n: "{{{{ event.payload.n }}}}"
"#,
        address.ip(),
        address.port()
    )
}
