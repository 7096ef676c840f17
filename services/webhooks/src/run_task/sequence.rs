//! What is sent to Terraform next, and when: a state machine without a clock.
//!
//! Terraform gives a task up if ten minutes pass without a result, or sixty in all. It takes any number of results that
//! say `running`, and one that is final. So:
//!
//! - `running` is sent at once, and again long before ten minutes are over;
//! - what the final result says is written down before it is sent, and never changes. It is sent until Terraform takes it
//!   or says that it will not, and after it nothing else is;
//! - if the job is not finished in time, the task fails while Terraform still listens.
//!
//! Times are seconds since 1970. Whoever drives it keeps it on disk, and calls [`Sequence::next`] again after a restart.

use serde::{Deserialize, Serialize};

use super::verdict::Verdict;

/// From one `running` to the next: half of what Terraform allows, with a minute for tries that fail.
const UPDATE_EVERY: i64 = 240;
/// How long a job may take at most: three minutes are left to say that it took longer.
const LONGEST_WAIT: i64 = 57 * 60;
/// For how long Terraform waits. What refuses a result before that may be a load balancer in maintenance, or Terraform
/// itself while it is restored: it is sent again.
const TERRAFORM_WAITS: i64 = 60 * 60;
/// From when on a final result that nobody answers is not sent again.
const GIVE_UP_AFTER: i64 = 75 * 60;
/// But it is sent this often in any case.
const FEWEST_TRIES: u32 = 5;
/// The longest pause between two tries, unless Terraform asks for more.
const LONGEST_PAUSE: i64 = 30;
/// The longest pause after a refusal.
const LONGEST_AFTER_REFUSAL: i64 = 60;
/// The longest pause that Terraform may ask for.
const LONGEST_ASKED: i64 = 120;

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    accepted_at: i64,
    /// How long its job may take.
    wait: i64,
    updated_at: Option<i64>,
    paused_until: i64,
    /// How often in a row there was no answer.
    tries: u32,
    verdict: Option<Verdict>,
    /// Whether a final result may have arrived without our knowing.
    unsure: bool,
    /// Whether a final result was about to be sent, and what was replied is not known yet.
    #[serde(default)]
    in_flight: bool,
    /// Whether outcomes are left out, because Terraform did not take them.
    plain: bool,
    /// The last status with which a result was refused.
    #[serde(default)]
    refused: Option<u16>,
    end: Option<End>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Terraform has the final result.
    Delivered,
    /// Terraform did not take it: it had given the task up, or the run was cancelled. Or something refused it for as long
    /// as Terraform waits.
    Refused,
    /// Terraform did not answer for more than an hour.
    Unanswered,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing before this moment, unless the job ends.
    Wait(i64),
    /// Send `running`, and report the reply to [`Sequence::updated`].
    Update,
    /// Decide what the final result says: [`Sequence::conclude`].
    Conclude(Why),
    /// Call [`Sequence::sending`], write that down, send the final result, and report the reply to
    /// [`Sequence::finished`].
    Final {
        /// Whether to leave outcomes out.
        plain: bool,
    },
    /// Nothing any more.
    Over,
}

/// Why the final result is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is a result.
    Ended,
    /// There is none, and Terraform does not wait any longer.
    OutOfTime,
}

/// What Terraform replied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 2xx.
    Accepted,
    /// A status that does not ask for another try.
    Refused(u16),
    /// No answer, or one that asks to try again, in so many seconds if it says so.
    Failed {
        /// `Retry-After`, in seconds.
        retry_after: Option<u32>,
        /// Whether it is certain that nothing arrived.
        unsent: bool,
    },
}

impl Reply {
    /// What a status means.
    pub fn of(status: u16, retry_after: Option<u32>) -> Self {
        match status {
            200..=299 => Self::Accepted,
            408 | 425 | 429 | 500..=599 => Self::Failed { retry_after, unsent: false },
            other => Self::Refused(other),
        }
    }
}

