//! What the contracts say between services, as several of them have it: written once, here.

use std::time::Duration;

use runwarden_proto::auth::v1::StandingLapse;
use runwarden_proto::project::v1 as project;
use serde::{Deserialize, Serialize};

crate::mirror! {
    /// The kind of a controller's template.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum TemplateKind = project::TemplateKind {
        /// A job template: one playbook.
        Job,
        /// A workflow job template: a graph of templates.
        Workflow,
    }
}

crate::mirror! {
    /// How a run learns which request it answers.
    #[derive(Default, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum RequestInfo = project::RequestInfo {
        /// It does not.
        #[default]
        None,
        /// By variables whose names begin with `runwarden_`.
        Variables,
        /// By labels on the controller's run.
        Labels,
    }
}

crate::mirror! {
    /// Why a client could no longer ask for what it asked for.
    pub enum Lapse = StandingLapse {
        /// It was deleted, or belongs to another principal.
        Gone,
        /// It is disabled.
        Disabled,
        /// It has expired.
        Expired,
        /// Its tenant, or the one that it asks in, is disabled or deleted.
        TenantClosed,
        /// It does not hold the permission there.
        NotPermitted,
    }
}

/// How many jobs may be begun in a period that slides along. Where there is no limit there is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many, from 1 to [`Rate::MOST_JOBS`].
    pub jobs: u32,
    /// How long the period is, in seconds, from 1 to [`Rate::LONGEST_PERIOD`].
    pub period_seconds: u32,
}

impl Rate {
    /// The most jobs in a period that can be asked for.
    pub const MOST_JOBS: u32 = 1_000_000;
    /// The longest period: seven days, in seconds.
    pub const LONGEST_PERIOD: u32 = 7 * 24 * 3600;

    /// A rate as a service sends it; none where that is no limit.
    #[must_use]
    pub fn of(rate: project::StartRate) -> Option<Self> {
        let jobs = u32::try_from(rate.jobs).ok().filter(|jobs| *jobs > 0)?;
        // A period that is too long to be kept is the longest that can be: it still limits.
        let period_seconds = u32::try_from(rate.period_seconds.clamp(0, i64::from(u32::MAX))).ok()?;
        (period_seconds > 0).then_some(Self { jobs, period_seconds })
    }

    /// How long the period is.
    #[must_use]
    pub fn period(self) -> Duration {
        Duration::from_secs(self.period_seconds.into())
    }
}

impl From<Rate> for project::StartRate {
    fn from(rate: Rate) -> Self {
        Self { jobs: i32::try_from(rate.jobs).unwrap_or(i32::MAX), period_seconds: rate.period_seconds.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_survives_the_contract_and_half_a_rate_is_no_limit() {
        let most = Rate { jobs: Rate::MOST_JOBS, period_seconds: Rate::LONGEST_PERIOD };
        for rate in [Rate { jobs: 1, period_seconds: 1 }, most] {
            assert_eq!(Rate::of(rate.into()), Some(rate));
        }
        for (jobs, period_seconds) in [(0, 0), (0, 60), (1, 0), (-1, 60), (1, -60)] {
            assert_eq!(Rate::of(project::StartRate { jobs, period_seconds }), None, "{jobs} in {period_seconds}");
        }
        let endless = Rate::of(project::StartRate { jobs: 1, period_seconds: i64::MAX });
        assert_eq!(endless, Some(Rate { jobs: 1, period_seconds: u32::MAX }), "it still limits");
    }

    #[test]
    fn names_are_those_that_are_stored() {
        for kind in TemplateKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(TemplateKind::named(kind.name()), Some(*kind));
        }
        assert_eq!(TemplateKind::named("Job"), None);
        assert_eq!(Lapse::TenantClosed.name(), "tenant_closed");
    }
}
