//! Jobs as the contract has them.

use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, Result};
use runwarden_proto::executor::v1 as wire;

use crate::job::Priority;
use crate::job::{Job, JobState};
use crate::wait::place::Place;

/// A job for callers: nothing of the run's id, the claim or sealed values.
pub(super) fn job(job: &Job) -> Result<wire::Job> {
    Ok(wire::Job {
        id: job.id.clone(),
        tenant: job.tenant.clone(),
        project: job.project.clone(),
        template: job.template.clone(),
        state: wire_state(job.state).into(),
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
        priority: wire_priority(job.priority).into(),
        start_at: job.start_at.map(Moment::to_proto),
        start_by: job.start_by.map(Moment::to_proto),
        max_duration_seconds: job.max_duration_seconds,
        queue: None,
        output_truncated: job.output_truncated,
        output_incomplete: job.may_lack_output(),
    })
}

fn wire_priority(priority: Priority) -> wire::JobPriority {
    match priority {
        Priority::Low => wire::JobPriority::Low,
        Priority::Normal => wire::JobPriority::Normal,
        Priority::High => wire::JobPriority::High,
    }
}

/// A priority that is asked for.
pub(super) fn priority(priority: wire::JobPriority) -> Priority {
    match priority {
        wire::JobPriority::Low => Priority::Low,
        wire::JobPriority::Unspecified | wire::JobPriority::Normal => Priority::Normal,
        wire::JobPriority::High => Priority::High,
    }
}

/// A place in the queue.
pub(super) fn place(place: &Place) -> wire::QueuePlace {
    wire::QueuePlace {
        position: i32::try_from(place.position).unwrap_or(i32::MAX),
        expected_start_at: place.expected_start_at.map(Moment::to_proto),
    }
}

fn wire_state(state: JobState) -> wire::JobState {
    match state {
        JobState::New => wire::JobState::New,
        JobState::AwaitingApproval => wire::JobState::AwaitingApproval,
        JobState::Launching => wire::JobState::Launching,
        JobState::Running => wire::JobState::Running,
        JobState::Succeeded => wire::JobState::Succeeded,
        JobState::Failed => wire::JobState::Failed,
        JobState::Canceled => wire::JobState::Canceled,
        JobState::Error => wire::JobState::Error,
        JobState::Unknown => wire::JobState::Unknown,
    }
}

/// A state from a filter.
pub(super) fn state(state: wire::JobState) -> Option<JobState> {
    match state {
        wire::JobState::Unspecified => None,
        wire::JobState::New => Some(JobState::New),
        wire::JobState::AwaitingApproval => Some(JobState::AwaitingApproval),
        wire::JobState::Launching => Some(JobState::Launching),
        wire::JobState::Running => Some(JobState::Running),
        wire::JobState::Succeeded => Some(JobState::Succeeded),
        wire::JobState::Failed => Some(JobState::Failed),
        wire::JobState::Canceled => Some(JobState::Canceled),
        wire::JobState::Error => Some(JobState::Error),
        wire::JobState::Unknown => Some(JobState::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(job(&over.as_accepted()).unwrap(), job(&accepted).unwrap());
        // For a new field, decide here whether it can change over a job's life, and if so add it above too.
        #[rustfmt::skip]
        let wire::Job {
            id: _, tenant: _, project: _, template: _, controller: _, parameters_json: _, requested_by: _,
            requested_by_name: _, created_at: _, trace_id: _, request_id: _, decision_id: _, priority: _, start_at: _,
            start_by: _, max_duration_seconds: _, queue: _,
            state, reason, reason_detail, launched_at, finished_at, outcome_json, cancel_requested, progress,
            output_truncated, output_incomplete,
        } = job(&over).unwrap();
        assert_ne!(state, i32::from(wire_state(accepted.state)));
        assert!(launched_at.is_some() && finished_at.is_some());
        assert!(cancel_requested && output_truncated && output_incomplete);
        assert!([reason, reason_detail, outcome_json, progress].iter().all(|text| !text.is_empty()));
    }

    #[test]
    fn every_state_survives_the_contract() {
        for one in JobState::ALL {
            assert_eq!(state(wire_state(*one)), Some(*one));
        }
    }
}