impl Sequence {
    /// A task that was accepted at this moment, whose job may take so many seconds.
    pub fn new(accepted_at: i64, wait: u32) -> Self {
        Self {
            accepted_at,
            wait: i64::from(wait).min(LONGEST_WAIT),
            updated_at: None,
            paused_until: accepted_at,
            tries: 0,
            verdict: None,
            unsure: false,
            in_flight: false,
            plain: false,
            refused: None,
            end: None,
        }
    }

    /// What to do now; `ended` is whether it is known how the job ended.
    pub fn next(&self, now: i64, ended: bool) -> Next {
        if self.end.is_some() {
            return Next::Over;
        }
        if self.verdict.is_some() {
            return if now < self.paused_until {
                Next::Wait(self.paused_until)
            } else {
                Next::Final { plain: self.plain }
            };
        }
        let out_of_time = self.accepted_at.saturating_add(self.wait);
        if ended {
            return Next::Conclude(Why::Ended);
        }
        if now >= out_of_time {
            return Next::Conclude(Why::OutOfTime);
        }
        let due = self.updated_at.map_or(self.accepted_at, |at| at.saturating_add(UPDATE_EVERY)).max(self.paused_until);
        if now >= due { Next::Update } else { Next::Wait(due.min(out_of_time)) }
    }

    /// Says what the final result says, once and for all. Write it down before it is sent.
    pub fn conclude(&mut self, verdict: Verdict) {
        if self.verdict.is_none() {
            self.verdict = Some(verdict);
            self.tries = 0;
            self.paused_until = self.accepted_at;
        }
    }

    /// What the final result says, once that is decided.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// How it ended, once it has.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The last status with which a result was refused.
    pub fn refused(&self) -> Option<u16> {
        self.refused
    }

    /// Whether a final result may have arrived without our knowing.
    pub fn may_have_arrived(&self) -> bool {
        self.unsure || self.in_flight
    }

    /// What was replied to `running`.
    pub fn updated(&mut self, now: i64, reply: Reply) {
        match reply {
            Reply::Accepted => {
                self.updated_at = Some(now);
                self.tries = 0;
            }
            // Terraform's own word, which the final result will find out more about; until then it is not asked more often.
            Reply::Refused(status @ (400 | 413 | 422)) => {
                self.refused = Some(status);
                self.updated_at = Some(now);
                self.tries = 0;
            }
            Reply::Refused(status) => self.again_after_refusal(now, status),
            Reply::Failed { retry_after, .. } => self.pause(now, retry_after, LONGEST_PAUSE),
        }
    }

    /// The final result is about to be sent. Whoever dies between this and the reply has to assume that it arrived, so
    /// write it down before the request leaves.
    pub fn sending(&mut self) {
        self.unsure |= self.in_flight;
        self.in_flight = true;
    }

    /// What was replied to the final result.
    pub fn finished(&mut self, now: i64, reply: Reply) {
        self.in_flight = false;
        match reply {
            Reply::Accepted => self.end = Some(End::Delivered),
            // A detail that Terraform does not like must not cost the result. First, for this may also be why the one
            // that nobody answered was not taken.
            Reply::Refused(400 | 413 | 422) if !self.plain => self.plain = true,
            // It takes one final result: the one that nobody answered has arrived.
            Reply::Refused(422) if self.unsure => self.end = Some(End::Delivered),
            Reply::Refused(status @ (400 | 413 | 422)) => {
                self.refused = Some(status);
                self.end = Some(End::Refused);
            }
            Reply::Refused(status) => {
                self.again_after_refusal(now, status);
                if now >= self.accepted_at.saturating_add(TERRAFORM_WAITS) {
                    self.end = Some(End::Refused);
                }
            }
            Reply::Failed { retry_after, unsent } => {
                self.unsure |= !unsent;
                self.pause(now, retry_after, LONGEST_PAUSE);
                if self.tries >= FEWEST_TRIES && now >= self.accepted_at.saturating_add(GIVE_UP_AFTER) {
                    self.end = Some(End::Unanswered);
                }
            }
        }
    }

