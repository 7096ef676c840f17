//! How far a service saw each log. An attacker who restores older logs cannot restore what the services saw.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use runwarden_proto::audit::v1::LogHead;

/// What this service saw last of each log it appends to. Until something is [loaded](Seen::load) it keeps nothing: a
/// service without a store has no memory that would outlive it.
#[derive(Debug, Default)]
pub struct Seen(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    keeps: bool,
    heads: HashMap<String, LogHead>,
    unsaved: BTreeSet<String>,
}

/// Whether a log was further when it was seen as `one` than as `other`.
fn is_further(one: &LogHead, other: &LogHead) -> bool {
    (one.restores, one.size) > (other.restores, other.size)
}

/// Whether a log that was seen as `earlier` can be `now`, as far as that shows without a proof. The audit service
/// checks the proof; this catches one that does not.
pub(super) fn can_follow(earlier: &LogHead, now: &LogHead) -> bool {
    !is_further(earlier, now)
        && (earlier.restores != now.restores || earlier.size != now.size || earlier.root_hash == now.root_hash)
}

impl Seen {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with what was kept.
    pub fn load(&self, heads: Vec<LogHead>) {
        let mut inner = self.inner();
        inner.keeps = true;
        for head in heads {
            inner.heads.insert(head.tenant.clone(), head);
        }
    }

    /// What was seen of these tenants' logs; nothing of a log never seen.
    #[must_use]
    pub fn of<'a>(&self, tenants: impl IntoIterator<Item = &'a str>) -> Vec<LogHead> {
        let inner = self.inner();
        tenants.into_iter().filter_map(|tenant| inner.heads.get(tenant).cloned()).collect()
    }

    /// What was seen of all logs.
    #[must_use]
    pub fn all(&self) -> Vec<LogHead> {
        self.inner().heads.values().cloned().collect()
    }

    /// Takes notice of how logs are now. Answers may come out of order: the furthest counts.
    pub fn learn(&self, heads: &[LogHead]) {
        let mut inner = self.inner();
        if !inner.keeps {
            return;
        }
        for head in heads {
            if inner.heads.get(&head.tenant).is_none_or(|known| is_further(head, known)) {
                inner.heads.insert(head.tenant.clone(), head.clone());
                inner.unsaved.insert(head.tenant.clone());
            }
        }
    }

    /// At most so many heads that are not durable yet.
    #[must_use]
    pub fn unsaved(&self, limit: usize) -> Vec<LogHead> {
        let inner = self.inner();
        inner.unsaved.iter().take(limit).filter_map(|tenant| inner.heads.get(tenant).cloned()).collect()
    }

    /// These are durable now.
    pub fn saved(&self, heads: &[LogHead]) {
        let mut inner = self.inner();
        for head in heads {
            if inner.heads.get(&head.tenant) == Some(head) {
                inner.unsaved.remove(&head.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(restores: i64, size: i64, root: &str) -> LogHead {
        LogHead { tenant: "acme".into(), restores, size, root_hash: root.into(), verifier_key: String::new() }
    }

    #[test]
    fn the_furthest_counts_in_whatever_order_answers_come() {
        let seen = Seen::default();
        seen.learn(&[head(0, 1, "a")]);
        assert!(seen.all().is_empty(), "nobody would keep it");
        seen.load(Vec::new());
        for next in [head(0, 5, "e"), head(0, 3, "c"), head(1, 4, "d"), head(0, 9, "i")] {
            seen.learn(&[next]);
        }
        assert_eq!(seen.of(["acme", "other"]), [head(1, 4, "d")]);
        let unsaved = seen.unsaved(10);
        seen.learn(&[head(1, 6, "f")]);
        seen.saved(&unsaved);
        assert_eq!(seen.unsaved(10), [head(1, 6, "f")], "it went further while it was saved");
        seen.saved(&[head(1, 6, "f")]);
        assert!(seen.unsaved(10).is_empty());
    }

    #[test]
    fn a_log_only_grows() {
        let earlier = head(1, 5, "e");
        assert!(can_follow(&earlier, &head(1, 5, "e")));
        assert!(can_follow(&earlier, &head(1, 6, "f")));
        assert!(can_follow(&earlier, &head(2, 3, "c")), "an operator accepted a restored copy");
        assert!(!can_follow(&earlier, &head(1, 4, "d")));
        assert!(!can_follow(&earlier, &head(1, 5, "x")));
        assert!(!can_follow(&earlier, &head(0, 9, "i")));
    }
}
