//! What a tenant gets of the launcher, and how much its principals may ask of it.

use runwarden_kit::Result;
use runwarden_kit::contract::Rate;
use serde::{Deserialize, Serialize};

use crate::limits::{Checks, GivenRate, MOST_CONCURRENT, MOST_QUEUED};

/// The largest share.
const MOST_SHARE: i32 = 100;

/// A tenant's share and limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
// Tenants that were stored before there were limits have none.
#[serde(default)]
pub struct TenantLimits {
    /// Its share of the launcher next to other tenants that wait.
    pub share: i32,
    /// How many of its jobs may wait at once; 0 for what the platform allows.
    pub max_queued: i32,
    /// How many jobs of one principal may be launching or running at once; 0 for no limit.
    pub principal_max_concurrent: i32,
    /// How many jobs of one principal may be started in a period.
    pub principal_rate: Option<Rate>,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self { share: 1, max_queued: 0, principal_max_concurrent: 0, principal_rate: None }
    }
}

/// What shall be set; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct TenantLimitsUpdate {
    /// Its share of the launcher.
    pub share: Option<i32>,
    /// How many of its jobs may wait at once.
    pub max_queued: Option<i32>,
    /// How many jobs of one principal may be launching or running at once.
    pub principal_max_concurrent: Option<i32>,
    /// How many jobs of one principal may be started in a period.
    pub principal_rate: Option<GivenRate>,
}

impl TenantLimits {
    /// Sets what is given, or says all that is wrong with it.
    pub(super) fn set(&mut self, update: &TenantLimitsUpdate) -> Result<()> {
        let mut checks = Checks::default();
        checks.number(&mut self.share, update.share, "/share", &(1..=MOST_SHARE), None);
        let platforms = Some("what the platform allows");
        checks.number(&mut self.max_queued, update.max_queued, "/max_queued", &(0..=MOST_QUEUED), platforms);
        checks.number(
            &mut self.principal_max_concurrent,
            update.principal_max_concurrent,
            "/principal_max_concurrent",
            &(0..=MOST_CONCURRENT),
            Some("no limit"),
        );
        checks.rate(&mut self.principal_rate, update.principal_rate, "/principal_rate");
        checks.done()
    }
}
