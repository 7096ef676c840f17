//! Moments at which an executor kills itself: around every durable step of a launch.

use std::fmt;

use crate::dice::Dice;

/// The setting that arms one.
const VARIABLE: &str = "RUNWARDEN_EXECUTOR_FAILPOINT";

/// Every failpoint, and at which of the times it is reached it may strike at the latest.
const ALL: &[(&str, u64)] = &[
    ("submit.before_commit", 4),
    ("submit.after_commit", 4),
    ("claim.after", 6),
    ("begin.before", 3),
    ("begin.after", 3),
    ("send.after", 3),
    ("learn.before", 4),
    ("learn.after", 4),
    ("reconcile.before", 2),
    ("reconcile.after", 2),
    ("watch.before_end", 3),
    ("watch.after_end", 3),
    ("cancel.after", 1),
    ("group.filling", 40),
    ("group.committed", 40),
];

/// Those that are reached only when an operator resolves something.
const RESOLVING: &[&str] = &["resolve.before", "resolve.after"];

/// A failpoint, and which time it strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failpoint {
    name: &'static str,
    time: u64,
}

impl Failpoint {
    /// One after the other in an order by chance, so that a round has them all when it is long enough.
    pub(crate) fn all_in_turn(dice: &mut Dice) -> impl FnMut() -> Self + use<> {
        let mut dice = dice.fork();
        let mut left: Vec<(&'static str, u64)> = Vec::new();
        move || {
            if left.is_empty() {
                left = ALL.to_vec();
            }
            let at = usize::try_from(dice.below(u64::try_from(left.len()).unwrap())).unwrap();
            let (name, latest) = left.swap_remove(at);
            Self { name, time: dice.between(1, latest) }
        }
    }

    /// Half of the time, one for the next time an operator resolves something.
    pub(crate) fn at_resolving(dice: &mut Dice) -> Option<Self> {
        dice.chance(50).then(|| Self { name: *dice.pick(RESOLVING), time: 1 })
    }

    /// The name in the settings of a life that ended at one.
    pub(crate) fn name_in(settings: &[(String, String)]) -> Option<&str> {
        let (_, value) = settings.iter().find(|(name, _)| name == VARIABLE)?;
        value.split(':').next()
    }

    /// The settings of a life that ends there.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        vec![(VARIABLE.to_owned(), self.to_string())]
    }
}

impl fmt::Display for Failpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.time)
    }
}

#[test]
fn every_failpoint_has_its_turn() {
    let mut next = Failpoint::all_in_turn(&mut Dice::new(1));
    let mut names: Vec<&str> = ALL.iter().map(|_| next().name).collect();
    names.sort_unstable();
    let mut all: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
    all.sort_unstable();
    assert_eq!(names, all);
}
