//! Single transitions; their interleavings are in `model`.

use super::*;
use crate::job::tests::example;

#[test]
fn a_search_that_cannot_see_everything_is_repeated_less_and_less_often() {
    let mut job = Job { state: JobState::Launching, attempts: 1, attempt_open: true, ..example() };
    let mut attempt = crate::launch::judging::tests::attempt(true);
    let now = Moment::from_micros(1_000_000);
    let until = now.plus(Duration::from_secs(600));
    let mut pauses = |partial: bool| {
        let finding = Finding { verdict: Verdict::Wait(until), run: None, dropped: Vec::new(), partial };
        assert_eq!(judged(&mut job, &mut attempt, finding, false, now).unwrap(), Written::Quietly);
        job.due_at.unwrap().since(now).as_secs()
    };
    assert_eq!([false, false].map(&mut pauses), [5, 5], "one that sees everything is cheap");
    assert_eq!([true; 7].map(&mut pauses), [5, 10, 20, 40, 60, 60, 60]);
}

#[test]
fn no_pause_is_longer_than_the_wait() {
    let mut job = Job { state: JobState::Launching, attempts: 1, attempt_open: true, setbacks: 9, ..example() };
    let mut attempt = crate::launch::judging::tests::attempt(true);
    let (now, until) = (Moment::from_micros(1_000_000), Moment::from_micros(3_000_000));
    let finding = Finding { verdict: Verdict::Wait(until), run: None, dropped: Vec::new(), partial: true };
    judged(&mut job, &mut attempt, finding, false, now).unwrap();
    assert_eq!(job.due_at, Some(until.plus(Duration::from_millis(10))));
}