    fn again_after_refusal(&mut self, now: i64, status: u16) {
        self.refused = Some(status);
        self.pause(now, None, LONGEST_AFTER_REFUSAL);
    }

    fn pause(&mut self, now: i64, retry_after: Option<u32>, longest: i64) {
        let pause = 1_i64.checked_shl(self.tries).unwrap_or(longest).clamp(1, longest);
        let asked = retry_after.map_or(0, i64::from).min(LONGEST_ASKED);
        self.tries = self.tries.saturating_add(1);
        self.paused_until = now.saturating_add(pause.max(asked));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_700_000_000;

    /// Terraform, as far as a task's result goes.
    #[derive(Default)]
    struct Terraform {
        last: i64,
        given_up: bool,
        running: u32,
        finals: Vec<bool>,
    }

    impl Terraform {
        fn take(&mut self, now: i64, last: Option<&Verdict>) -> u16 {
            self.given_up |= now - self.last > 600 || now - START > 3600;
            if self.given_up || !self.finals.is_empty() {
                return 422;
            }
            self.last = now;
            match last {
                None => self.running += 1,
                Some(verdict) => self.finals.push(verdict.passed),
            }
            200
        }
    }

    fn verdict(passed: bool) -> Verdict {
        Verdict { passed, message: "x".into(), url: None, outcomes: Vec::new() }
    }

    /// What happens to a request.
    #[derive(Clone, Copy, Debug)]
    enum Luck {
        Answered,
        /// It arrives, and the answer is lost.
        Lost,
        /// It does not arrive.
        Unsent,
        /// 503, with a wish.
        Busy(u32),
        /// It does not arrive: something in front of Terraform refuses it.
        Stopped(u16),
        /// It arrives, and we die before its answer.
        Killed,
        /// We die, and nothing leaves.
        KilledBefore,
    }

    /// Drives a sequence, second by second, through restarts (between any two steps what is not on disk is lost).
    fn drive(ends_at: i64, wait: u32, luck: &[Luck], down: &[(i64, i64)]) -> (Sequence, Terraform, bool) {
        let mut terraform = Terraform { last: START, ..Terraform::default() };
        let mut disk = serde_json::to_string(&Sequence::new(START, wait)).unwrap();
        let (mut turn, mut after_final) = (luck.iter().cycle(), false);
        for now in START..START + 5 * 3600 {
            if down.iter().any(|(from, long)| (START + from..START + from + long).contains(&now)) {
                continue;
            }
            let mut sequence: Sequence = serde_json::from_str(&disk).unwrap();
            loop {
                let next = sequence.next(now, now >= START + ends_at);
                let last = match next {
                    Next::Over => return (sequence, terraform, after_final),
                    Next::Wait(until) => {
                        assert!(until > now, "a pause that is over");
                        break;
                    }
                    Next::Conclude(why) => {
                        sequence.conclude(verdict(why == Why::Ended));
                        disk = serde_json::to_string(&sequence).unwrap();
                        continue;
                    }
                    Next::Update => None,
                    Next::Final { .. } => sequence.verdict().cloned(),
                };
                after_final |= last.is_none() && sequence.verdict().is_some();
                if last.is_some() {
                    sequence.sending();
                    disk = serde_json::to_string(&sequence).unwrap();
                }
                let reply = match turn.next().copied().unwrap_or(Luck::Answered) {
                    Luck::Killed => {
                        terraform.take(now, last.as_ref());
                        break;
                    }
                    Luck::KilledBefore => break,
                    Luck::Answered => Reply::of(terraform.take(now, last.as_ref()), None),
                    Luck::Lost => {
                        terraform.take(now, last.as_ref());
                        Reply::Failed { retry_after: None, unsent: false }
                    }
                    Luck::Unsent => Reply::Failed { retry_after: None, unsent: true },
                    Luck::Busy(seconds) => Reply::of(503, Some(seconds)),
                    Luck::Stopped(status) => Reply::of(status, None),
                };
                if last.is_some() {
                    sequence.finished(now, reply)
                } else {
                    sequence.updated(now, reply)
                }
                disk = serde_json::to_string(&sequence).unwrap();
            }
        }
        panic!("it never ends: {disk}");
    }

    fn luck(longest: u32) -> impl Strategy<Value = Luck> {
        prop_oneof![
            3 => Just(Luck::Answered),
            1 => Just(Luck::Lost),
            1 => Just(Luck::Unsent),
            1 => (0..longest).prop_map(Luck::Busy),
            1 => prop::sample::select(vec![301_u16, 401, 403, 404, 405]).prop_map(Luck::Stopped),
        ]
    }

    fn luck_or_death(longest: u32) -> impl Strategy<Value = Luck> {
        prop_oneof![4 => luck(longest), 1 => Just(Luck::Killed), 1 => Just(Luck::KilledBefore)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn whatever_is_lost_or_restarted_there_is_exactly_one_final_result(
            ends_at in 0..5000_i64,
            luck in prop::collection::vec(luck_or_death(20), 0..5),
            down in prop::collection::vec((0..3600_i64, 0..90_i64), 0..2),
        ) {
            // At least every fifth request is answered, and we are away for a minute and a half.
            let luck = [luck.as_slice(), &[Luck::Answered]].concat();
            let (sequence, terraform, after_final) = drive(ends_at, 3600, &luck, &down);
            prop_assert!(!after_final, "running after a final result");
            prop_assert_eq!(terraform.finals.len(), 1);
            prop_assert!(!terraform.given_up);
            prop_assert_eq!(sequence.end(), Some(End::Delivered));
            if ends_at < 3000 {
                prop_assert_eq!(&terraform.finals, &[true]);
            }
        }

        #[test]
        fn however_long_we_are_down_it_ends_and_says_nothing_twice(
            ends_at in 0..9000_i64,
            luck in prop::collection::vec(luck(600), 1..6),
            down in prop::collection::vec((0..9000_i64, 0..4000_i64), 0..4),
        ) {
            let (sequence, terraform, after_final) = drive(ends_at, 3600, &luck, &down);
            prop_assert!(!after_final);
            prop_assert!(terraform.finals.len() <= 1);
            // Known as delivered: it was. (With a lost answer, a refusal may be one of a task that was given up.)
            let lost = luck.iter().any(|luck| matches!(luck, Luck::Lost | Luck::Busy(_)));
            if sequence.end() == Some(End::Delivered) && !lost {
                prop_assert_eq!(terraform.finals.len(), 1);
            }
        }
    }

    #[test]
    fn it_says_running_at_once_and_every_four_minutes() {
        let (_, terraform, _) = drive(900, 3600, &[Luck::Answered], &[]);
        assert_eq!((terraform.running, terraform.finals.as_slice()), (4, &[true][..]));
        let (_, terraform, _) = drive(0, 3600, &[Luck::Answered], &[]);
        assert_eq!((terraform.running, terraform.finals.as_slice()), (0, &[true][..]), "there is nothing to wait for");
    }

    #[test]
    fn a_job_that_takes_too_long_fails_while_terraform_listens() {
        for wait in [60, 3600, u32::MAX] {
            let (_, terraform, _) = drive(9000, wait, &[Luck::Answered], &[]);
            assert_eq!(terraform.finals, [false], "{wait}");
        }
    }

    #[test]
    fn what_refuses_for_a_while_does_not_cost_the_result() {
        for status in [302, 401, 403, 404, 405] {
            // The first `running`, then a quarter of an hour in which nothing comes through.
            let mut sequence = Sequence::new(START, 3600);
            sequence.conclude(verdict(true));
            let (mut now, mut tries) = (START, 0);
            while now < START + 900 {
                match sequence.next(now, true) {
                    Next::Wait(until) => now = until,
                    Next::Final { .. } => {
                        tries += 1;
                        sequence.finished(now, Reply::of(status, None));
                    }
                    other => panic!("{status}: {other:?}"),
                }
            }
            assert!((10..30).contains(&tries), "{status}: {tries}");
            assert_eq!((sequence.end(), sequence.refused()), (None, Some(status)));
            sequence.finished(now, Reply::Accepted);
            assert_eq!(sequence.end(), Some(End::Delivered), "{status}");
        }
        // Until Terraform does not wait any more.
        let (sequence, ..) = drive(100, 3600, &[Luck::Stopped(403)], &[]);
        assert_eq!((sequence.end(), sequence.refused()), (Some(End::Refused), Some(403)));
        assert!(!sequence.may_have_arrived());
    }

    #[test]
    fn a_refused_running_is_said_again_before_terraform_gives_up() {
        let mut sequence = Sequence::new(START, 3600);
        sequence.updated(START, Reply::Accepted);
        sequence.updated(START + 240, Reply::Refused(404));
        sequence.updated(START + 480, Reply::Refused(404));
        assert!(matches!(sequence.next(START + 481, false), Next::Wait(until) if until < START + 600));
        assert_eq!(sequence.next(START + 540, false), Next::Update);
    }

    #[test]
    fn nobody_who_never_answers_is_asked_for_ever() {
        let (sequence, ..) = drive(100, 3600, &[Luck::Unsent], &[]);
        assert_eq!(sequence.end(), Some(End::Unanswered));
        // We were down for longer than Terraform waits: it is told nevertheless, and refuses.
        let (sequence, terraform, _) = drive(100, 3600, &[Luck::Answered], &[(50, 5000)]);
        assert_eq!((sequence.end(), terraform.finals.len()), (Some(End::Refused), 0));
    }

    #[test]
    fn outcomes_that_are_not_taken_do_not_pass_for_a_result_that_arrived() {
        let mut sequence = Sequence::new(START, 60);
        sequence.conclude(verdict(true));
        sequence.finished(START, Reply::Failed { retry_after: None, unsent: false });
        sequence.finished(START, Reply::Refused(422));
        assert_eq!((sequence.end(), sequence.next(START + 60, true)), (None, Next::Final { plain: true }));
        let mut taken = sequence.clone();
        taken.finished(START, Reply::Accepted);
        assert_eq!(taken.end(), Some(End::Delivered));
        // Nothing is left that it could dislike: the first one has arrived.
        sequence.finished(START, Reply::Refused(422));
        assert_eq!(sequence.end(), Some(End::Delivered));
    }

    #[test]
    fn whoever_dies_while_the_final_result_is_under_way_knows_afterwards_that_it_may_have_arrived() {
        let mut sequence = Sequence::new(START, 60);
        sequence.conclude(verdict(true));
        sequence.sending();
        // Here the process dies; what is on disk goes on. Terraform has the result and takes no other.
        for _ in 0..2 {
            sequence.sending();
            sequence.finished(START, Reply::Refused(422));
        }
        assert_eq!(sequence.end(), Some(End::Delivered));
    }

    #[test]
    fn outcomes_that_are_not_taken_do_not_cost_the_result() {
        let mut sequence = Sequence::new(START, 60);
        sequence.conclude(verdict(true));
        sequence.conclude(verdict(false));
        assert_eq!(sequence.verdict(), Some(&verdict(true)), "the first one stays");
        assert_eq!(sequence.next(START, true), Next::Final { plain: false });
        sequence.finished(START, Reply::Refused(422));
        assert_eq!(sequence.next(START, true), Next::Final { plain: true });
        sequence.finished(START, Reply::Refused(422));
        assert_eq!((sequence.next(START, true), sequence.end()), (Next::Over, Some(End::Refused)));
    }
}
