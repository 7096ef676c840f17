//! How many jobs may be started: of a template, on a controller, for a principal; at once and in a period.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use runwarden_kit::clock::Moment;
use runwarden_kit::contract::Rate;
use runwarden_kit::tenant::TenantId;

use crate::job::Job;

/// A limit of one scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// How many jobs may be launching or running at once; 0 for no limit.
    pub at_once: u32,
    /// How many may be started in a period.
    pub rate: Option<Rate>,
}

/// What limits the beginning of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitScope {
    /// Jobs of its template.
    Template,
    /// Jobs on its controller.
    Controller,
    /// Jobs of the one who asked.
    Principal,
}

impl LimitScope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Template, Self::Controller, Self::Principal];

    /// The name of the template, controller or principal with whose jobs this one counts.
    #[must_use]
    pub fn name_for(self, job: &Job) -> &str {
        match self {
            Self::Template => &job.template,
            Self::Controller => &job.controller,
            Self::Principal => &job.requested_by,
        }
    }

    /// What a job waits for that this limit holds back.
    #[must_use]
    pub const fn waits_for(self) -> &'static str {
        match self {
            Self::Template => "waiting: this template has reached its limit of jobs in progress",
            Self::Controller => "waiting: this controller has reached its limit of jobs in progress",
            Self::Principal => "waiting: this principal has reached its limit of jobs in progress",
        }
    }
}

/// All that limits the jobs of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the template.
    pub template: Limit,
    /// Of its controller.
    pub controller: Limit,
    /// Of each principal of the tenant.
    pub principal: Limit,
    /// The tenant's share of the launcher; at least 1.
    pub share: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { template: Limit::default(), controller: Limit::default(), principal: Limit::default(), share: 1 }
    }
}

impl Limits {
    /// The limit of a scope.
    #[must_use]
    pub const fn of(&self, scope: LimitScope) -> Limit {
        match scope {
            LimitScope::Template => self.template,
            LimitScope::Controller => self.controller,
            LimitScope::Principal => self.principal,
        }
    }
}

/// What is known of a scope, read in the same transaction as what depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// How many jobs are under way, the one in question left out.
    pub active: u32,
    /// When the oldest of the last `rate.jobs` beginnings was; none if there were not as many.
    pub nth_last_begun: Option<Moment>,
}

impl Limit {
    /// Until when nothing more may be started; `None` if something may. A limit of jobs at once ends whenever one of
    /// them does, which is reported as now.
    #[must_use]
    pub fn full_until(&self, usage: &Usage, now: Moment) -> Option<Moment> {
        let at_once = (self.at_once > 0 && usage.active >= self.at_once).then_some(now);
        let rate = self.rate.and_then(|rate| {
            let free = usage.nth_last_begun?.plus(rate.period());
            (free > now).then_some(free)
        });
        at_once.max(rate)
    }
}

/// The last known limits of templates. An unknown one does not limit; beginning an attempt checks what is true then, so
/// that being late here only costs a look.
#[derive(Default)]
pub struct Known(Mutex<HashMap<(TenantId, String), Seen>>);

#[derive(Clone, Copy, Default)]
struct Seen {
    limits: Limits,
    unmarked: bool,
}

impl Known {
    /// Remembers.
    pub fn learn(&self, tenant: &TenantId, template: &str, limits: Limits) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((tenant.clone(), template.to_owned())).or_default().limits = limits;
    }

    /// Remembers whether launches of a template can carry a marker. Those that cannot are made one by one.
    pub fn marks(&self, tenant: &TenantId, template: &str, marked: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((tenant.clone(), template.to_owned())).or_default().unmarked = !marked;
    }

    /// Whether launches of a template are made one by one.
    #[must_use]
    pub fn one_by_one(&self, tenant: &TenantId, template: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(tenant.clone(), template.to_owned())).is_some_and(|seen| seen.unmarked)
    }

    /// What limits a template.
    #[must_use]
    pub fn of(&self, tenant: &TenantId, template: &str) -> Limits {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(tenant.clone(), template.to_owned())).map(|seen| seen.limits).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: u64) -> Moment {
        Moment::from_micros(0).plus(Duration::from_secs(second))
    }

    #[test]
    fn no_limit_never_fills() {
        let usage = Usage { active: u32::MAX, nth_last_begun: Some(at(100)) };
        assert_eq!(Limit::default().full_until(&usage, at(100)), None);
    }

    #[test]
    fn jobs_at_once_are_limited_until_one_ends() {
        let limit = Limit { at_once: 2, rate: None };
        assert_eq!(limit.full_until(&Usage { active: 1, nth_last_begun: None }, at(5)), None);
        assert_eq!(limit.full_until(&Usage { active: 2, nth_last_begun: None }, at(5)), Some(at(5)));
    }

    #[test]
    fn beginnings_in_a_period_are_limited_until_the_oldest_leaves_it() {
        let limit = Limit { at_once: 0, rate: Some(Rate { jobs: 3, period_seconds: 60 }) };
        let usage = |begun| Usage { active: 0, nth_last_begun: begun };
        assert_eq!(limit.full_until(&usage(None), at(100)), None);
        assert_eq!(limit.full_until(&usage(Some(at(70))), at(100)), Some(at(130)));
        assert_eq!(limit.full_until(&usage(Some(at(40))), at(100)), None);
    }
}
