//! A run that should not be.

use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use serde::{Deserialize, Serialize};

use super::{AT_ONCE, Run};

/// A run that should not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stray {
    /// The tenant of the job.
    #[serde(deserialize_with = "runwarden_kit::tenant::stored")]
    pub tenant: TenantId,
    /// The job it was launched for.
    pub job: String,
    /// The attempt that launched it.
    pub attempt: u32,
    /// The controller, by Runwarden's name.
    pub controller: String,
    /// The run.
    pub run: Run,
    /// When it was found.
    pub found_at: Moment,
    /// When to look at it next. A column of its own.
    #[serde(skip, default = "at_once")]
    pub due_at: Moment,
    /// How often it was looked at.
    #[serde(default)]
    pub looks: u32,
}

fn at_once() -> Moment {
    AT_ONCE
}
