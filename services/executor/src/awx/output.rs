//! What a run printed, piece by piece.
//!
//! While a job runs its events are read: each says which lines it holds, and only an unbroken sequence of them is
//! taken, for AWX stores them out of order. When it is over its stdout is read. Of more than 1 MiB AWX gives that as a
//! download only: then its events are read as far as they go, and the rest is downloaded. A workflow prints nothing
//! itself: what is told of it are its steps, each with what it printed.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ansi::{plain, skip_lines};
use super::http::Query;
use super::list::List;
use super::nodes::{self, Node};
use super::reading::Reading;
use super::run::{RunKind, RunRef};
use super::tree::{self, Picked, Wanted};
use super::{AwxError, Client, read};

/// How many pages of events one reading may take.
const MOST_PAGES: usize = 25;
/// What AWX answers in place of an output it finds too large to show.
const TOO_LARGE: &str = "Standard Output too large to display (";

/// How far a run's output has been read, to be kept as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputCursor {
    /// The next line of a job.
    line: u64,
    /// The steps of a workflow that were told.
    nodes: BTreeSet<i64>,
}

impl std::fmt::Display for OutputCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| std::fmt::Error)?;
        f.write_str(&text)
    }
}

impl FromStr for OutputCursor {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Ok(Self::default()) } else { serde_json::from_str(text) }
    }
}

/// A piece of output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputRead {
    /// The text, without escape sequences, whole lines.
    pub text: String,
    /// Where to go on.
    pub cursor: OutputCursor,
    /// Whether there is more than the budget allowed to take; read again from the cursor for it.
    pub more: bool,
}

impl Client {
    /// Reads what a run printed since the cursor, up to about `budget` bytes. Say `ended` once the run is over and
    /// [`Client::events_finished`] (or has not for too long): then also what its events lack is read.
    pub async fn output(
        &self,
        run: RunRef,
        cursor: &OutputCursor,
        ended: bool,
        budget: usize,
    ) -> Result<OutputRead, AwxError> {
        let reading = self.http.reading();
        match (run.kind, ended) {
            (RunKind::Job, false) => read_events(&reading, run, cursor.line, budget).await,
            (RunKind::Job, true) => self.read_stdout(&reading, run, cursor.line, budget).await,
            (RunKind::Workflow, _) => self.read_nodes(&reading, run, cursor, budget).await,
        }
    }

    async fn read_stdout(
        &self,
        reading: &Reading<'_>,
        run: RunRef,
        line: u64,
        budget: usize,
    ) -> Result<OutputRead, AwxError> {
        let query: Query = vec![("format", "json".into()), ("start_line", line.to_string())];
        let answer = reading.look(&run.path().then("stdout"), &query, tree::read).await?;
        let content =
            answer.get("content").and_then(Value::as_str).ok_or_else(|| AwxError::bad("output without content"))?;
        if content.starts_with(TOO_LARGE) {
            // A download begins at the beginning each time, so it is left to what events cannot tell any more.
            if let Ok(read) = read_events(reading, run, line, budget).await
                && read.cursor.line > line
            {
                return Ok(OutputRead { more: true, ..read });
            }
            return self.read_download(run, line, budget).await;
        }
        let mut taken = Taken { line, text: String::new(), budget };
        taken.lines(content);
        Ok(taken.done())
    }

