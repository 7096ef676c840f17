//! Whom the last commits of this process concerned.

use std::collections::{BTreeMap, BTreeSet};

use super::Concern;

/// How many commits are remembered. Watchers ask four times a second.
const REMEMBERED: usize = 4096;

/// Whom one or more commits concern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) everyone: bool,
    pub(super) tenants: BTreeSet<String>,
}

impl Changed {
    pub(super) fn add(&mut self, concern: Concern<'_>) {
        match concern {
            Concern::Nobody => {}
            Concern::Tenant(tenant) => {
                self.tenants.insert(tenant.to_owned());
            }
            Concern::Everyone => self.everyone = true,
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        !self.everyone && self.tenants.is_empty()
    }
}

/// The last commits by revision.
#[derive(Default)]
pub(super) struct History(BTreeMap<i64, Changed>);

impl History {
    pub(super) fn note(&mut self, revision: i64, changed: Changed) {
        self.0.insert(revision, changed);
        while self.0.len() > REMEMBERED {
            self.0.pop_first();
        }
    }

    /// Whom the commits after a revision, up to another, concern; none unless all of them are known.
    pub(super) fn between(&self, after: i64, head: i64) -> Option<Changed> {
        let mut all = Changed::default();
        if after == head {
            return Some(all);
        }
        // Back in time: it is another store.
        let count = usize::try_from(head.checked_sub(after)?).ok().filter(|count| *count <= REMEMBERED)?;
        let mut noted = 0;
        for (_, changed) in self.0.range(after.checked_add(1)?..=head) {
            all.everyone |= changed.everyone;
            all.tenants.extend(changed.tenants.iter().cloned());
            noted += 1;
        }
        (noted == count).then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tenants: &[&str]) -> Changed {
        Changed { everyone: false, tenants: tenants.iter().map(|tenant| (*tenant).to_owned()).collect() }
    }

    #[test]
    fn a_revision_that_was_not_noted_is_noticed() {
        let mut history = History::default();
        history.note(5, of(&["a"]));
        history.note(6, of(&[]));
        history.note(8, of(&["b"]));
        assert_eq!(history.between(4, 6), Some(of(&["a"])));
        assert_eq!(history.between(5, 6), Some(of(&[])));
        assert_eq!(history.between(8, 8), Some(of(&[])));
        assert_eq!(history.between(7, 8), Some(of(&["b"])));
        for (after, head) in [(3, 6), (5, 8), (6, 7), (8, 9), (8, 4), (i64::MIN, i64::MAX), (i64::MAX, i64::MIN)] {
            assert_eq!(history.between(after, head), None, "{after} {head}");
        }
        history.note(7, of(&["c"]));
        assert_eq!(history.between(4, 8), Some(of(&["a", "b", "c"])));
    }

    #[test]
    fn what_is_too_long_ago_is_not_known() {
        let mut history = History::default();
        let last = i64::try_from(REMEMBERED).unwrap() + 10;
        for revision in 1..=last {
            history.note(revision, of(&["a"]));
        }
        assert_eq!(history.0.len(), REMEMBERED);
        assert_eq!(history.between(10, last), Some(of(&["a"])));
        assert_eq!(history.between(9, last), None);
    }
}
