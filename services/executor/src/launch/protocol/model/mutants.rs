//! Seeded bugs, each of which the exploration must find.

use runwarden_awx::MarkerPlacement;

use super::super::{DELIVERED_WITHIN, SEND_WITHIN};
use super::world::{Again, Setting, at, installation, patience};
use super::*;
use crate::job::AttemptState;
use crate::job::JobState;
use crate::launch::judging::{Candidate, Marked};

/// A mutant must break one of these promises in a setting.
fn is_caught(mutant: &Rules, setting: Setting, promises: &[&str]) {
    let how = explore(&setting, mutant).expect_err("the mutant was not caught");
    assert!(promises.iter().any(|promise| how.starts_with(promise)), "{how}");
}

/// One worker may die.
fn calm(setting: Setting) -> Setting {
    Setting { crashes: 1, ..setting }
}

/// Launches are made by hand, and markers are dropped.
fn odd(setting: Setting) -> Setting {
    Setting { by_hand: true, drops_marker: true, crashes: 0, cancels: false, ..setting }
}

/// A proxy answers in the controller's place.
fn in_front(setting: Setting) -> Setting {
    Setting { in_front: true, crashes: 0, ..setting }
}

/// What allowed the jobs may be taken away.
fn revoking() -> Setting {
    Setting { revokes: true, crashes: 1, losses: 0, cancels: false, ..Setting::marked() }
}

const REVOKED: &str = "an attempt was begun on an authority that had been taken away";
const TWICE: &str = "it was launched twice";
const STRAY: &str = "a run turned up that no job expects";
const NEVER: &str = "a job that was launched is reported as never launched";
const TWO_OPEN: &str = "two attempts are open at once";
const NEEDLESS: &str = "a job is left to a person";
const UNMARKED: &str = "a launch began while one without a marker";
const STUCK: &str = "a job can never end";
const LOST: &str = "a job is lost";
const NOT_REFUSED: &str = "a job ended over something that the controller never said";
const FORGOTTEN: &str = "a stray run continues";

#[test]
fn a_mutant_that_does_not_wait_out_late_commits_is_caught() {
    let impatient: fn(&Attempt, &Patience, Moment, &Facts) -> Verdict =
        |attempt, patience, now, facts| match conclude(attempt, patience, now, facts) {
            Verdict::Wait(_) if facts.found.is_empty() => Verdict::Absent,
            verdict => verdict,
        };
    is_caught(&Rules { conclude: impatient, ..REAL }, calm(Setting::unmarked()), &[TWICE, NEVER, STRAY]);
}

#[test]
fn a_mutant_that_waits_for_the_request_but_not_for_clocks_is_caught() {
    let hasty: fn(&Attempt, &Patience, Moment, &Facts) -> Verdict = |attempt, patience, now, facts| {
        let trusting = Patience { clock_skew: std::time::Duration::ZERO, ..*patience };
        // Nor does it ask any other clock.
        let facts = Facts { passed: std::time::Duration::MAX, ..facts.clone() };
        conclude(attempt, &trusting, now, &facts)
    };
    is_caught(
        &Rules { conclude: hasty, ..REAL },
        Setting { clocks: [0, 3], ..calm(Setting::unmarked()) },
        &[TWICE, NEVER, STRAY],
    );
}

#[test]
fn a_mutant_that_believes_wall_clocks_is_caught() {
    let believing: fn(&Attempt, &Patience, Moment, &Facts) -> Verdict = |attempt, patience, now, facts| {
        conclude(attempt, patience, now, &Facts { passed: std::time::Duration::MAX, ..facts.clone() })
    };
    let wrong = Setting { clocks: [0, 12], crashes: 0, losses: 0, cancels: false, ..Setting::marked() };
    is_caught(&Rules { conclude: believing, ..REAL }, wrong, &[TWICE, NEVER, STRAY]);
}

#[test]
fn a_mutant_that_judges_a_search_by_when_it_ended_is_caught() {
    let slow = |setting| Setting { slow_looks: true, crashes: 0, losses: 0, cancels: false, ..setting };
    for setting in [Setting::marked(), Setting::unmarked()] {
        is_caught(&Rules { judged_at: |_, ended| ended, ..REAL }, slow(setting), &[TWICE, NEVER, STRAY]);
    }
}

