//! Deciding in the process that wants to know, with sets that were vetted.
//!
//! Only a yes is ever decided here. Whatever else comes of it (a no, a failure, a set that is not vetted or too slow, an
//! input that is too long) is left to the policy service, which decides with the modules as they are now, in worker
//! processes, and says why.

mod pace;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runwarden_kit::caller::Caller;
use runwarden_kit::clock::Clock;

use self::pace::Paces;
use crate::decision::{Decision, Inquiry};
use crate::engine::{Cache, Compiled, MAX_INPUT_BYTES, Verdict, compile};
use crate::question::Question;
use crate::set::{Owner, Set};

/// How long a rule of a vetted set may take. It holds a thread that others wait for.
pub const EVALUATION: Duration = Duration::from_millis(20);
/// How many sets a thread keeps compiled.
const KEPT_SETS: usize = 32;
/// The most source text of sets that a thread keeps; syntax trees take a hundred times as much.
const KEPT_BYTES: usize = 128 * 1024;
/// How many sets are remembered that may not be evaluated here.
const MOST_UNFIT: usize = 1024;

thread_local! {
    // One for each thread: what threads share, they wait for.
    static SETS: RefCell<Cache> = RefCell::new(Cache::holding(KEPT_SETS, KEPT_BYTES));
}

/// Decides where it is called.
pub struct Local {
    clock: Arc<dyn Clock>,
    paces: Paces,
    unfit: Unfit,
}

impl Local {
    /// With this clock, by which policies are told the time.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, paces: Paces::default(), unfit: Unfit::default() }
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
            let too_long = inquiry.input().len() > MAX_INPUT_BYTES;
            if too_long || self.unfit.contains(set) || self.paces.rests(&question.tenant) {
                return None;
            }
            // Compiling is a part of it: that too holds the thread.
            let begun = processor_time();
            let outcome = evaluate(set, inquiry.input());
            self.paces.note(&question.tenant, processor_time().saturating_sub(begun));
            match outcome {
                Outcome::Said(Verdict::Allowed) => {}
                Outcome::Said(_) => return None,
                Outcome::Unfit => {
                    self.unfit.insert(set);
                    return None;
                }
                Outcome::Panicked => {
                    self.paces.rest(&question.tenant);
                    return None;
                }
            }
        }
        Some(inquiry.end(None))
    }
}

/// How long this thread has run. What others took of the processor meanwhile is no fault of the policies: with the time
/// of the clock, a busy machine would leave everything to the policy service, and be busier.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// What came of a set.
enum Outcome {
    Said(Verdict),
    /// It may not be evaluated here: it does not compile, is not vetted, or made the compiler panic.
    Unfit,
    /// The engine panicked over this input.
    Panicked,
}

/// What a set says. Should the engine panic, then its set is evaluated elsewhere, and the caller gets an answer all the
/// same.
fn evaluate(set: &Set, input: &str) -> Outcome {
    SETS.with_borrow_mut(|sets| {
        if sets.get(&set.digest).is_none() {
            match catch_unwind(|| prepare(set)) {
                Ok(Some(compiled)) => sets.put(set.digest.clone(), compiled),
                Ok(None) | Err(_) => return Outcome::Unfit,
            }
        }
        let Some(compiled) = sets.get(&set.digest) else { return Outcome::Unfit };
        if let Ok(verdict) = catch_unwind(AssertUnwindSafe(|| compiled.evaluate(input))) {
            return Outcome::Said(verdict);
        }
        // What it was in the middle of is not known.
        sets.forget(&set.digest);
        Outcome::Panicked
    })
}

/// The set, ready. It was vetted by its owner. That is looked at once more where it matters.
fn prepare(set: &Set) -> Option<Compiled> {
    let mut compiled = compile(&set.texts, EVALUATION).ok()?;
    compiled.vet(&set.texts).ok()?;
    Some(compiled)
}

/// The sets that may not be evaluated here, by digest: finding that out once is enough.
#[derive(Default)]
struct Unfit(Mutex<HashSet<String>>);

impl Unfit {
    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contains(&self, set: &Set) -> bool {
        self.lock().contains(&set.digest)
    }

    fn insert(&self, set: &Set) {
        let mut unfit = self.lock();
        if unfit.len() >= MOST_UNFIT {
            unfit.clear();
        }
        unfit.insert(set.digest.clone());
    }
}
