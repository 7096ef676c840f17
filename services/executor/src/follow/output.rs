//! Keeps a run's output, up to a limit: complete, or with a note in the text and a flag on the job that it is not.

use std::str::FromStr as _;
use std::time::Duration;

use runwarden_awx::{AwxError, Client, Ending, OutputCursor, OutputRead, RunKind, RunSummary, Stage};
use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, Result};

use super::follower::Follower;
use crate::job::{Job, Run};
use crate::store::Effects;

/// How much is read at once.
const PIECE: usize = 256 * 1024;
/// How many pieces one look reads, so that one talkative run does not hold up the others.
const PIECES: usize = 64;
/// How long to wait for the last of an output where little hope is: the controller lost the run, or does not let us
/// read it, or says that it has arrived and does not show it.
const LITTLE_HOPE: Duration = Duration::from_secs(10);
/// How long to wait for an output that is still arriving.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);
/// How long to try again to read the last of it.
const READ_WITHIN: Duration = Duration::from_secs(120);

/// What reading output came to.
#[derive(Debug)]
enum Reached {
    /// All there is for now, or, of a run that is over, all there is.
    End,
    /// There is more to read.
    More,
    /// Something is still to arrive.
    Waits,
    /// It could not be read.
    Failed(AwxError),
}

impl Follower {
    /// Reads what a running run printed since the last time. True if there was something new.
    pub(super) async fn read_output(&self, client: &Client, job: &Job, run: &Run) -> Result<bool> {
        self.read(client, job, run, Stage::Following).await.map(|(changed, _)| changed)
    }

    /// Reads the last of what a run that is over printed. Answers whether there was something new, and whether this is
    /// the end of it: what cannot be read is tried again for a while, and then the job is marked.
    pub(super) async fn read_last(
        &self,
        client: &Client,
        job: &Job,
        run: &Run,
        row: &RunSummary,
        ending: Ending,
        ended_since: Moment,
    ) -> Result<(bool, bool)> {
        if job.output_truncated {
            return Ok((false, true));
        }
        let waited = self.shared.clock.now().since(ended_since);
        let arrived = match row.run.kind {
            // Each of its steps is asked about by itself.
            RunKind::Workflow => true,
            RunKind::Job => client.events_finished(run.to_ref()).await.unwrap_or(false),
        };
        let patience = match (row.run.kind, arrived || ending == Ending::Lost) {
            (RunKind::Job, true) => LITTLE_HOPE,
            _ => ARRIVES_WITHIN,
        };
        let stage = match arrived {
            true => Stage::Ended,
            false if waited >= patience => Stage::GivenUp { arrived },
            false => Stage::Following,
        };
        let (mut changed, mut reached) = self.read(client, job, run, stage).await?;
        if matches!(reached, Reached::Waits) && waited >= patience {
            // A workflow's steps say by themselves whether theirs has arrived; they were waited for.
            let stage = Stage::GivenUp { arrived: row.run.kind == RunKind::Job };
            let job = self.shared.store.get(&job.tenant, &job.id).await?.unwrap_or_else(|| job.clone());
            let (more, then) = self.read(client, &job, run, stage).await?;
            (changed, reached) = (changed | more, then);
        }
        let done = match reached {
            Reached::End => stage != Stage::Following,
            Reached::More | Reached::Waits => false,
            Reached::Failed(error) => {
                let patience = if error.is_refusal() { LITTLE_HOPE } else { READ_WITHIN };
                let given_up = waited >= patience;
                if given_up {
                    self.mark_unread(&job.id, &error).await?;
                }
                given_up
            }
        };
        Ok((changed, done))
    }

    async fn read(&self, client: &Client, job: &Job, run: &Run, stage: Stage) -> Result<(bool, Reached)> {
        let mut cursor = OutputCursor::from_str(&job.output_cursor).map_err(Error::internal)?;
        let (mut kept, mut full) = (job.output_bytes, job.output_truncated);
        let mut changed = false;
        for _ in 0..PIECES {
            if full {
                return Ok((changed, Reached::End));
            }
            let read = match client.output(run.to_ref(), &cursor, stage, PIECE).await {
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(job = job.id, %error, "output could not be read");
                    return Ok((changed, Reached::Failed(error)));
                }
            };
            let OutputRead { mut text, cursor: next, more, waits, lacks } = read;
            if text.is_empty() && next == cursor && !lacks {
                let reached = match (more, waits) {
                    (true, _) => Reached::Failed(AwxError::Busy),
                    (false, true) => Reached::Waits,
                    (false, false) => Reached::End,
                };
                return Ok((changed, reached));
            }
            full = self.cut(&mut text, kept);
            kept += text.len() as u64;
            changed |= !text.is_empty();
            let (before, position, truncated) = (cursor.to_string(), next.to_string(), full);
            let change = |job: &mut Job, _, _| {
                // Whoever follows it was told that nothing comes after the end.
                if job.state.is_end() {
                    return Ok(None);
                }
                // Another replica was faster: what it wrote stands.
                if job.output_cursor != before && !(job.output_cursor.is_empty() && is_start(&before)) {
                    return Ok(None);
                }
                job.output_cursor.clone_from(&position);
                job.output_truncated |= truncated;
                job.output_incomplete |= lacks;
                Ok(Some(Effects { output: Some(text.clone()), ..Effects::default() }))
            };
            self.shared.change(&job.id, self.shared.clock.now(), None, &change).await?;
            cursor = next;
            if !more {
                return Ok((changed, if waits { Reached::Waits } else { Reached::End }));
            }
        }
        Ok((changed, Reached::More))
    }

    /// Cuts a text that does not fit any more, and says so in it. True if it was cut.
    fn cut(&self, text: &mut String, kept: u64) -> bool {
        let room = usize::try_from(self.output_limit.saturating_sub(kept)).unwrap_or(usize::MAX);
        if text.len() <= room {
            return false;
        }
        let word = format!(
            "[Runwarden: the output is cut here: the run printed more than the {} bytes that are kept]\n",
            self.output_limit
        );
        let room = room.saturating_sub(word.len() + 1);
        let end = (0..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        if !(text.is_empty() || text.ends_with('\n')) {
            text.push('\n');
        }
        text.push_str(&word);
        true
    }

    /// Nothing more of it can be read: readers must be told that some may be missing.
    async fn mark_unread(&self, job: &str, error: &AwxError) -> Result<()> {
        let word = format!("[Runwarden: the output ends here because the rest could not be read: {error}]\n");
        let change = |job: &mut Job, _, _| {
            if job.state.is_end() {
                return Ok(None);
            }
            if std::mem::replace(&mut job.output_incomplete, true) || job.output_truncated {
                return Ok(Some(Effects::default()));
            }
            Ok(Some(Effects { output: Some(word.clone()), ..Effects::default() }))
        };
        self.shared.change(job, self.shared.clock.now(), None, &change).await.map(drop)
    }
}

fn is_start(cursor: &str) -> bool {
    OutputCursor::default().to_string() == cursor
}
