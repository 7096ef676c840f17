//! Jobs as the contract has them.

use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, Result};
use runwarden_proto::executor::v1 as wire;

use crate::job::{Attempt, AttemptState, Job, Origin};
use crate::wait::place::Place;

/// A job for callers: nothing of the run's id, the claim or sealed values.
impl TryFrom<&Job> for wire::Job {
    type Error = Error;

    fn try_from(job: &Job) -> Result<Self> {
        Ok(Self {
            id: job.id.clone(),
            tenant: job.tenant.to_string(),
            project: job.project.clone(),
            template: job.template.clone(),
            state: wire::JobState::from(job.state).into(),
            reason: job.reason.clone().unwrap_or_default(),
            reason_detail: job.reason_detail.clone().unwrap_or_default(),
            parameters_json: serde_json::to_string(&job.parameters).map_err(Error::internal)?,
            requested_by: job.requested_by.clone(),
            requested_by_name: job.requested_by_name.clone(),
            created_at: Some(job.created_at.to_proto()),
            launched_at: job.launched_at.map(Moment::to_proto),
            finished_at: job.finished_at.map(Moment::to_proto),
            outcome_json: job.outcome.as_ref().map(ToString::to_string).unwrap_or_default(),
            trace_id: job.trace_id.clone(),
            request_id: job.request_id.clone(),
            cancel_requested: job.cancel_requested,
            decision_id: job.decision_id.clone(),
            controller: job.controller.clone(),
            progress: job.progress.clone(),
            priority: wire::JobPriority::from(job.priority).into(),
            start_at: job.start_at.map(Moment::to_proto),
            start_by: job.start_by.map(Moment::to_proto),
            max_duration_seconds: job.max_duration_seconds,
            queue: None,
            output_truncated: job.output_truncated,
            output_incomplete: job.may_lack_output(),
            origin: job.origin.clone().map(Into::into),
        })
    }
}

impl From<Origin> for wire::JobOrigin {
    fn from(origin: Origin) -> Self {
        let Origin { hook, delivery, reference, callbacks } = origin;
        Self { hook, delivery, reference, callbacks }
    }
}

impl From<&Place> for wire::QueuePlace {
    fn from(place: &Place) -> Self {
        Self {
            position: i32::try_from(place.position).unwrap_or(i32::MAX),
            expected_start_at: place.expected_start_at.map(Moment::to_proto),
        }
    }
}

impl From<Attempt> for wire::Attempt {
    fn from(attempt: Attempt) -> Self {
        let (state, detail, run, candidates) = match attempt.state {
            AttemptState::Intent => (wire::AttemptState::Intent, String::new(), None, Vec::new()),
            AttemptState::Bound { run_id } => (wire::AttemptState::Bound, String::new(), Some(run_id), Vec::new()),
            AttemptState::NotLaunched { why } => (wire::AttemptState::NotLaunched, why, None, Vec::new()),
            AttemptState::Unresolved { why } => (wire::AttemptState::Unresolved, why, None, Vec::new()),
            AttemptState::Ambiguous { candidates } => (wire::AttemptState::Ambiguous, String::new(), None, candidates),
            AttemptState::GivenUp { why } => (wire::AttemptState::GivenUp, why, None, Vec::new()),
        };
        Self {
            number: i32::try_from(attempt.number).unwrap_or(i32::MAX),
            state: state.into(),
            detail,
            installation: attempt.installation.key(),
            controller_address: attempt.installation.address().to_owned(),
            controller_template_id: attempt.controller_template,
            account_id: attempt.account,
            sent_at: Some(attempt.sent_at.to_proto()),
            controller_time: attempt.controller_time.map(Moment::to_proto),
            marker: attempt.marker,
            marker_placement: attempt.placement,
            run_id: run.or(attempt.named).unwrap_or(0),
            candidates,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobState;
    use crate::job::tests::example;
    use serde_json::json;

    #[test]
    fn a_repeat_is_answered_like_the_first_request_whatever_became_of_the_job() {
        let accepted = example();
        let over = Job {
            state: JobState::Failed,
            reason: Some("lost".into()),
            reason_detail: Some("why".into()),
            launched_at: Some(accepted.created_at),
            finished_at: Some(accepted.created_at),
            outcome: Some(json!({"status": "failed"})),
            cancel_requested: true,
            progress: "running".into(),
            output_truncated: true,
            output_incomplete: true,
            ..accepted.clone()
        };
        let wire = |job: &Job| wire::Job::try_from(job).unwrap();
        assert_eq!(wire(&over.as_accepted()), wire(&accepted));
        // For a new field, decide here whether it can change over a job's life, and if so add it above too.
        #[rustfmt::skip]
        let wire::Job {
            id: _, tenant: _, project: _, template: _, controller: _, parameters_json: _, requested_by: _,
            requested_by_name: _, created_at: _, trace_id: _, request_id: _, decision_id: _, priority: _, start_at: _,
            start_by: _, max_duration_seconds: _, queue: _, origin: _,
            state, reason, reason_detail, launched_at, finished_at, outcome_json, cancel_requested, progress,
            output_truncated, output_incomplete,
        } = wire(&over);
        assert_ne!(state, i32::from(wire::JobState::from(accepted.state)));
        assert!(launched_at.is_some() && finished_at.is_some());
        assert!(cancel_requested && output_truncated && output_incomplete);
        assert!([reason, reason_detail, outcome_json, progress].iter().all(|text| !text.is_empty()));
    }

    #[test]
    fn every_state_survives_the_contract() {
        for one in JobState::ALL {
            assert_eq!(JobState::try_from(wire::JobState::from(*one)), Ok(*one));
        }
    }
}
