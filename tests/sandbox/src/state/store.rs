//! What survives a restart: `state.json` written whole and atomically, and one file of events a job.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::State;
use super::job::Event;

/// A directory of the sandbox's own.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens or creates the directory, for its owner only: it holds passwords in clear.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir.join("events"))
            .with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The state of the last run, if there was one.
    pub(crate) fn load(&self) -> anyhow::Result<Option<State>> {
        let path = self.dir.join("state.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let mut state: State = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is not the state of a sandbox", path.display()))?;
        for job in state.jobs.values_mut() {
            job.events = self.events(job.id);
            job.lines = job.events.iter().map(|e| e.end_line).max().unwrap_or(0);
            job.counter = job.events.iter().map(|e| e.counter).max().unwrap_or(0);
            state.last_event = state.last_event.max(job.events.iter().map(|e| e.id).max().unwrap_or(0));
        }
        Ok(Some(state))
    }

    /// Replaces `state.json`; a crash leaves either the old or the new one.
    pub(crate) fn save(&self, json: &[u8]) -> std::io::Result<()> {
        let fresh = self.dir.join("state.json.new");
        let mut file = private().truncate(true).open(&fresh)?;
        file.write_all(json)?;
        file.sync_all()?;
        fs::rename(&fresh, self.dir.join("state.json"))?;
        fs::File::open(&self.dir)?.sync_all()
    }

    /// Adds events to a job's file.
    pub(crate) fn append(&self, job: u64, event: &Event) -> std::io::Result<()> {
        let path = self.event_file(job);
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        private().append(true).open(&path)?.write_all(&line)
    }

    /// Forgets a deleted job's events.
    pub(crate) fn forget(&self, job: u64) {
        if let Err(error) = fs::remove_file(self.event_file(job))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(job, %error, "cannot remove the events of a deleted job");
        }
    }

    fn events(&self, job: u64) -> Vec<Event> {
        let text = fs::read_to_string(self.event_file(job)).unwrap_or_default();
        // A line cut off by a crash is the last one and is left out.
        text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
    }

    fn event_file(&self, job: u64) -> PathBuf {
        self.dir.join("events").join(format!("{job}.jsonl"))
    }
}

fn private() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}
