//! Refusals of clients that could not prove themselves: counted always, recorded for known clients, so few a
//! minute that nobody can fill the log with guesses.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

/// Refusals of one client that are recorded one by one in a minute; the rest of that minute is recorded as a number.
const ONE_BY_ONE: u32 = 10;

/// Clients that are counted at a time. They all exist, so this many are under attack at once.
const MAX_COUNTED: usize = 10_000;

/// Why a client was refused. A client that could not authenticate is never told which reason it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// There is no such client.
    Unknown,
    /// The secret is not one of its own.
    WrongSecret,
    /// It is switched off.
    Disabled,
    /// Its time is over.
    Expired,
    /// Its tenant is disabled. The only reason that is reported, since the client has authenticated.
    TenantDisabled,
}

impl Why {
    /// How records and metrics say it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_client",
            Self::WrongSecret => "wrong_secret",
            Self::Disabled => "client_disabled",
            Self::Expired => "client_expired",
            Self::TenantDisabled => "tenant_disabled",
        }
    }
}

/// What to record of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    /// This one.
    Record,
    /// Nothing now: it is in the number that follows.
    Count,
}

/// A past minute of a client, with the number of refusals that were only counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uncounted {
    /// The client.
    pub(crate) client_id: String,
    /// Its tenant.
    pub(crate) tenant: Option<TenantId>,
    /// How many refusals were not recorded one by one.
    pub(crate) refusals: u32,
}

struct Window {
    minute: i64,
    seen: u32,
    /// Refusals of earlier minutes that could not be recorded yet.
    owed: u32,
    tenant: Option<TenantId>,
}

/// Counts refusals by client and minute.
#[derive(Default)]
pub(crate) struct Refusals {
    windows: Mutex<HashMap<String, Window>>,
}

impl Refusals {
    /// Counts a refusal of a known client and returns what to record of it.
    pub(crate) fn note(&self, client_id: &str, tenant: Option<&TenantId>, now: Moment) -> Tally {
        let minute = now.seconds().div_euclid(60);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MAX_COUNTED && !windows.contains_key(client_id) {
            return Tally::Record;
        }
        let window =
            windows.entry(client_id.to_owned()).or_insert(Window { minute, seen: 0, owed: 0, tenant: tenant.cloned() });
        if window.minute < minute && window.uncounted() == 0 {
            // Nothing of the past minute is owed.
            window.minute = minute;
            window.seen = 0;
        }
        window.seen = window.seen.saturating_add(1);
        if window.seen <= ONE_BY_ONE { Tally::Record } else { Tally::Count }
    }

    /// Takes out the minutes that are over, with the refusals that are still to be recorded.
    pub(crate) fn over(&self, now: Moment) -> Vec<Uncounted> {
        let minute = now.seconds().div_euclid(60);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut owed = Vec::new();
        windows.retain(|client_id, window| {
            if window.minute >= minute {
                return true;
            }
            if window.uncounted() > 0 {
                owed.push(Uncounted {
                    client_id: client_id.clone(),
                    tenant: window.tenant.clone(),
                    refusals: window.uncounted(),
                });
            }
            false
        });
        owed
    }

    /// Returns what could not be recorded to the count; it is tried again when this minute is over.
    pub(crate) fn put_back(&self, uncounted: Uncounted, now: Moment) {
        let Uncounted { client_id, tenant, refusals } = uncounted;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.seconds().div_euclid(60);
        let window = windows.entry(client_id).or_insert(Window { minute, seen: 0, owed: 0, tenant });
        window.owed = window.owed.saturating_add(refusals);
    }
}

impl Window {
    /// How many refusals are still to be recorded.
    fn uncounted(&self) -> u32 {
        self.owed.saturating_add(self.seen.saturating_sub(ONE_BY_ONE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_flood_of_refusals_is_recorded_as_a_number() {
        let refusals = Refusals::default();
        let tallies: Vec<Tally> =
            (0..100).map(|_| refusals.note("client_1", Some(&TenantId::trusted("acme")), at(30))).collect();
        let recorded = tallies.iter().filter(|tally| **tally == Tally::Record).count();
        assert_eq!(recorded, 10);
        assert_eq!(refusals.over(at(59)), []);
        let owed = refusals.over(at(60));
        assert_eq!(owed.len(), 1);
        assert_eq!(owed[0].refusals, 90);
        assert_eq!(refusals.over(at(120)), []);
        assert_eq!(refusals.note("client_1", None, at(121)), Tally::Record);
    }

    #[test]
    fn what_is_put_back_is_owed_again_and_hides_nothing_that_comes_meanwhile() {
        let refusals = Refusals::default();
        let counted =
            (0..100).filter(|_| refusals.note("client_1", Some(&TenantId::trusted("acme")), at(30)) == Tally::Count);
        assert_eq!(counted.count(), 90);
        let owed = refusals.over(at(60)).remove(0);
        assert_eq!(refusals.note("client_1", Some(&TenantId::trusted("acme")), at(61)), Tally::Record);
        refusals.put_back(owed.clone(), at(62));
        assert_eq!(refusals.note("client_1", Some(&TenantId::trusted("acme")), at(63)), Tally::Record);
        assert_eq!(refusals.over(at(64)), []);
        assert_eq!(refusals.over(at(120)), [owed]);
        assert_eq!(refusals.over(at(180)), []);
    }

    #[test]
    fn a_few_refusals_a_minute_are_all_recorded() {
        let refusals = Refusals::default();
        for second in 0..60 {
            assert_eq!(refusals.note("client_1", None, at(second * 10)), Tally::Record);
        }
        assert_eq!(refusals.over(at(6000)), []);
    }
}