#[test]
fn a_mutant_that_launches_again_after_a_crash_is_caught() {
    let forgetful: fn(&Job, Option<&Attempt>, Moment) -> Step =
        |job, last, now| match super::super::next_step(job, last, now) {
            Step::Reconcile => Step::Launch,
            step => step,
        };
    let careless: fn(&mut Job, Option<&Attempt>, &Attempt, i64, &Around, Moment) -> Beginning =
        |job, _, attempt, fence, around, now| super::super::begin(job, None, attempt, fence, around, now).expect(LEGAL);
    is_caught(&Rules { next_step: forgetful, begin: careless, ..REAL }, calm(Setting::marked()), &[TWICE, TWO_OPEN]);
}

#[test]
fn a_mutant_that_lets_a_worker_that_was_held_up_send_late_is_caught() {
    is_caught(&Rules { may_send: |_, _| true, ..REAL }, calm(Setting::marked()), &[TWICE, NEVER, STRAY]);
}

#[test]
fn a_mutant_that_ignores_the_fence_and_open_attempts_is_caught() {
    let unfenced: fn(&mut Job, Option<&Attempt>, &Attempt, i64, &Around, Moment) -> Beginning =
        |job, _, attempt, _, around, now| {
            let fence = job.lease.fence;
            let attempt = Attempt { number: job.attempts + 1, ..attempt.clone() };
            super::super::begin(job, None, &attempt, fence, around, now).expect(LEGAL)
        };
    is_caught(&Rules { begin: unfenced, ..REAL }, calm(Setting::marked()), &[TWICE, TWO_OPEN]);
}

#[test]
fn a_mutant_that_takes_a_lost_answer_for_a_no_is_caught() {
    let hasty: fn(&mut Job, Option<&mut Attempt>, Answer, bool, Moment) -> Written =
        |job, attempt, answer, held, now| {
            let answer = match answer {
                Answer::Unresolved { why, .. } => Answer::NotLaunched { why, then: Stop::Later(String::new()) },
                answer => answer,
            };
            super::super::answered(job, attempt, answer, held, now).expect(LEGAL)
        };
    is_caught(&Rules { answered: hasty, ..REAL }, calm(Setting::marked()), &[TWICE, NEVER, STRAY]);
}

#[test]
fn a_mutant_that_ends_a_job_while_a_launch_is_out_is_caught() {
    let rash: fn(&mut Job, Option<&Attempt>, i64, Stop, Moment) -> Written =
        |job, _, _, stop, now| super::super::stopped(job, None, job.lease.fence, stop, now).expect(LEGAL);
    is_caught(&Rules { stopped: rash, ..REAL }, calm(Setting::marked()), &[NEVER, STRAY]);
}

#[test]
fn a_mutant_whose_deadline_does_not_ask_whether_a_launch_is_out_is_caught() {
    let blind: fn(&mut Job, Option<&Attempt>, Moment) -> bool = |job, _, now| {
        job.lease.holder = None;
        super::super::expired(job, None, now).expect(LEGAL)
    };
    is_caught(
        &Rules { expired: blind, ..REAL },
        Setting { start_by: Some(3), ..calm(Setting::marked()) },
        &[NEVER, STRAY],
    );
}

#[test]
fn a_mutant_that_launches_beside_an_unresolved_launch_without_a_marker_is_caught() {
    let unblocked: fn(&mut Job, Option<&Attempt>, &Attempt, i64, &Around, Moment) -> Beginning =
        |job, last, attempt, fence, _, now| {
            super::super::begin(job, last, attempt, fence, &Around::default(), now).expect(LEGAL)
        };
    is_caught(
        &Rules { begin: unblocked, ..REAL },
        Setting { jobs: 2, crashes: 0, sends: 1, cancels: false, ..Setting::unmarked() },
        &[UNMARKED],
    );
}