    async fn read_download(&self, run: RunRef, line: u64, budget: usize) -> Result<OutputRead, AwxError> {
        let query: Query = vec![("format", "txt_download".into())];
        let mut response = self.http.download(&run.path().then("stdout"), &query).await?;
        let mut skip = line;
        let mut taken = Taken { line, text: String::new(), budget };
        let mut pending: Vec<u8> = Vec::new();
        let mut read = 0;
        let limit = self.http.limits().download_bytes;
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) if error.is_timeout() => return Err(AwxError::Timeout),
                Err(_) => return Err(AwxError::bad("it broke off in the middle")),
            };
            read += chunk.len();
            if read > limit {
                return Err(AwxError::TooLarge { limit });
            }
            for &byte in chunk.iter() {
                if skip > 0 {
                    skip -= u64::from(byte == b'\n');
                    continue;
                }
                pending.push(byte);
                if byte == b'\n' {
                    let fits = taken.lines(&String::from_utf8_lossy(&pending));
                    pending.clear();
                    if !fits {
                        return Ok(taken.done());
                    }
                }
            }
            // One endless line is no reason to keep all of it.
            if pending.len() > budget {
                break;
            }
        }
        taken.lines(&String::from_utf8_lossy(&pending));
        Ok(taken.done())
    }

    async fn read_nodes(
        &self,
        reading: &Reading<'_>,
        run: RunRef,
        cursor: &OutputCursor,
        budget: usize,
    ) -> Result<OutputRead, AwxError> {
        let mut out = OutputRead { cursor: cursor.clone(), ..OutputRead::default() };
        let nodes = nodes::of_run(reading, run.id).await?;
        for node in nodes {
            if out.cursor.nodes.contains(&node.id) {
                continue;
            }
            if !reading.has_room() && !out.text.is_empty() {
                out.more = true;
                break;
            }
            let room = budget.saturating_sub(out.text.len());
            let Some(told) = self.tell_node(reading, &node, room).await? else {
                continue;
            };
            if !out.text.is_empty() && out.text.len() + told.len() > budget {
                out.more = true;
                break;
            }
            out.text.push_str(&told);
            out.cursor.nodes.insert(node.id);
        }
        Ok(out)
    }

    /// What is told of a step once it is over; `None` before.
    async fn tell_node(&self, reading: &Reading<'_>, node: &Node, budget: usize) -> Result<Option<String>, AwxError> {
        let Some(job) = &node.job else {
            return Ok(node.skipped.then(|| format!("node {}: skipped\n", node.name)));
        };
        if !job.is_over() {
            return Ok(None);
        }
        let mut told = format!("node {}: {} ({} {})\n", node.name, job.status, job.kind, job.id);
        if job.kind == RunKind::Job.as_str() {
            let run = RunRef { kind: RunKind::Job, id: job.id };
            match self.read_stdout(reading, run, 0, budget).await {
                Ok(printed) => {
                    told.push_str(&printed.text);
                    if printed.more {
                        told.push_str("(cut: it printed more)\n");
                    }
                }
                Err(AwxError::Forbidden { .. } | AwxError::NotFound { .. }) => {
                    told.push_str("(Runwarden's account may not read what it printed)\n");
                }
                Err(AwxError::TooLarge { .. }) => told.push_str("(it printed more than can be shown)\n"),
                Err(other) => return Err(other),
            }
        }
        Ok(Some(told))
    }
}

async fn read_events(reading: &Reading<'_>, run: RunRef, line: u64, budget: usize) -> Result<OutputRead, AwxError> {
    let mut taken = Taken { line, text: String::new(), budget };
    for _ in 0..MOST_PAGES {
        let before = taken.line;
        let query: Query = vec![
            ("end_line__gt", before.to_string()),
            ("order_by", "start_line".into()),
            ("no_truncate", "true".into()),
            ("page_size", "200".into()),
        ];
        let path = run.path().then("job_events");
        let list: List<Picked<OfEvent>> = reading.look(&path, &query, List::read).await?;
        let whole = list.rows().iter().all(|event| taken.event(&event.row));
        if !whole || taken.line == before || !list.has_next() {
            break;
        }
        if !reading.has_room() {
            return Ok(OutputRead { more: true, ..taken.done() });
        }
    }
    Ok(taken.done())
}

/// A row of an event.
enum OfEvent {}

impl Wanted for OfEvent {
    fn wants(key: &str) -> bool {
        ["start_line", "end_line", "stdout"].contains(&key)
    }
}

/// Lines collected within a budget.
struct Taken {
    line: u64,
    text: String,
    budget: usize,
}

impl Taken {
    /// Takes an event's lines; `false` when one cannot go on after it: a gap before it, or the budget is used up.
    fn event(&mut self, event: &Value) -> bool {
        let bound = |key| read::integer(event, key).and_then(|line| u64::try_from(line).ok());
        let (Some(start), Some(end)) = (bound("start_line"), bound("end_line")) else {
            return true;
        };
        if end <= start || end <= self.line {
            return true;
        }
        if start > self.line {
            return false;
        }
        let stdout = read::text(event, "stdout");
        let fresh = skip_lines(&stdout, self.line - start);
        let already = self.line;
        let fits = self.lines(fresh);
        if fits {
            // The event knows how many lines it stands for, whatever its text looks like.
            self.line = end;
        } else if self.line > end {
            self.line = already.max(end);
        }
        fits
    }

    /// Takes lines of text while they fit; `false` when some did not.
    fn lines(&mut self, text: &str) -> bool {
        for line in text.split_inclusive('\n') {
            let shown = plain(line.strip_suffix('\n').unwrap_or(line));
            let shown = shown.trim_end_matches('\n');
            if self.text.len() + shown.len() + 1 > self.budget {
                // A line that fits nowhere is cut rather than waited for.
                if self.text.is_empty() && shown.len() + 1 > self.budget {
                    self.push(cut(shown, self.budget.saturating_sub(1)));
                    self.line += 1;
                }
                self.budget = 0;
                return false;
            }
            self.push(shown);
            self.line += 1;
        }
        true
    }

    fn push(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn done(self) -> OutputRead {
        OutputRead {
            text: self.text,
            cursor: OutputCursor { line: self.line, nodes: BTreeSet::new() },
            more: self.budget == 0,
        }
    }
}

fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
