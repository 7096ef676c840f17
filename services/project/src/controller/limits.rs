//! How much may run on a controller, whichever templates it comes from.

use runwarden_kit::Result;
use runwarden_kit::contract::Rate;
use serde::{Deserialize, Serialize};

use crate::limits::{Checks, GivenRate, MOST_CONCURRENT};

/// A controller's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
// Controllers that were stored before there were limits have none.
#[serde(default)]
pub struct ControllerLimits {
    /// How many jobs may be launching or running on it at once; 0 for no limit.
    pub max_concurrent: i32,
    /// How many jobs may be started on it in a period.
    pub rate: Option<Rate>,
}

/// What shall be set; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct ControllerLimitsUpdate {
    /// How many jobs may be launching or running on it at once.
    pub max_concurrent: Option<i32>,
    /// How many jobs may be started on it in a period.
    pub rate: Option<GivenRate>,
}

impl ControllerLimitsUpdate {
    /// Whether anything shall be set.
    pub(super) fn is_some(&self) -> bool {
        self.max_concurrent.is_some() || self.rate.is_some()
    }
}

impl ControllerLimits {
    /// Sets what is given, or says all that is wrong with it.
    pub(super) fn set(&mut self, update: &ControllerLimitsUpdate) -> Result<()> {
        let mut checks = Checks::default();
        checks.number(
            &mut self.max_concurrent,
            update.max_concurrent,
            "/max_concurrent",
            &(0..=MOST_CONCURRENT),
            Some("no limit"),
        );
        checks.rate(&mut self.rate, update.rate, "/rate");
        checks.done()
    }
}