#[test]
fn a_mutant_that_trusts_the_marker_to_have_been_let_through_is_caught() {
    let trusting: fn(&Attempt, &Patience, Moment, &Facts) -> Verdict = |attempt, patience, now, facts| {
        let counts = |c: &&Candidate| !attempt.is_marked() || c.marked != Marked::No;
        let found = facts.found.iter().filter(counts).cloned().collect();
        conclude(attempt, patience, now, &Facts { found, ..facts.clone() })
    };
    is_caught(&Rules { conclude: trusting, ..REAL }, odd(Setting::marked()), &[TWICE, NEVER, STRAY]);
}

#[test]
fn a_mutant_that_takes_the_first_of_several_runs_is_caught() {
    let guessing: fn(&Attempt, &Patience, Moment, &Facts) -> Verdict =
        |attempt, patience, now, facts| match conclude(attempt, patience, now, facts) {
            Verdict::Ambiguous(runs) => runs.iter().max().map_or(Verdict::Absent, |run| Verdict::Adopt(*run)),
            verdict => verdict,
        };
    is_caught(
        &Rules { conclude: guessing, ..REAL },
        odd(Setting::marked()),
        &["a job is bound to a run that is not its own", TWICE, NEVER],
    );
}

#[test]
fn a_mutant_that_asks_a_person_at_once_is_caught() {
    let lazy: fn(&Attempt, &Patience, Moment, &Facts) -> Verdict =
        |attempt, patience, now, facts| match conclude(attempt, patience, now, facts) {
            Verdict::Wait(_) => Verdict::Ambiguous(Vec::new()),
            verdict => verdict,
        };
    is_caught(&Rules { conclude: lazy, ..REAL }, calm(Setting::unmarked()), &[NEEDLESS]);
}

#[test]
fn a_mutant_that_forgets_to_look_again_is_caught() {
    let forgetful: fn(&mut Job, &mut Attempt, Finding, bool, Moment) -> Written = |job, attempt, finding, held, now| {
        let written = super::super::judged(job, attempt, finding, held, now).expect(LEGAL);
        if job.state == JobState::Launching {
            job.due_at = None;
        }
        written
    };
    is_caught(&Rules { judged: forgetful, ..REAL }, calm(Setting::marked()), &[LOST]);
}

#[test]
fn a_mutant_that_waits_for_ever_is_caught() {
    let waiting: fn(&Attempt, &Patience, Moment, &Facts) -> Verdict =
        |attempt, patience, now, facts| match conclude(attempt, patience, now, facts) {
            Verdict::Absent => Verdict::Wait(now.plus(std::time::Duration::from_secs(1))),
            verdict => verdict,
        };
    is_caught(&Rules { conclude: waiting, ..REAL }, Setting { cancels: false, ..calm(Setting::marked()) }, &[STUCK]);
}

#[test]
fn a_mutant_that_does_as_if_a_person_had_said_nothing_is_caught() {
    let deaf: fn(&mut Job, &mut Attempt, Resolution, Moment) -> bool = |_, _, _, _| false;
    is_caught(&Rules { resolved: deaf, ..REAL }, odd(Setting::marked()), &[STUCK]);
}

/// The controller is restored or set up again once.
fn again(again: Again, setting: Setting) -> Setting {
    Setting { again: Some(again), others: 2, losses: 0, ..calm(setting) }
}

/// A controller is believed that lacks what it had.
fn without_doubt(attempt: &Attempt, patience: &Patience, now: Moment, facts: &Facts) -> Verdict {
    conclude(attempt, patience, now, &Facts { doubt: None, ..facts.clone() })
}

/// A run is known by its id alone.
fn by_id(bound: &Bound, run: &Run) -> bool {
    bound.run.id == run.id
}

