//! A job's options beside its parameters: its priority, its schedule, and how long it may run.

use std::time::Duration;

use runwarden_kit::clock::Moment;
use runwarden_kit::limits::LONGEST_RUN_SECONDS;
use runwarden_kit::{Error, ErrorReason, FieldError, Result};
use serde_json::Value;

use crate::job::Job;
use crate::job::Priority;
use crate::ports::Template;

/// How far ahead a job may be scheduled.
const FARTHEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// When a job starts and with which priority; the default is at once, with normal priority, for as long as its template
/// allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Which of the tenant's waiting jobs goes first.
    pub priority: Priority,
    /// The earliest time to start it.
    pub start_at: Option<Moment>,
    /// The latest time to start it.
    pub start_by: Option<Moment>,
    /// How many seconds the run may take; 0 for the template's limit.
    pub max_duration_seconds: i64,
}

impl Options {
    /// Checks that the options are possible.
    pub(crate) fn check(&self, template: &Template, now: Moment) -> Result<()> {
        let mut wrong = Vec::new();
        let mut field = |pointer: &str, detail: String| {
            wrong.push(FieldError { pointer: pointer.to_owned(), detail });
        };
        if self.start_at.is_some_and(|at| at > now.plus(FARTHEST)) {
            field("/start_at", "must be at most 30 days ahead".into());
        }
        if self.start_by.is_some_and(|by| by <= now) {
            field("/start_by", "must be in the future".into());
        } else if self.start_by.zip(self.start_at).is_some_and(|(by, at)| by <= at) {
            field("/start_by", "must be after `start_at`".into());
        }
        let longest = match template.max_duration_seconds {
            0 => LONGEST_RUN_SECONDS,
            limited => limited,
        };
        if !(0..=longest).contains(&self.max_duration_seconds) {
            field("/max_duration_seconds", format!("must be 1 to {longest}, the longest the template allows"));
        }
        match wrong.as_slice() {
            [] => Ok(()),
            [first, ..] => {
                let detail = first.detail.clone();
                Err(Error::new(ErrorReason::ValidationFailed, detail).with_fields(wrong))
            }
        }
    }

    /// Applies them to a job.
    pub(crate) fn apply(self, job: Job, template: &Template) -> Job {
        let waits_from = self.start_at.map_or(job.created_at, |at| at.max(job.created_at));
        let by_template = u64::try_from(template.max_wait_seconds)
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(|seconds| waits_from.plus(Duration::from_secs(seconds)));
        Job {
            priority: self.priority,
            start_at: self.start_at,
            start_by: [self.start_by, by_template].into_iter().flatten().min(),
            max_duration_seconds: match self.max_duration_seconds {
                0 => job.max_duration_seconds,
                asked => asked,
            },
            due_at: self.start_at.filter(|at| *at > job.created_at).or(job.due_at),
            ..job
        }
    }

    /// Their part of the request's digest.
    pub(crate) fn digested(self) -> Value {
        serde_json::json!({
            "priority": self.priority.name(),
            "start_at": self.start_at.map(Moment::rfc3339),
            "start_by": self.start_by.map(Moment::rfc3339),
            "max_duration_seconds": self.max_duration_seconds,
        })
    }
}
