//! What a run printed, piece by piece, to the byte or marked.
//!
//! There is one source: a job's events, in the order of their own counters, of which only an unbroken sequence is taken,
//! for AWX stores them out of order. When the job is over and all of them have been taken, they are compared with the
//! controller's own whole text, which is made for people and cannot be read back: it leaves out empty lines and doubles
//! backslashes. A workflow prints nothing itself: its output is its steps, each with what it printed.

mod events;
mod taking;
mod whole;
mod workflow;

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::reading::Reading;
use super::run::{RunKind, RunRef};
use super::{AwxError, Client};
use events::Stopped;
use taking::{Position, Taking};

/// Stands at the end of an output of which the controller's own text has something else.
const DIFFERS: &str = "[Runwarden: this output may be incomplete: it differs from the controller's own copy]\n";
/// Stands at the end of an output that was still arriving when it was given up.
const NOT_ALL: &str = "[Runwarden: this output may be incomplete: the controller never reported it complete]\n";

/// How far a run's output has been read, to be kept as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputCursor {
    /// The position in a job's events, or in those of the workflow step that is being read.
    #[serde(flatten)]
    at: Position,
    /// The steps of a workflow that were read, or are being read.
    nodes: BTreeSet<i64>,
    /// The step that is being read.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<i64>,
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

/// How far a run is, as far as reading its output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is running, or has ended and its output is still arriving.
    Following,
    /// It is over and its output has arrived.
    Ended,
    /// It is over, and nothing is waited for any more: what there is, is taken.
    GivenUp {
        /// Whether the controller says that its output has arrived.
        arrived: bool,
    },
}

impl Stage {
    fn is_given_up(self) -> bool {
        matches!(self, Self::GivenUp { .. })
    }
}

/// A piece of output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputRead {
    /// The text, without escape sequences and control characters. A piece ends within a line only if that is longer
    /// than the budget.
    pub text: String,
    /// Where to go on.
    pub cursor: OutputCursor,
    /// Whether there is more than the budget allowed to take; read again from the cursor for it.
    pub more: bool,
    /// Whether something is still to arrive, or to be the same as the controller's own text, before this is all.
    pub waits: bool,
    /// Whether something is missing that will not be read any more. The text says where.
    pub lacks: bool,
}

impl Client {
    /// Reads what a run printed since the cursor, up to about `budget` bytes.
    ///
    /// # Errors
    /// If the controller cannot be read. Nothing was lost: read again from the same cursor.
    pub async fn output(
        &self,
        run: RunRef,
        cursor: &OutputCursor,
        stage: Stage,
        budget: usize,
    ) -> Result<OutputRead, AwxError> {
        let reading = self.http.reading();
        match run.kind {
            RunKind::Job => {
                let read = self.job_output(&reading, run, cursor.at.clone(), stage, budget).await?;
                let cursor = OutputCursor { at: read.at, ..OutputCursor::default() };
                let JobRead { text, more, waits, lacks, .. } = read;
                Ok(OutputRead { text, cursor, more, waits, lacks })
            }
            RunKind::Workflow => self.workflow_output(&reading, run, cursor, stage, budget).await,
        }
    }

    /// Reads what a job printed, a run of its own or a step's.
    async fn job_output(
        &self,
        reading: &Reading<'_>,
        run: RunRef,
        at: Position,
        stage: Stage,
        budget: usize,
    ) -> Result<JobRead, AwxError> {
        let before = at.clone();
        let mut taking = Taking::from(at, budget, stage.is_given_up());
        let stopped = match events::take(reading, run, &mut taking).await {
            Ok(stopped) => stopped,
            // What came before it is there.
            Err(_) if !taking.text.is_empty() => Stopped::Within,
            Err(error) => return Err(error),
        };
        if stopped == Stopped::Within && taking.at == before {
            // As much as may be read was read, and nothing of it could be taken.
            return Err(AwxError::TooLarge { limit: self.http.limits().operation_bytes });
        }
        let (mut more, mut waits) = (stopped == Stopped::Within, false);
        // Compared once there is nothing else to take, so that a failure costs no text.
        if !more && stage != Stage::Following {
            if !taking.text.is_empty() {
                more = true;
            } else if stage == (Stage::GivenUp { arrived: false }) {
                taking.mark(NOT_ALL);
            } else if stage == Stage::Ended && stopped == Stopped::AtGap {
                waits = true;
            } else {
                let same = whole::has(&self.http, run, &taking.at.lines).await?;
                match stage {
                    _ if same => {}
                    Stage::GivenUp { .. } => taking.mark(DIFFERS),
                    Stage::Following | Stage::Ended => waits = true,
                }
            }
        }
        let Taking { at, text, lacks, .. } = taking;
        Ok(JobRead { at, text, more, waits, lacks })
    }
}

/// A piece of what a job printed.
struct JobRead {
    at: Position,
    text: String,
    more: bool,
    waits: bool,
    lacks: bool,
}