#[test]
fn a_mutant_that_takes_its_own_run_for_absent_because_its_id_was_anothers_is_caught() {
    // As it was before runs were known by more than their ids.
    let blind: fn(&Attempt, &Patience, Moment, &Facts) -> Verdict = |attempt, patience, now, facts| {
        let found = facts.found.iter().filter(|c| !c.bound).cloned().collect();
        let facts = Facts { found, doubt: None, ..facts.clone() };
        conclude(&Attempt { named: None, ..attempt.clone() }, patience, now, &facts)
    };
    // And a bind that the store refused was simply not written.
    let lost_answer: fn(&mut Job, Option<&mut Attempt>, Answer, bool, Moment) -> Written =
        |job, attempt, answer, held, now| match held {
            true => Written::Nothing,
            false => super::super::answered(job, attempt, answer, held, now).expect(LEGAL),
        };
    let lost_finding: fn(&mut Job, &mut Attempt, Finding, bool, Moment) -> Written =
        |job, attempt, finding, held, now| match held {
            true => Written::Nothing,
            false => super::super::judged(job, attempt, finding, held, now).expect(LEGAL),
        };
    for kind in [Again::Restored, Again::SetUpAnew] {
        let mutant = Rules { is: by_id, conclude: blind, ..REAL };
        let mutant = Rules { answered: lost_answer, judged: lost_finding, ..mutant };
        is_caught(&mutant, Setting { others: 0, ..again(kind, Setting::marked()) }, &[TWICE, NEVER, STRAY]);
    }
}

#[test]
fn a_mutant_that_knows_runs_by_their_ids_alone_is_caught() {
    let promises = [NEEDLESS, "somebody else's run", "a run that exists is reported as lost"];
    for kind in [Again::Restored, Again::SetUpAnew] {
        is_caught(&Rules { is: by_id, ..REAL }, again(kind, Setting::marked()), &promises);
    }
}

#[test]
fn a_mutant_that_believes_a_controller_that_forgot_is_caught() {
    is_caught(
        &Rules { conclude: without_doubt, ..REAL },
        again(Again::Restored, Setting::marked()),
        &[TWICE, NEVER, STRAY],
    );
}

#[test]
fn a_mutant_that_takes_an_address_for_an_installation_is_caught() {
    let by_address: fn(&Installation, &Installation) -> bool = |one, two| one.address() == two.address();
    let mutant = Rules { same: by_address, conclude: without_doubt, ..REAL };
    is_caught(&mutant, again(Again::SetUpAnew, Setting::marked()), &[TWICE, NEVER, STRAY]);
    let two = Setting { jobs: 2, crashes: 0, sends: 1, cancels: false, mapped_twice: true, ..Setting::unmarked() };
    is_caught(&Rules { same: by_address, ..REAL }, two, &[UNMARKED]);
}

#[test]
fn a_mutant_that_binds_what_another_job_has_is_caught() {
    // A run launched by hand is adopted by both of two identical jobs.
    let careless: fn(&Attempt, &Patience, Moment, &Facts) -> Verdict = |attempt, patience, now, facts| {
        let found = facts.found.iter().map(|c| Candidate { bound: false, ..c.clone() }).collect();
        conclude(attempt, patience, now, &Facts { found, ..facts.clone() })
    };
    let unheld: fn(&mut Job, &mut Attempt, Finding, bool, Moment) -> Written =
        |job, attempt, finding, _, now| super::super::judged(job, attempt, finding, false, now).expect(LEGAL);
    let two = Setting { jobs: 2, crashes: 0, losses: 0, sends: 1, attempts: 1, cancels: false, ..Setting::unmarked() };
    let promises = ["one run is bound to two jobs", "a job is bound to another job's run"];
    is_caught(&Rules { conclude: careless, judged: unheld, ..REAL }, Setting { by_hand: true, ..two }, &promises);
}

#[test]
fn a_mutant_that_remembers_a_stray_run_only_while_it_lives_is_caught() {
    is_caught(&Rules { keeps_strays: false, ..REAL }, odd(Setting::unmarked()), &[FORGOTTEN]);
}

#[test]
fn a_mutant_that_takes_another_installations_word_for_a_stray_run_is_caught() {
    let moved = Setting { again: Some(Again::Moved), overdue: true, others: 2, attempts: 1, ..Setting::marked() };
    let credulous = Rules { tells: |under, _| strays::StrayState::of(under, true), ..REAL };
    is_caught(&credulous, Setting { crashes: 0, losses: 0, cancels: false, ..moved }, &[FORGOTTEN]);
}

#[test]
fn a_mutant_that_gives_up_on_a_stray_run_is_caught() {
    let weary: fn(&mut Stray, &strays::StrayState, Moment) -> strays::Next =
        |stray, state, now| match strays::Next::after(stray, state, now) {
            strays::Next::Stop | strays::Next::Look if stray.looks > 5 => strays::Next::Settled("given up"),
            next => next,
        };
    is_caught(&Rules { stray: weary, ..REAL }, odd(Setting::unmarked()), &[FORGOTTEN]);
}

