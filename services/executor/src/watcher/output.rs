//! Keeping what a run prints, up to a limit.

use std::str::FromStr as _;
use std::time::Duration;

use runwarden_kit::{Error, Result};

use super::follow::Follower;
use crate::awx::{AwxError, Client, OutputCursor};
use crate::job::{Job, Run};
use crate::store::Effects;

/// How much is read at once.
const PIECE: usize = 256 * 1024;
/// How long to wait for room to read the last of a run's output.
const ROOM_LIMIT: Duration = Duration::from_secs(120);
/// How many pieces one look reads, so that one talkative run does not hold up the others.
const PIECES: usize = 64;

impl Follower {
    /// Reads what a run printed since the last time. `complete` reads to the end. True if there was something new.
    pub(super) async fn read_output(&self, client: &Client, job: &Job, run: &Run, complete: bool) -> Result<bool> {
        let mut cursor = OutputCursor::from_str(&job.output_cursor).map_err(Error::internal)?;
        let mut kept = job.output_bytes;
        let mut changed = false;
        for _ in 0..PIECES {
            if kept >= self.output_limit {
                break;
            }
            let read = match client.output(run.to_ref(), &cursor, complete, PIECE).await {
                Ok(read) => read,
                // That there is no room for it now is no reason to lose what a run printed.
                Err(AwxError::Busy) if !self.waited_for_room(job) => return Err(AwxError::Busy.into()),
                Err(error) => {
                    tracing::warn!(job = job.id, %error, "output could not be read");
                    if complete {
                        // The job is about to end: whoever reads its output must know that some is missing.
                        self.mark_incomplete(&job.id).await?;
                    }
                    break;
                }
            };
            if read.text.is_empty() && read.cursor == cursor {
                break;
            }
            let mut text = read.text;
            // AWX takes NUL for what it is; our stores and callers do not.
            text.retain(|c| c != '\0');
            let room = usize::try_from(self.output_limit - kept).unwrap_or(usize::MAX);
            let truncated = text.len() > room;
            if truncated {
                let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                text.truncate(end);
            }
            kept += text.len() as u64;
            changed |= !text.is_empty();
            let (position, full) = (read.cursor.to_string(), kept >= self.output_limit);
            let before = job_position(&cursor);
            let change = move |job: &mut Job, _| {
                // Another replica was faster: what it wrote stands.
                if job.output_cursor != before && !(job.output_cursor.is_empty() && before == EMPTY) {
                    return Ok(None);
                }
                job.output_cursor = position;
                job.output_truncated |= truncated || full;
                Ok(Some(Effects { output: Some(text), ..Effects::default() }))
            };
            self.store.update(&job.id, self.clock.now(), Box::new(change)).await?;
            self.live.ring(&job.id);
            cursor = read.cursor;
            if !read.more {
                break;
            }
        }
        Ok(changed)
    }

    fn waited_for_room(&self, job: &Job) -> bool {
        let now = self.clock.now();
        job.ended_since.is_some_and(|since| now.since(since) >= ROOM_LIMIT)
    }

    async fn mark_incomplete(&self, job: &str) -> Result<()> {
        let change = |job: &mut Job, _| {
            job.output_incomplete = true;
            Ok(Some(Effects::default()))
        };
        self.store.update(job, self.clock.now(), Box::new(change)).await.map(drop)
    }
}

/// A cursor at the beginning, as it is written.
const EMPTY: &str = r#"{"line":0,"nodes":[]}"#;

fn job_position(cursor: &OutputCursor) -> String {
    cursor.to_string()
}
