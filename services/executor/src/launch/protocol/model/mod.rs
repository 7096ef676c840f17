//! Explores every order in which a small world can unfold: workers that claim, die, are suspended and are presumed
//! dead; a controller that answers, refuses, loses answers, names a run and breaks off, drops a marker, and commits
//! late; a caller who cancels; a deadline; launches by hand with our account; a right that is revoked and granted
//! again; a proxy that answers in the controller's place; an authority that is revoked while a job waits; an operator
//! who decides. After each step the promises are checked, and at the end that every job can come to its end from
//! wherever it stands.
//!
//! In some worlds the controller itself does not stay the same: it is restored from a backup or set up again, ids are
//! reused by foreign runs, and what was launched is lost or was never there. In some it is mapped twice.
//!
//! The worlds are small on purpose: two launches and two crashes already show every kind of interleaving, and the
//! whole of each is visited. Time moves in ticks of 25 seconds.

mod explore;
mod mutants;
mod outside;
mod promises;
mod steps;
mod world;

use runwarden_awx::{Installation, Proof, proof};

use crate::job::Attempt;
use crate::job::Stray;
use crate::job::{Bound, Job, Run};
use crate::launch::judging::{Facts, Verdict, conclude};
use crate::launch::patience::Patience;
use crate::launch::strays::{self, UnderId};
use runwarden_kit::clock::Moment;

use super::{Answer, Around, Beginning, Finding, Resolution, Step, Stop, Written};
use explore::explore;
use world::{Again, Setting};

/// The parts of the protocol, each of which a mutant can replace.
#[derive(Clone, Copy)]
struct Rules {
    next_step: fn(&Job, Option<&Attempt>, Moment) -> Step,
    /// Whether it is asked before an attempt at this job if it may still begin.
    asks: fn(&Job) -> bool,
    begin: fn(&mut Job, Option<&Attempt>, &Attempt, i64, &Around, Moment) -> Beginning,
    may_send: fn(&Attempt, Moment) -> bool,
    conclude: fn(&Attempt, &Patience, Moment, &Facts) -> Verdict,
    /// By which moment a look is judged that began and ended then.
    judged_at: fn(Moment, Moment) -> Moment,
    proof: fn(u16, bool) -> Proof,
    answered: fn(&mut Job, Option<&mut Attempt>, Answer, bool, Moment) -> Written,
    judged: fn(&mut Job, &mut Attempt, Finding, bool, Moment) -> Written,
    stopped: fn(&mut Job, Option<&Attempt>, i64, Stop, Moment) -> Written,
    expired: fn(&mut Job, Option<&Attempt>, Moment) -> bool,
    resolved: fn(&mut Job, &mut Attempt, Resolution, Moment) -> bool,
    /// Whether two installations are one.
    same: fn(&Installation, &Installation) -> bool,
    /// Whether a bound run is this one.
    is: fn(&Bound, &Run) -> bool,
    /// Whether a stray run outlives the memory of who learned of it.
    keeps_strays: bool,
    /// What a look at a stray run's id says, and whether it was at the run's installation.
    tells: fn(UnderId, bool) -> strays::StrayState,
    stray: fn(&mut Stray, &strays::StrayState, Moment) -> strays::Next,
}

const LEGAL: &str = "a legal transition";

const REAL: Rules = Rules {
    next_step: super::next_step,
    asks: |_| true,
    begin: |job, last, attempt, fence, around, now| super::begin(job, last, attempt, fence, around, now).expect(LEGAL),
    may_send: super::may_send,
    conclude,
    judged_at: |began, _| began,
    proof,
    answered: |job, attempt, answer, held, now| super::answered(job, attempt, answer, held, now).expect(LEGAL),
    judged: |job, attempt, finding, held, now| super::judged(job, attempt, finding, held, now).expect(LEGAL),
    stopped: |job, last, fence, stop, now| super::stopped(job, last, fence, stop, now).expect(LEGAL),
    expired: |job, last, now| super::expired(job, last, now).expect(LEGAL),
    resolved: |job, attempt, resolution, now| {
        super::resolved(job, attempt, resolution, "", &world::patience(), now).expect(LEGAL)
    },
    same: Installation::is_same,
    is: Bound::is,
    keeps_strays: true,
    tells: strays::StrayState::of,
    stray: strays::Next::after,
};

fn holds(settings: &[(&str, Setting)], at_least: usize) {
    for (name, setting) in settings {
        match explore(setting, &REAL) {
            Ok(worlds) => assert!(worlds > at_least, "{name}: only {worlds} worlds were visited"),
            Err(how) => panic!("{name}: {how}"),
        }
    }
}

#[test]
fn no_interleaving_launches_twice_loses_a_job_or_contradicts_an_end() {
    holds(&[("marked", Setting::marked()), ("unmarked", Setting::unmarked())], 5_000);
}

