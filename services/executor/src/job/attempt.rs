//! One try at launching a job.

use runwarden_awx::{Installation, MarkerPlacement};
use runwarden_kit::clock::Moment;
use serde::{Deserialize, Serialize};

use super::Told;

/// What is known of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum AttemptState {
    /// Durable before the request leaves; found after a crash it means the same as [`AttemptState::Unresolved`].
    Intent,
    /// It became this run.
    Bound {
        /// The run's id.
        run_id: i64,
    },
    /// Certainly nothing was launched.
    NotLaunched {
        /// Why not.
        why: String,
    },
    /// It may or may not have been launched, now or in a while.
    Unresolved {
        /// What happened.
        why: String,
    },
    /// Its result cannot be determined automatically: an operator must decide.
    Ambiguous {
        /// The ids of the runs that may be it.
        candidates: Vec<i64>,
    },
    /// An operator gave up on finding out what became of it.
    GivenUp {
        /// Why.
        why: String,
    },
}

/// One try at launching.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The job.
    pub job_id: String,
    /// Its number, from 1.
    pub number: u32,
    /// The installation it went to.
    pub installation: Installation,
    /// The id of the controller's template.
    pub controller_template: i64,
    /// Our account there.
    pub account: i64,
    /// What marks the run, where a place for it was found.
    pub marker: String,
    /// Where the marker was put: see [`MarkerPlacement::as_str`].
    pub placement: String,
    /// When the intent was written, just before the request left; by the clock of the executor that wrote it.
    pub sent_at: Moment,
    /// What the controller's clock showed just before that, if it was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller_time: Option<Moment>,
    /// The run named by the headers of an answer whose body never arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<i64>,
    /// Whether the controller let the marker through, if its answer showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker_took: Option<bool>,
    /// What the run is told about its request.
    #[serde(default, skip_serializing_if = "Told::is_nothing")]
    pub told: Told,
    /// What is known of it.
    pub state: AttemptState,
}

impl Attempt {
    /// Whether it is not known yet what became of it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.state {
            AttemptState::Intent | AttemptState::Unresolved { .. } | AttemptState::Ambiguous { .. } => true,
            AttemptState::Bound { .. } | AttemptState::NotLaunched { .. } | AttemptState::GivenUp { .. } => false,
        }
    }

    /// Where the marker was put.
    #[must_use]
    pub fn placement(&self) -> MarkerPlacement {
        MarkerPlacement::parse(&self.placement).unwrap_or(MarkerPlacement::None)
    }

    /// Whether the run it may have become can be identified by a marker.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.placement() != MarkerPlacement::None
    }
}
