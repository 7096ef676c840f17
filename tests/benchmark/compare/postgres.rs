//! PostgreSQL for the old design, on data of its own, reached by a socket in a private folder only.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use runwarden_harness::until_within;
use tempfile::TempDir;

use crate::load;
use crate::usage::Usage;

/// PostgreSQL does not run as root: root starts it as nobody.
const NOBODY: u32 = 65534;

/// A running server.
pub(super) struct Postgres {
    process: Child,
    programs: PathBuf,
    // Last: the server ends first.
    folder: TempDir,
}

/// The folder of the server's programs.
pub(super) fn find() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    load::program("initdb", &folders)?.canonicalize().ok()?.parent().map(Path::to_owned)
}

impl Postgres {
    /// Makes a database and starts its server.
    pub(super) async fn start(programs: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may give it away");
        }
        let data = folder.path().join("data");
        let done = as_user(&programs.join("initdb"), folder.path())
            .args(["--username=old", "--auth=trust", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(done.expect("initdb runs").success(), "initdb failed");
        let socket = format!("unix_socket_directories={}", folder.path().display());
        // Every commit is on disk before it is answered, as by default; the rest is what its manual advises.
        let settings =
            ["listen_addresses=", &socket, "shared_buffers=256MB", "max_wal_size=4GB", "log_min_messages=error"];
        let process = as_user(&programs.join("postgres"), folder.path())
            .arg("-D")
            .arg(&data)
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres starts");
        let server = Self { process, programs: programs.to_owned(), folder };
        let ready = async || server.sql("SELECT 1").map(drop);
        until_within(Duration::from_secs(30), "PostgreSQL to answer", ready).await;
        server.sql(include_str!("old_design/schema.sql")).expect("its tables");
        server
    }

    /// How clients connect.
    pub(super) fn connection(&self) -> String {
        format!("host={} user=old dbname=postgres", self.folder.path().display())
    }

    /// How many jobs and audit records there are.
    pub(super) async fn counts(&self) -> Vec<u64> {
        let text = self.sql("SELECT count(*) FROM jobs UNION ALL SELECT count(*) FROM audit_log").expect("two counts");
        text.lines().map(|line| line.trim().parse().expect("a count")).collect()
    }

    /// What it has used.
    pub(super) fn usage(&self) -> Usage {
        Usage::of(self.process.id())
    }

    /// How many transactions a second it does without anybody in front of it.
    pub(super) fn two_rows(&self, seconds: u64) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/benchmark/compare/old_design/two_rows.sql");
        let run = Command::new(self.programs.join("pgbench"))
            .args(["-n", "-M", "prepared", "-c", "16", "-j", "2", "-T", &seconds.to_string(), "-f"])
            .arg(script)
            .arg(self.connection())
            .output()
            .expect("pgbench runs");
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = "));
        rate.and_then(|line| line.split('.').next()).expect("a rate").to_owned()
    }

    fn sql(&self, sql: &str) -> Option<String> {
        let run = Command::new(self.programs.join("psql"))
            .args([&self.connection(), "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .stderr(Stdio::null())
            .output()
            .ok()?;
        run.status.success().then(|| String::from_utf8_lossy(&run.stdout).into_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The server ends at once on SIGQUIT, with all its children; its data is not wanted any more.
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _status = self.process.wait();
    }
}

/// A program of the server, as somebody who may run it.
fn as_user(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("HOME", folder).env("LC_ALL", "C");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
