//! What may be concluded about an open attempt from what a look at its controller showed.
//!
//! The rules come from how the controller behaves: its launch call is not idempotent, continues after its client has
//! gone, and may commit later with a time in the past. So "not found" proves nothing until the longest request it would
//! still work on has passed.

use std::time::Duration;

use runwarden_kit::clock::Moment;

use crate::job::Attempt;
use crate::launch::patience::Patience;

/// The marker that a run carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// The attempt's.
    Mine,
    /// That of another attempt: it is certainly not this one's.
    Other,
    /// None.
    No,
}

/// How a run's inputs compare with what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// Nothing that can be compared differs.
    Match,
    /// Something differs.
    Differ,
    /// What was sent is not known any more.
    Unknown,
}

/// A run that may be an attempt's, as far as judging needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub run_id: i64,
    /// The marker it carries.
    pub marked: Marked,
    /// Whether its inputs are the attempt's.
    pub inputs: Inputs,
    /// Whether another job has it already: the very run, not one that had its id before.
    pub bound: bool,
}

/// What a search says about an open attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It became this run.
    Adopt(i64),
    /// Nothing can be said before this moment.
    Wait(Moment),
    /// Nothing can be said while our account may not see what there is. It is looked at again until this moment.
    Blind(Moment, String),
    /// It did not happen.
    Absent,
    /// It may be any of these, or none.
    Ambiguous(Vec<i64>),
    /// No controller can be asked about it any more.
    Untraceable(String),
}

/// What a search on a controller found about an open attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// How much time has passed since the launch left: by the controller's own clock, or since this process first knew
    /// of it. The wall clocks of executors may be wrong by any amount, and be set.
    pub passed: Duration,
    /// The runs that may be it.
    pub found: Vec<Candidate>,
    /// The runs that may be it as well and could not be read, if the search did not see all there is.
    pub unread: Option<Vec<i64>>,
    /// Why our account may not see all there is: lists leave out what their reader may not see.
    pub blind: Option<String>,
    /// Why the controller itself is in doubt, such as one that lacks what it had before the attempt.
    pub doubt: Option<String>,
}

/// What is to be concluded about an open attempt. Pure: the same facts always give the same verdict.
///
/// `now` is a moment before the look began. What was seen later than that is no older than what it is judged by; with a
/// later moment, a launch that committed after the search could be taken for one that never happened.
#[must_use]
pub fn conclude(attempt: &Attempt, patience: &Patience, now: Moment, facts: &Facts) -> Verdict {
    let verdict = match (judge(attempt, patience, now, facts), &facts.unread) {
        (verdict, None) => verdict,
        (verdict, Some(unread)) => seen_in_part(attempt, verdict, &facts.found, unread),
    };
    // That nothing was found proves something only where nothing is hidden, and nothing was forgotten.
    match (verdict, &facts.blind, &facts.doubt) {
        (Verdict::Absent, Some(why), _) => match patience.given_up_at(attempt) {
            until if now < until => Verdict::Blind(until, why.clone()),
            _ => Verdict::Untraceable(format!(
                "The controller's answer was lost, and finding none of its runs proves nothing: {why}."
            )),
        },
        (Verdict::Absent, None, Some(why)) => Verdict::Untraceable(why.clone()),
        (verdict, _, _) => verdict,
    }
}

/// The conclusion from an incomplete search: what was not seen may be the attempt's, too. Only a marker and the
/// controller's own answer are proof enough. Once the launch can no longer take effect, an operator has to look.
fn seen_in_part(attempt: &Attempt, verdict: Verdict, seen: &[Candidate], unread: &[i64]) -> Verdict {
    match verdict {
        Verdict::Adopt(run) if attempt.is_marked() || attempt.named == Some(run) => verdict,
        Verdict::Wait(_) | Verdict::Blind(..) | Verdict::Untraceable(_) => verdict,
        Verdict::Adopt(_) | Verdict::Absent | Verdict::Ambiguous(_) => {
            let doubtful = seen.iter().filter(|c| !c.bound && c.marked != Marked::Other).map(|c| c.run_id);
            Verdict::Ambiguous(doubtful.chain(unread.iter().copied()).collect())
        }
    }
}

/// Judges an open attempt by what a search found.
///
/// A free run without any marker is doubtful: it may be this attempt's even if it lacks the marker or an input, for the
/// template may have been changed between the look at it and the launch. Absence is proven only when there is none of
/// these either, and no run that is certainly this attempt's but bound to another job.
fn judge(attempt: &Attempt, patience: &Patience, now: Moment, facts: &Facts) -> Verdict {
    let found = &facts.found;
    let ids = |fits: &dyn Fn(&Candidate) -> bool| -> Vec<i64> {
        found.iter().filter(|c| !c.bound && fits(c)).map(|c| c.run_id).collect()
    };
    // The controller itself said that it became this one. It may have been restored since, and given the id again.
    if let Some(named) = attempt.named
        && !ids(&|c| c.run_id == named && c.marked != Marked::Other).is_empty()
    {
        return Verdict::Adopt(named);
    }
    let mine = if attempt.is_marked() {
        ids(&|c| c.marked == Marked::Mine)
    } else {
        ids(&|c| c.marked == Marked::No && c.inputs == Inputs::Match)
    };
    // It happened, and its run was bound to another job: nothing later can change that.
    let taken = |c: &&Candidate| c.bound && c.marked == Marked::Mine;
    if mine.is_empty()
        && let Some(taken) = found.iter().find(taken)
    {
        return Verdict::Ambiguous(vec![taken.run_id]);
    }
    // A marker is ours alone. Without one, a run that looks like ours may be a foreign one, and ours may still commit:
    // wait until all that can come has come.
    let missing = patience.at_least().saturating_sub(facts.passed);
    let over = now >= patience.over_at(attempt) && missing.is_zero();
    match mine.as_slice() {
        [run] if attempt.is_marked() || over => Verdict::Adopt(*run),
        _ if !over => Verdict::Wait(patience.over_at(attempt).max(now.plus(missing))),
        [] => {
            let mut doubtful = ids(&|c| c.marked == Marked::No);
            doubtful.extend(attempt.named);
            if doubtful.is_empty() { Verdict::Absent } else { Verdict::Ambiguous(doubtful) }
        }
        _ => Verdict::Ambiguous(mine),
    }
}

#[cfg(test)]
pub(crate) mod tests;
