use proptest::prelude::*;
use runwarden_awx::MarkerPlacement;

use super::*;
use crate::job::AttemptState;
use crate::test_doubles::installation;

pub(crate) fn attempt(marked: bool) -> Attempt {
    Attempt {
        job_id: "job_1".into(),
        number: 1,
        installation: installation(1),
        controller_template: 9,
        account: 1,
        marker: "rw_1".into(),
        placement: if marked { MarkerPlacement::ExtraVar } else { MarkerPlacement::None }.as_str().into(),
        sent_at: Moment::from_micros(1_000_000_000),
        controller_time: None,
        named: None,
        marker_took: None,
        told: crate::job::Told::default(),
        state: AttemptState::Unresolved { why: "no answer".into() },
    }
}

/// What a complete search says.
fn judge(attempt: &Attempt, patience: &Patience, now: Moment, found: &[Candidate]) -> Verdict {
    let passed = now.since(attempt.sent_at);
    conclude(attempt, patience, now, &Facts { found: found.to_vec(), passed, ..Facts::default() })
}

/// When patience is over, seconds after the intent.
const OVER: u64 = 220;

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let marked = prop_oneof![Just(Marked::Mine), Just(Marked::Other), Just(Marked::No)];
    let inputs = prop_oneof![Just(Inputs::Match), Just(Inputs::Differ), Just(Inputs::Unknown)];
    prop::collection::vec((marked, inputs, any::<bool>()), 0..5).prop_map(|facts| {
        (1..).zip(facts).map(|(run_id, (marked, inputs, bound))| Candidate { run_id, marked, inputs, bound }).collect()
    })
}

fn fits(candidate: &Candidate, marked: bool) -> bool {
    let mine = if marked {
        candidate.marked == Marked::Mine
    } else {
        candidate.marked == Marked::No && candidate.inputs == Inputs::Match
    };
    !candidate.bound && mine
}

proptest! {
    #[test]
    fn absence_is_never_concluded_early_nor_while_any_free_run_may_be_it(
        marked: bool, found in candidates(), elapsed in 0u64..400,
    ) {
        let (attempt, patience) = (attempt(marked), Patience::default());
        let now = attempt.sent_at.plus(Duration::from_secs(elapsed));
        if judge(&attempt, &patience, now, &found) == Verdict::Absent {
            prop_assert!(elapsed >= OVER);
            prop_assert!(!found.iter().any(|c| !c.bound && (c.marked == Marked::No || fits(c, marked))));
        }
    }

    #[test]
    fn a_run_is_adopted_only_when_it_is_the_only_one_that_fits_and_free(
        marked: bool, found in candidates(), elapsed in 0u64..400,
    ) {
        let (attempt, patience) = (attempt(marked), Patience::default());
        let now = attempt.sent_at.plus(Duration::from_secs(elapsed));
        if let Verdict::Adopt(run) = judge(&attempt, &patience, now, &found) {
            let fitting: Vec<_> = found.iter().filter(|c| fits(c, marked)).collect();
            prop_assert_eq!(fitting.len(), 1);
            prop_assert_eq!(fitting[0].run_id, run);
            prop_assert!(marked || elapsed >= OVER);
        }
    }

    #[test]
    fn once_patience_is_over_there_is_always_a_verdict(marked: bool, found in candidates()) {
        let (attempt, patience) = (attempt(marked), Patience::default());
        let now = patience.over_at(&attempt);
        prop_assert!(!matches!(judge(&attempt, &patience, now, &found), Verdict::Wait(_)));
    }

    #[test]
    fn what_the_controller_named_is_it_and_is_never_said_to_be_absent(
        marked: bool, found in candidates(), elapsed in 0u64..400, named in 1i64..6,
    ) {
        let attempt = Attempt { named: Some(named), ..attempt(marked) };
        let now = attempt.sent_at.plus(Duration::from_secs(elapsed));
        let verdict = judge(&attempt, &Patience::default(), now, &found);
        // Its id may have come again, as another's.
        if found.iter().any(|c| c.run_id == named && !c.bound && c.marked != Marked::Other) {
            prop_assert_eq!(verdict, Verdict::Adopt(named));
        } else {
            prop_assert_ne!(verdict, Verdict::Absent);
        }
    }

    #[test]
    fn the_window_holds_every_time_a_run_of_the_attempt_can_carry(
        offset in -100_000i64..100_000, delay in 0u64..130,
    ) {
        // The controller's clock is off by any amount; the run commits some time after the intent.
        let at = |seconds: i64| Moment::from_micros(1_000_000_000_000 + seconds * 1_000_000);
        let attempt = Attempt { sent_at: at(0), controller_time: Some(at(offset)), ..attempt(false) };
        let created = at(offset + i64::try_from(delay).unwrap());
        let patience = Patience::default();
        prop_assert!(patience.earliest(&attempt) <= created && created <= patience.latest(&attempt));
    }
}

#[test]
fn a_wall_clock_alone_proves_no_absence() {
    let (attempt, patience) = (attempt(true), Patience::default());
    let now = patience.over_at(&attempt).plus(Duration::from_secs(3600));
    let passed = |seconds| Facts { passed: Duration::from_secs(seconds), ..Facts::default() };
    assert_eq!(conclude(&attempt, &patience, now, &passed(0)), Verdict::Wait(now.plus(patience.at_least())));
    assert_eq!(conclude(&attempt, &patience, now, &passed(129)), Verdict::Wait(now.plus(Duration::from_secs(1))));
    assert_eq!(conclude(&attempt, &patience, now, &passed(130)), Verdict::Absent);
}

#[test]
fn a_run_without_any_marker_keeps_a_marked_attempt_from_being_launched_again() {
    let (attempt, patience) = (attempt(true), Patience::default());
    let unmarked = Candidate { run_id: 7, marked: Marked::No, inputs: Inputs::Differ, bound: false };
    let over = patience.over_at(&attempt);
    assert_eq!(judge(&attempt, &patience, over, std::slice::from_ref(&unmarked)), Verdict::Ambiguous(vec![7]));
    let others = Candidate { marked: Marked::Other, ..unmarked.clone() };
    let bound = Candidate { bound: true, ..unmarked };
    assert_eq!(judge(&attempt, &patience, over, &[others, bound]), Verdict::Absent);
}