#[test]
fn clocks_that_differ_break_no_promise() {
    let apart = |setting| Setting { clocks: [0, 3], crashes: 1, ..setting };
    holds(&[("marked", apart(Setting::marked())), ("unmarked", apart(Setting::unmarked()))], 5_000);
}

#[test]
fn a_clock_that_is_wrong_by_minutes_proves_nothing() {
    let wrong = |setting| Setting { clocks: [0, 12], crashes: 0, losses: 0, cancels: false, ..setting };
    holds(&[("marked", wrong(Setting::marked())), ("unmarked", wrong(Setting::unmarked()))], 500);
}

#[test]
fn a_deadline_ends_only_what_is_not_out() {
    let urgent = |setting| Setting { start_by: Some(3), crashes: 1, ..setting };
    holds(&[("marked", urgent(Setting::marked())), ("unmarked", urgent(Setting::unmarked()))], 2_000);
}

#[test]
fn what_no_machine_can_know_is_left_to_a_person_and_never_guessed() {
    let odd = |setting| Setting { by_hand: true, drops_marker: true, crashes: 1, cancels: false, ..setting };
    holds(&[("marked", odd(Setting::marked())), ("unmarked", odd(Setting::unmarked()))], 2_000);
}

#[test]
fn two_jobs_of_one_template_are_never_taken_for_each_other() {
    let two = |setting| Setting { jobs: 2, crashes: 0, losses: 0, sends: 1, attempts: 1, cancels: false, ..setting };
    let held_up = Setting { losses: 1, ..two(Setting::unmarked()) };
    holds(&[("marked", two(Setting::marked())), ("unmarked", held_up)], 1_000);
}

#[test]
fn what_our_account_may_not_see_is_never_taken_for_absent() {
    let hidden = |setting| Setting { hides: 2, crashes: 1, losses: 0, cancels: false, ..setting };
    holds(&[("marked", hidden(Setting::marked())), ("unmarked", hidden(Setting::unmarked()))], 2_000);
}

#[test]
fn a_search_that_takes_its_time_is_judged_by_when_it_began() {
    let slow = |setting| Setting { slow_looks: true, crashes: 0, losses: 0, cancels: false, ..setting };
    holds(&[("marked", slow(Setting::marked())), ("unmarked", slow(Setting::unmarked()))], 500);
}

#[test]
fn whoever_answers_in_front_of_the_controller_ends_nothing_and_launches_nothing_twice() {
    let in_front = |setting| Setting { in_front: true, crashes: 1, losses: 0, ..setting };
    holds(&[("marked", in_front(Setting::marked())), ("unmarked", in_front(Setting::unmarked()))], 2_000);
}

#[test]
fn no_attempt_begins_on_an_authority_that_was_taken_away_and_what_is_out_is_found_all_the_same() {
    let revoked = |setting| Setting { revokes: true, crashes: 1, losses: 0, cancels: false, ..setting };
    holds(&[("marked", revoked(Setting::marked())), ("unmarked", revoked(Setting::unmarked()))], 2_000);
}

#[test]
fn ids_that_come_again_are_neither_taken_for_a_jobs_own_nor_launched_over() {
    for again in [Again::Restored, Again::SetUpAnew] {
        let settings = [
            ("marked", Setting { again: Some(again), ..Setting::marked() }),
            ("unmarked", Setting { again: Some(again), ..Setting::unmarked() }),
        ];
        holds(&settings.map(|(name, setting)| (name, Setting { crashes: 0, losses: 0, others: 2, ..setting })), 2_000);
    }
}

#[test]
fn what_goes_on_where_a_controllers_name_does_not_lead_any_more_is_not_forgotten() {
    let moved = Setting { again: Some(Again::Moved), overdue: true, ..Setting::marked() };
    holds(&[("marked", Setting { crashes: 0, losses: 0, attempts: 1, others: 2, cancels: false, ..moved })], 500);
}

#[test]
fn a_person_may_decide_what_nobody_could_look_for() {
    let overdue = |setting| Setting { overdue: true, crashes: 0, losses: 0, cancels: false, ..setting };
    holds(&[("marked", overdue(Setting::marked())), ("unmarked", overdue(Setting::unmarked()))], 500);
}

#[test]
fn two_jobs_on_a_controller_that_is_restored_keep_apart() {
    let two = Setting { jobs: 2, crashes: 0, losses: 0, sends: 1, attempts: 1, cancels: false, ..Setting::marked() };
    holds(&[("marked", Setting { again: Some(Again::Restored), ..two })], 1_000);
}

#[test]
fn one_installation_that_is_mapped_twice_is_one() {
    let two = Setting { jobs: 2, crashes: 0, losses: 0, sends: 1, attempts: 1, cancels: false, ..Setting::unmarked() };
    holds(&[("unmarked", Setting { mapped_twice: true, ..two })], 1_000);
}
