//! What a workflow prints: its steps as they end, those of workflows inside it included, each with what it printed.

use super::{Client, JobRead, OutputCursor, OutputRead, Stage};
use crate::AwxError;
use crate::reading::Reading;
use crate::run::{RunKind, RunRef};
use crate::steps::{self, Step};

/// Shown under a step whose output is hidden.
const HIDDEN: &str = "[Runwarden: Runwarden's account is not allowed to read this step's output]\n";

impl Client {
    pub(super) async fn workflow_output(
        &self,
        reading: &Reading<'_>,
        run: RunRef,
        cursor: &OutputCursor,
        stage: Stage,
        budget: usize,
    ) -> Result<OutputRead, AwxError> {
        let mut out = OutputRead { cursor: cursor.clone(), ..OutputRead::default() };
        let found = steps::of_run(reading, run.id).await?;
        // A started step goes first: the output of two steps is not mixed.
        let (begun, rest): (Vec<&Step>, Vec<&Step>) =
            found.steps.iter().partition(|step| out.cursor.node == Some(step.node));
        for step in begun.into_iter().chain(rest) {
            let is_begun = out.cursor.node == Some(step.node);
            if out.cursor.nodes.contains(&step.node) && !is_begun {
                continue;
            }
            if out.text.len() >= budget || (!reading.has_room() && !out.text.is_empty()) {
                out.more = true;
                break;
            }
            let job = step.run.filter(|_| step.is_over() && step.kind == RunKind::Job.as_str());
            if !is_begun {
                match self.header(step, job, stage).await? {
                    Header::Told(line) => out.text.push_str(&line),
                    Header::NotYet => continue,
                    Header::ToCome => {
                        out.waits = true;
                        continue;
                    }
                }
                out.cursor.nodes.insert(step.node);
            }
            let Some(id) = job else { continue };
            let at = if is_begun { out.cursor.at.clone() } else { super::Position::default() };
            out.cursor.node = Some(step.node);
            let room = budget.saturating_sub(out.text.len()).max(1);
            let read = self.job_output(reading, RunRef { kind: RunKind::Job, id }, at, of_step(stage), room).await;
            let JobRead { at, text, more, waits, lacks } = match read {
                Ok(read) => read,
                Err(AwxError::Forbidden { .. } | AwxError::NotFound { .. }) => {
                    let (text, at) = (HIDDEN.to_owned(), super::Position::default());
                    JobRead { at, text, more: false, waits: false, lacks: true }
                }
                // What was read before is kept, and reading continues there.
                Err(_) if !out.text.is_empty() => {
                    out.more = true;
                    break;
                }
                Err(error) => return Err(error),
            };
            out.text.push_str(&text);
            out.cursor.at = at;
            out.lacks |= lacks;
            if more || waits {
                out.more = more;
                out.waits |= waits;
                break;
            }
            out.cursor.node = None;
            out.cursor.at = super::Position::default();
        }
        if found.cut && stage != Stage::Following && !out.more && !out.waits {
            out.lacks = true;
        }
        Ok(out)
    }

    /// The line that introduces a step, once there is something to show.
    async fn header(&self, step: &Step, job: Option<i64>, stage: Stage) -> Result<Header, AwxError> {
        let name = step.path();
        if step.is_skipped() {
            return Ok(Header::Told(format!("node {name}: skipped\n")));
        }
        let Some(run) = step.run else { return Ok(Header::NotYet) };
        if !step.is_over() {
            return Ok(match stage {
                Stage::Following => Header::NotYet,
                Stage::Ended => Header::ToCome,
                Stage::GivenUp { .. } => Header::Told(format!("node {name}: {} ({} {run})\n", step.status, step.kind)),
            });
        }
        if let Some(id) = job
            && !stage.is_given_up()
        {
            match self.events_finished(RunRef { kind: RunKind::Job, id }).await {
                Ok(false) => return Ok(Header::ToCome),
                // What can be read of it will be shown.
                Ok(true) | Err(AwxError::Forbidden { .. } | AwxError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let what = step.reason().map(|reason| format!(", {reason}")).unwrap_or_default();
        Ok(Header::Told(format!("node {name}: {} ({} {run}{what})\n", step.status, step.kind)))
    }
}

enum Header {
    Told(String),
    /// It has not ended.
    NotYet,
    /// It has, and what it printed is still arriving.
    ToCome,
}

/// A step has ended and its output has arrived, however far its workflow is.
fn of_step(stage: Stage) -> Stage {
    if stage == Stage::Following { Stage::Ended } else { stage }
}
