//! A child process that cannot outlive its test.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::log::Log;
use crate::wait::until_within;

/// How long a process may take to say that it is ready.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end when asked to.
pub(crate) const STOP: Duration = Duration::from_secs(25);

/// What a process is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Please stop.
    Term,
    /// Ctrl-C.
    Interrupt,
    /// The power fails.
    Kill,
}

/// What a log may say at level ERROR.
#[derive(Clone, Default)]
pub struct Allowed(Arc<Mutex<Vec<String>>>);

impl Allowed {
    /// Lines with this in them are expected.
    pub fn allow(&self, part: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(part.to_owned());
    }

    pub(crate) fn covers(&self, line: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|part| line.contains(part.as_str()))
    }
}

/// A running program of ours.
pub struct Process {
    name: String,
    child: Child,
    log: Log,
    allowed: Allowed,
    judged: bool,
}

impl Process {
    /// Starts a program with these arguments and settings, and nothing else of this process's environment.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(program: &Path, arguments: &[&str], settings: &[(String, String)], allowed: Allowed) -> Self {
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        assert!(
            program.exists(),
            "{} is not built: run `cargo build --workspace --bins` before the end-to-end tests",
            program.display()
        );
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("RUST_BACKTRACE", "1")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let log = Log::default();
        if let Some(out) = child.stdout.take() {
            log.drain(out);
        }
        if let Some(err) = child.stderr.take() {
            log.drain(err);
        }
        Self { name, child, log, allowed, judged: true }
    }

    /// Leaves it to somebody else to look for what went wrong in its log.
    pub(crate) fn leave_judgement(&mut self) {
        self.judged = false;
    }

    /// The line in which it says that it is ready, once it has.
    pub(crate) fn is_ready(&self) -> Option<String> {
        self.log.find(&format!("{} is ready on", self.name))
    }

    /// How it ended; none while it runs.
    pub(crate) fn exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the line in which it says that it is ready.
    ///
    /// # Panics
    /// When it ends before, or takes too long.
    pub async fn ready(&mut self) -> String {
        let what = format!("{} to be ready", self.name);
        until_within(START, &what, async || {
            if let Some(line) = self.is_ready() {
                return Some(line);
            }
            assert!(self.is_running(), "{} ended before it was ready", self.name);
            None
        })
        .await
    }

    /// Tells it something.
    pub fn signal(&self, signal: Signal) {
        let signal = match signal {
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Interrupt => rustix::process::Signal::INT,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // An error is only that it has ended.
            let _gone = rustix::process::kill_process(pid, signal);
        }
    }

    /// The most memory it ever had, bytes; none where the system does not tell.
    #[must_use]
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes too long.
    pub async fn ended(&mut self) -> ExitStatus {
        let what = format!("{} to end", self.name);
        until_within(STOP, &what, async || self.exit()).await
    }

    /// Ends it this way, and checks that it went well as far as this way allows.
    ///
    /// # Panics
    /// When it was asked to stop and did not end well.
    pub async fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let status = self.ended().await;
        assert!(signal == Signal::Kill || status.success(), "{} was asked to stop and ended with {status}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::Kill);
        let _status = self.child.wait();
        if !self.judged {
            return;
        }
        let errors: Vec<String> = self.log.errors().into_iter().filter(|line| !self.allowed.covers(line)).collect();
        if std::thread::panicking() {
            eprintln!("--- the end of what {} wrote:\n{}", self.name, self.log.end());
            for error in errors {
                eprintln!("--- {} at level ERROR: {error}", self.name);
            }
        } else {
            assert!(errors.is_empty(), "{} logged what nobody expected:\n{}", self.name, errors.join("\n"));
        }
    }
}
