//! A job: one request to run a template, and where it stands. Its state never goes back and never leaves an end.
//!
//! Data and rules without effects. Every other room uses this one; it uses none.

use std::collections::BTreeSet;

use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

mod attempt;
mod origin;
mod priority;
mod queue;
pub mod reason;
mod run;
mod state;
mod stray;
mod told;

pub use attempt::{Attempt, AttemptState};
pub use origin::Origin;
pub use priority::{BEGUN, OUT, Priority};
pub use queue::Queue;
pub use run::{Bound, Run, moment, time_of};
pub use state::JobState;
pub use stray::Stray;
pub use told::Told;

/// Due by any executor's clock: clocks may differ, and work that can continue at once must not wait for the difference.
pub const AT_ONCE: Moment = Moment::from_micros(0);

/// A claim on a job by one worker. It lives in columns of its own, not in the job's document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Grows with every claim and every loss of one: a worker with an older number has lost the job.
    pub fence: i64,
    /// The executor that holds it; see [`crate::instance`].
    pub holder: Option<String>,
}

impl Lease {
    /// Lets go of the claim with this fence. True if it was still that one.
    pub fn release(&mut self, fence: i64) -> bool {
        self.fence == fence && self.holder.take().is_some()
    }
}

/// One request to run a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id, `job_…`.
    pub id: String,
    /// Its tenant.
    #[serde(deserialize_with = "runwarden_kit::tenant::stored")]
    pub tenant: TenantId,
    /// Its project.
    pub project: String,
    /// The template, by Runwarden's name.
    pub template: String,
    /// The controller, by Runwarden's name.
    pub controller: String,
    /// What of the template it was accepted under; it launches only while that still holds.
    pub launch_digest: String,
    /// Where it stands.
    pub state: JobState,
    /// Why, for programs.
    pub reason: Option<String>,
    /// Why, for people.
    pub reason_detail: Option<String>,
    /// The parameters, write-only ones as `{"set":true}`.
    pub parameters: Map<String, Value>,
    /// The write-only parameters, sealed, base64.
    pub sealed_parameters: Option<String>,
    /// The names of the sealed ones; none for a job that was accepted before they were kept.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub write_only: BTreeSet<String>,
    /// The digest of the request.
    pub payload_digest: String,
    /// Who asked: the principal.
    pub requested_by: String,
    /// Its name.
    pub requested_by_name: String,
    /// The OAuth client it used.
    pub client_id: String,
    /// What its token said beside that.
    #[serde(default)]
    pub asked_with: AskedWith,
    /// The request that submitted it.
    pub request_id: String,
    /// Its trace.
    pub trace_id: String,
    /// Where in its trace it was submitted, as a `traceparent`; its launches continue there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<String>,
    /// The decision that allowed it.
    pub decision_id: String,
    /// The policies behind the decision.
    pub policy_digest: String,
    /// What asked for it; none if nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// When it was accepted.
    pub created_at: Moment,
    /// When the controller answered the launch.
    pub launched_at: Option<Moment>,
    /// When it ended.
    pub finished_at: Option<Moment>,
    /// How the run ended.
    pub outcome: Option<Value>,
    /// The run it became.
    pub run: Option<Run>,
    /// Whether its cancellation was requested.
    #[serde(default)]
    pub cancel_requested: bool,
    /// Why Runwarden itself stops the run; becomes the job's reason at its end.
    #[serde(default)]
    pub condemned: Option<Condemned>,
    /// When the controller was last asked to stop the run.
    #[serde(default)]
    pub cancel_sent_at: Option<Moment>,
    /// What it waits for or what the controller says of it, for people.
    #[serde(default)]
    pub progress: String,
    /// When a worker should look at it next; none once it is bound or over. A column of its own.
    #[serde(skip)]
    pub due_at: Option<Moment>,
    /// Who works on it.
    #[serde(skip)]
    pub lease: Lease,
    /// Which of its tenant's waiting jobs goes first.
    #[serde(default)]
    pub priority: Priority,
    /// The earliest time to start it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Moment>,
    /// The latest time to start it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_by: Option<Moment>,
    /// When its first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Moment>,
    /// How many tries in a row could not reach what they needed; the pause between them grows with it.
    #[serde(default)]
    pub setbacks: u32,
    /// How many attempts there were.
    #[serde(default)]
    pub attempts: u32,
    /// Whether it is not known yet what became of the last one.
    #[serde(default)]
    pub attempt_open: bool,
    /// How far the output was read.
    #[serde(default)]
    pub output_cursor: String,
    /// How many bytes of output are kept.
    #[serde(default)]
    pub output_bytes: u64,
    /// Whether the run printed more than is kept.
    #[serde(default)]
    pub output_truncated: bool,
    /// Whether some of what the run printed could not be read.
    #[serde(default)]
    pub output_incomplete: bool,
    /// When the run was first missing on the controller.
    #[serde(default)]
    pub missing_since: Option<Moment>,
    /// Since when its controller hides the run from our account, so that nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_since: Option<Moment>,
    /// When the run was first seen over; its output may still be arriving.
    #[serde(default)]
    pub ended_since: Option<Moment>,
    /// The number of the last event.
    #[serde(default)]
    pub last_event: i64,
    /// How long the run may take, seconds; 0 for no limit.
    #[serde(default)]
    pub max_duration_seconds: i64,
}