#[test]
fn a_mutant_that_takes_what_is_hidden_for_absent_is_caught() {
    let trusting: fn(&Attempt, &Patience, Moment, &Facts) -> Verdict =
        |attempt, patience, now, facts| conclude(attempt, patience, now, &Facts { blind: None, ..facts.clone() });
    is_caught(
        &Rules { conclude: trusting, ..REAL },
        Setting { hides: 2, crashes: 0, cancels: false, ..Setting::marked() },
        &[TWICE, NEVER, STRAY],
    );
}

#[test]
fn a_mutant_that_waits_for_a_right_for_ever_is_caught() {
    let waiting: fn(&Attempt, &Patience, Moment, &Facts) -> Verdict =
        |attempt, patience, now, facts| match conclude(attempt, patience, now, facts) {
            Verdict::Untraceable(why) => Verdict::Blind(now.plus(std::time::Duration::from_secs(1)), why),
            verdict => verdict,
        };
    is_caught(
        &Rules { conclude: waiting, ..REAL },
        Setting { hides: 1, crashes: 0, cancels: false, ..Setting::marked() },
        &[STUCK],
    );
}

#[test]
fn a_mutant_that_takes_a_redirect_for_a_refusal_is_caught() {
    let offended: fn(u16, bool) -> Proof = |status, own| match status {
        300..=399 => Proof::Refused,
        _ => proof(status, own),
    };
    is_caught(&Rules { proof: offended, ..REAL }, in_front(Setting::marked()), &[NOT_REFUSED]);
}

#[test]
fn a_mutant_that_takes_a_page_in_front_for_proof_that_nothing_got_through_is_caught() {
    let credulous: fn(u16, bool) -> Proof = |status, own| match proof(status, own) {
        Proof::None if (300..500).contains(&status) => Proof::NotLaunched,
        proof => proof,
    };
    is_caught(&Rules { proof: credulous, ..REAL }, in_front(Setting::marked()), &[TWICE, NEVER, STRAY]);
}

#[test]
fn a_mutant_that_never_asks_again_is_caught() {
    is_caught(&Rules { asks: |_| false, ..REAL }, revoking(), &[REVOKED]);
}

#[test]
fn a_mutant_that_does_not_ask_before_another_attempt_is_caught() {
    is_caught(&Rules { asks: |job| job.attempts == 0, ..REAL }, revoking(), &[REVOKED]);
}

#[test]
fn a_mutant_that_asks_before_it_looks_for_a_lost_launch_is_caught() {
    let eager: fn(&Job, Option<&Attempt>, Moment) -> Step =
        |job, last, now| match super::super::next_step(job, last, now) {
            Step::Reconcile => Step::Launch,
            step => step,
        };
    let final_: fn(&mut Job, Option<&Attempt>, i64, Stop, Moment) -> Written =
        |job, _, fence, stop, now| super::super::stopped(job, None, fence, stop, now).expect(LEGAL);
    is_caught(&Rules { next_step: eager, stopped: final_, ..REAL }, revoking(), &[NEVER, STRAY]);
}

#[test]
fn sending_is_bounded_by_what_patience_counts_on() {
    use super::super::{ACKNOWLEDGED_WITHIN, CONNECT_WITHIN};
    assert_eq!(SEND_WITHIN + CONNECT_WITHIN + ACKNOWLEDGED_WITHIN, DELIVERED_WITHIN);
    let attempt = Attempt {
        job_id: "job_1".into(),
        number: 1,
        installation: installation(0, 0),
        controller_template: 9,
        account: 1,
        marker: "rw_1".into(),
        placement: MarkerPlacement::None.as_str().into(),
        sent_at: at(0),
        controller_time: None,
        named: None,
        marker_took: None,
        told: crate::job::Told::default(),
        state: AttemptState::Intent,
    };
    let patience = patience();
    let late = at(0).plus(DELIVERED_WITHIN).plus(patience.controller_request);
    assert!(patience.over_at(&attempt) >= late.plus(patience.clock_skew));
}
