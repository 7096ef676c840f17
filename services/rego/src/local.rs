//! Deciding in the process that wants to know, with sets that were vetted.
//!
//! Only a yes is ever decided here. Whatever else comes of it (a no, a failure, a set that is not vetted or too slow, an
//! input that is too long) is left to the policy service, which decides with the modules as they are now, in worker
//! processes, and says why.

mod pace;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use runwarden_kit::caller::Caller;
use runwarden_kit::clock::Clock;

use self::pace::Paces;
use crate::decision::{Decision, Inquiry};
use crate::engine::{Cache, MAX_INPUT_BYTES, Verdict, compile};
use crate::question::Question;
use crate::set::{Owner, Set};

/// How long a rule of a vetted set may take. It holds a thread that others wait for.
pub const EVALUATION: Duration = Duration::from_millis(20);
/// How many sets a thread keeps compiled.
const KEPT_SETS: usize = 32;
/// The most source text of sets that a thread keeps; syntax trees take a hundred times as much.
const KEPT_BYTES: usize = 128 * 1024;

thread_local! {
    // One for each thread: what threads share, they wait for.
    static SETS: RefCell<Cache> = RefCell::new(Cache::holding(KEPT_SETS, KEPT_BYTES));
}

/// Decides where it is called.
pub struct Local {
    clock: Arc<dyn Clock>,
    paces: Paces,
}

impl Local {
    /// With this clock, by which policies are told the time.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, paces: Paces::default() }
    }

    /// A yes, if roles and these sets, all of them vetted, say so; `None` means to ask the policy service.
    #[must_use]
    pub fn allows(&self, caller: &Caller, question: &Question, sets: &[(Owner, Arc<Set>)]) -> Option<Decision> {
        let mut inquiry = Inquiry::begin(caller, question, self.clock.now()).ok()?;
        if inquiry.refused_by_roles().is_some() {
            return None;
        }
        for (owner, set) in sets.iter().filter(|(_, set)| !set.texts.is_empty()) {
            inquiry.consult(owner, &set.named);
            if inquiry.input().len() > MAX_INPUT_BYTES || self.paces.is_slow(&question.tenant, &set.digest) {
                return None;
            }
            let (verdict, took) = evaluate(set, inquiry.input())?;
            self.paces.note(&question.tenant, &set.digest, took);
            if verdict != Verdict::Allowed {
                return None;
            }
        }
        Some(inquiry.end(None))
    }
}

/// What a set says, and how long it took; `None` if it is not one that may be evaluated here.
fn evaluate(set: &Set, input: &str) -> Option<(Verdict, Duration)> {
    SETS.with_borrow_mut(|sets| {
        if sets.get(&set.digest).is_none() {
            let mut compiled = compile(&set.texts, EVALUATION).ok()?;
            // It was vetted by its owner. That is looked at once more where it matters.
            compiled.vet(&set.texts).ok()?;
            sets.put(set.digest.clone(), compiled);
        }
        let compiled = sets.get(&set.digest)?;
        // Should the engine panic, then its set is evaluated elsewhere, and the caller gets an answer all the same.
        let begun = Instant::now();
        let verdict = catch_unwind(AssertUnwindSafe(|| compiled.evaluate(input))).ok()?;
        Some((verdict, begun.elapsed()))
    })
}
