//! The service's side of one worker.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::ARGUMENT;
use super::frame;
use super::limits::WorkerLimits;
use super::message::{PROTOCOL, Reply, Request};

/// How long a program may take to become a worker.
const START: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No worker could be started: this installation is broken.
    #[error("no policy worker can be started")]
    Start(#[source] io::Error),
    /// All workers were busy for too long.
    #[error("all policy workers are busy")]
    Busy,
    /// The worker ended while it worked on this.
    #[error("the policy worker ended")]
    Died(#[source] io::Error),
    /// The worker took too long and was killed.
    #[error("the policy worker took too long")]
    TimedOut,
    /// The worker answered something else than it was asked.
    #[error("the policy worker answered out of turn")]
    OutOfTurn,
}

/// A running worker. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// How often it was asked.
    pub(super) asked: u32,
    /// The sets it was asked to prepare; it may have dropped some.
    pub(super) prepared: HashSet<String>,
}

impl Process {
    /// Starts a worker and waits until it is ready.
    pub(super) async fn start(command: &Path, limits: WorkerLimits) -> Result<Self, Trouble> {
        let mut child = Command::new(command)
            .arg(ARGUMENT)
            .args(limits.to_arguments())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // What a terminal or a service manager signals is the service: it ends its workers when they are done.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Trouble::Start)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Trouble::Start(io::ErrorKind::BrokenPipe.into()));
        };
        let mut process = Self { child, stdin, stdout, asked: 0, prepared: HashSet::new() };
        match process.within(START).await {
            Ok(Reply::Hello { protocol }) if protocol == PROTOCOL => Ok(process),
            Ok(_) => Err(Trouble::Start(io::Error::other("the program is not a policy worker of this version"))),
            Err(Trouble::Died(source)) => Err(Trouble::Start(source)),
            Err(trouble) => Err(Trouble::Start(io::Error::other(trouble))),
        }
    }

    /// Asks and waits so long for the answer. After any trouble the worker is of no use.
    pub(super) async fn ask(&mut self, request: &Request, limit: Duration) -> Result<Reply, Trouble> {
        self.asked = self.asked.saturating_add(1);
        let frame = frame::encode(request).map_err(Trouble::Died)?;
        let conversation = async {
            self.stdin.write_all(&frame).await?;
            self.stdin.flush().await?;
            frame::read_async(&mut self.stdout).await
        };
        let answer = timeout(limit, conversation).await;
        self.settle(answer).await
    }

    async fn within<T: DeserializeOwned>(&mut self, limit: Duration) -> Result<T, Trouble> {
        let answer = timeout(limit, frame::read_async(&mut self.stdout)).await;
        self.settle(answer).await
    }

    /// Kills the worker unless all went well, and waits until it is gone.
    async fn settle<T>(&mut self, answer: Result<io::Result<T>, tokio::time::error::Elapsed>) -> Result<T, Trouble> {
        let trouble = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(source)) => Trouble::Died(source),
            Err(_) => Trouble::TimedOut,
        };
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "a policy worker could not be killed");
        }
        Err(trouble)
    }

    /// Whether the process is still there.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}