/// What the token that a job was asked for with said, as far as its authority depends on it later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedWith {
    /// How the principal proved itself.
    pub authenticated_by: String,
    /// What the token permitted at the project: it may have been narrowed. Empty for a job that was accepted before this
    /// was kept: then whatever its client holds.
    pub permissions: BTreeSet<String>,
}

/// Why Runwarden stops a run by itself, and what the job ends as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemned {
    /// What the job ends as.
    pub state: JobState,
    /// Why, for programs.
    pub reason: String,
    /// Why, for people.
    pub detail: String,
}

impl Job {
    /// Moves on to another state.
    ///
    /// # Errors
    /// `INTERNAL` when the job may not go there: a bug, caught before it is stored.
    pub fn become_state(&mut self, next: JobState) -> Result<()> {
        if !self.state.may_become(next) {
            return Err(Error::internal(anyhow::anyhow!("{} may not go from {:?} to {next:?}", self.id, self.state)));
        }
        self.state = next;
        if next.is_end() || next == JobState::Unknown {
            self.due_at = None;
        }
        Ok(())
    }

    /// Its rank among waiting jobs: launches in flight go before jobs that were started, and those before the others,
    /// whatever its priority.
    #[must_use]
    pub const fn rank(&self) -> i64 {
        let begun = match (self.state, self.attempt_open) {
            (JobState::Launching, true) => OUT,
            (JobState::Launching, false) => BEGUN,
            _ => 0,
        };
        self.priority.rank() + begun
    }

    /// Whether a parameter of this name is among the sealed ones.
    #[must_use]
    pub fn is_sealed(&self, name: &str) -> bool {
        if self.write_only.is_empty() {
            return self.sealed_parameters.is_some() && self.parameters.get(name) == Some(&json!({"set": true}));
        }
        self.write_only.contains(name)
    }

    /// What it waits with.
    #[must_use]
    pub fn queue(&self) -> Queue {
        Queue { tenant: self.tenant.clone(), controller: self.controller.clone(), template: self.template.clone() }
    }

    /// Whether it is too late to begin it.
    #[must_use]
    pub fn has_expired(&self, now: Moment) -> bool {
        self.start_by.is_some_and(|by| now > by)
    }

    /// Makes it due at once, by any executor's clock.
    pub fn look_now(&mut self) {
        self.due_at = Some(AT_ONCE);
    }

    /// Ends it.
    ///
    /// # Errors
    /// As [`Job::become_state`].
    pub fn end(&mut self, state: JobState, at: Moment, why: Option<(&str, String)>) -> Result<()> {
        self.become_state(state)?;
        if let Some((reason, detail)) = why {
            self.reason = Some(reason.to_owned());
            self.reason_detail = Some(detail);
        }
        self.finished_at = Some(at);
        self.due_at = None;
        self.progress = String::new();
        Ok(())
    }

    /// Binds it to its run. From here on the watcher follows it.
    ///
    /// # Errors
    /// As [`Job::become_state`].
    pub fn bind(&mut self, run: Run, at: Moment) -> Result<()> {
        self.become_state(JobState::Running)?;
        self.run = Some(run);
        self.launched_at = Some(at);
        self.due_at = None;
        self.setbacks = 0;
        self.reason = None;
        self.reason_detail = None;
        self.progress = "pending".into();
        Ok(())
    }

    /// Asks for it to be stopped. A job that nothing was tried for yet is over at once.
    ///
    /// # Errors
    /// `JOB_FINISHED` when it is already over.
    pub fn request_cancel(&mut self, at: Moment) -> Result<()> {
        if self.state.is_end() {
            return Err(Error::new(
                ErrorReason::JobFinished,
                format!("The job has already ended: it {}.", self.state.in_words()),
            ));
        }
        self.cancel_requested = true;
        if matches!(self.state, JobState::New | JobState::AwaitingApproval) && self.attempts == 0 {
            self.end(
                JobState::Canceled,
                at,
                Some((reason::CANCELED_BY_CALLER, "It was cancelled before it was launched.".into())),
            )?;
        }
        Ok(())
    }

