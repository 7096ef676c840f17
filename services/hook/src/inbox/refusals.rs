//! Requests that are refused: counted always, and recorded for hooks that exist, so few a minute that nobody can fill
//! the log with guesses. What a minute brings beyond that is recorded as a number.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

/// Refusals of one hook that are recorded one by one in a minute.
const ONE_BY_ONE: u32 = 10;
/// Hooks that are counted at a time. They all exist, so this many are under attack at once.
const MAX_COUNTED: usize = 10_000;

/// A hook, by tenant and name.
pub(crate) type Place = (TenantId, String);

/// What to record of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    /// This one.
    Record,
    /// Nothing now: it is in the number that follows.
    Count,
}

/// The refusals of a minute that were only counted, by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uncounted {
    /// The hook.
    pub(crate) hook: Place,
    /// How many, by reason.
    pub(crate) refusals: BTreeMap<&'static str, u64>,
}

struct Window {
    minute: i64,
    recorded: u32,
    counted: BTreeMap<&'static str, u64>,
}

/// Counts refusals by hook and minute.
#[derive(Default)]
pub(crate) struct Refusals {
    windows: Mutex<HashMap<Place, Window>>,
}

impl Refusals {
    /// Counts a refusal at a hook, and answers what to record of it.
    pub(crate) fn note(&self, hook: &Place, reason: &'static str, now: Moment) -> Tally {
        let minute = now.seconds().div_euclid(60);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MAX_COUNTED && !windows.contains_key(hook) {
            return Tally::Count;
        }
        let window = windows.entry(hook.clone()).or_insert(Window { minute, recorded: 0, counted: BTreeMap::new() });
        if window.minute < minute && window.counted.is_empty() {
            (window.minute, window.recorded) = (minute, 0);
        }
        if window.recorded < ONE_BY_ONE {
            window.recorded += 1;
            return Tally::Record;
        }
        *window.counted.entry(reason).or_default() += 1;
        Tally::Count
    }

    /// Takes out the minutes that are over, with what is still to be recorded of them.
    pub(crate) fn over(&self, now: Moment) -> Vec<Uncounted> {
        let minute = now.seconds().div_euclid(60);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut owed = Vec::new();
        windows.retain(|hook, window| {
            if window.minute >= minute {
                return true;
            }
            if !window.counted.is_empty() {
                owed.push(Uncounted { hook: hook.clone(), refusals: std::mem::take(&mut window.counted) });
            }
            false
        });
        owed
    }

    /// Returns what could not be recorded: it is tried again when this minute is over.
    pub(crate) fn put_back(&self, uncounted: Uncounted, now: Moment) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.seconds().div_euclid(60);
        let window = windows.entry(uncounted.hook).or_insert(Window { minute, recorded: 0, counted: BTreeMap::new() });
        for (reason, number) in uncounted.refusals {
            *window.counted.entry(reason).or_default() += number;
        }
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
        let (refusals, hook) = (Refusals::default(), (TenantId::trusted("acme"), "alerts".to_owned()));
        let recorded = (0..100).filter(|_| refusals.note(&hook, "signature_mismatch", at(30)) == Tally::Record);
        assert_eq!(recorded.count(), 10);
        assert_eq!(refusals.over(at(59)), []);
        let owed = refusals.over(at(60)).remove(0);
        assert_eq!(owed.refusals, BTreeMap::from([("signature_mismatch", 90)]));
        assert_eq!(refusals.note(&hook, "no_key", at(61)), Tally::Record);
        refusals.put_back(owed.clone(), at(62));
        assert_eq!(refusals.over(at(120)), [owed]);
        assert_eq!(refusals.over(at(180)), []);
    }
}