    /// Tries again later, after a pause that grows with each setback, up to a minute.
    pub fn set_back(&mut self, now: Moment, why: impl Into<String>) {
        let seconds = 1u64 << self.setbacks.min(6);
        self.setbacks = self.setbacks.saturating_add(1);
        self.due_at = Some(now.plus(std::time::Duration::from_secs(seconds.min(60))));
        self.progress = why.into();
    }

    /// Whether the run may have printed more than could be read: reading failed, or the run was lost while its playbook
    /// may have continued.
    #[must_use]
    pub fn may_lack_output(&self) -> bool {
        self.output_incomplete || self.reason.as_deref() == Some(reason::LOST)
    }

    /// The job as it was when it was accepted: the first answer to its request, for repeats.
    #[must_use]
    pub fn as_accepted(&self) -> Self {
        Self {
            state: JobState::New,
            reason: None,
            reason_detail: None,
            launched_at: None,
            finished_at: None,
            outcome: None,
            run: None,
            cancel_requested: false,
            progress: String::new(),
            output_truncated: false,
            output_incomplete: false,
            ..self.clone()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    pub(crate) fn example() -> Job {
        Job {
            id: runwarden_kit::id::new("job"),
            tenant: TenantId::trusted("acme"),
            project: "web".into(),
            template: "deploy".into(),
            controller: "awx".into(),
            launch_digest: "d".into(),
            state: JobState::New,
            reason: None,
            reason_detail: None,
            parameters: Map::new(),
            sealed_parameters: None,
            write_only: BTreeSet::new(),
            payload_digest: "p".into(),
            requested_by: "sa_1".into(),
            requested_by_name: "ci".into(),
            client_id: "client_1".into(),
            asked_with: AskedWith::default(),
            request_id: "req_1".into(),
            trace_id: "t".into(),
            trace_parent: None,
            decision_id: "dec_1".into(),
            policy_digest: "pd".into(),
            origin: None,
            created_at: Moment::from_micros(1),
            launched_at: None,
            finished_at: None,
            outcome: None,
            run: None,
            cancel_requested: false,
            condemned: None,
            cancel_sent_at: None,
            progress: String::new(),
            due_at: Some(Moment::from_micros(1)),
            lease: Lease::default(),
            priority: Priority::Normal,
            start_at: None,
            start_by: None,
            begun_at: None,
            setbacks: 0,
            attempts: 0,
            attempt_open: false,
            output_cursor: String::new(),
            output_bytes: 0,
            output_truncated: false,
            output_incomplete: false,
            missing_since: None,
            hidden_since: None,
            ended_since: None,
            last_event: 0,
            max_duration_seconds: 0,
        }
    }

    #[test]
    fn no_state_leads_out_of_an_end_and_none_leads_back() {
        for from in JobState::ALL {
            for to in JobState::ALL {
                if from.is_end() {
                    assert!(!from.may_become(*to), "{from:?} must not become {to:?}");
                }
                assert!(!from.may_become(*from), "{from:?} must not become itself");
            }
        }
        assert!(!JobState::Running.may_become(JobState::Launching));
        assert!(!JobState::Launching.may_become(JobState::New));
        assert!(!JobState::New.may_become(JobState::Running), "nothing runs that was not launched");
    }

    #[test]
    fn cancelling_ends_a_job_that_nothing_was_tried_for_and_only_marks_any_other() {
        let mut fresh = example();
        fresh.request_cancel(Moment::from_micros(5)).expect("a new job can be cancelled");
        assert_eq!((fresh.state, fresh.due_at), (JobState::Canceled, None));
        assert_eq!(
            fresh.request_cancel(Moment::from_micros(6)).expect_err("it is over").reason(),
            ErrorReason::JobFinished
        );
        let mut tried = example();
        tried.attempts = 1;
        tried.state = JobState::Launching;
        tried.request_cancel(Moment::from_micros(5)).expect("a launching job can be cancelled");
        assert_eq!((tried.state, tried.cancel_requested), (JobState::Launching, true));
    }

    #[test]
    fn pauses_grow_to_a_minute_and_no_further() {
        let (mut job, now) = (example(), Moment::from_micros(0));
        let pauses: Vec<u64> = (0..9)
            .map(|_| {
                job.set_back(now, "down");
                job.due_at.map_or(0, |due| due.since(now).as_secs())
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(Duration::from_secs(60), job.due_at.map(|d| d.since(now)).unwrap_or_default());
    }
}
