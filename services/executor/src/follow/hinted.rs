//! What is made of hints: which runs to look at, and whether a controller's hints have proven reliable, so that it need
//! not be polled as often.
//!
//! A hint decides nothing: the run is read from its controller as ever, in the ordinary batches and not more often than
//! every [`PAUSE`]. A hint for a run that is not followed has nothing looked at.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use runwarden_kit::tenant::TenantId;

use super::followed::{Following, Key};
use crate::hints::Hint;

/// How soon runs of a controller are looked at again because of hints.
pub(super) const PAUSE: Duration = Duration::from_millis(250);
/// How long a hint is kept whose run is not followed: the run may just be starting.
const EARLY: Duration = Duration::from_secs(10);
/// How many such hints of a tenant are kept.
const MOST_EARLY: usize = 1000;
/// How long after a run's end was found its hint may come. After that it is taken for lost.
const LATE: Duration = Duration::from_secs(5);
/// How many ends in a row must have had their hint for the controller to be polled less often.
pub(super) const PROVEN: u32 = 3;

/// What hints said, between two looks.
#[derive(Default)]
pub(super) struct Hinted {
    /// Jobs to look at.
    due: HashMap<Key, BTreeSet<String>>,
    /// Jobs that are being looked at.
    looking: HashMap<Key, Vec<String>>,
    /// Jobs that were looked at: whether the hint was about their end is known as soon as what was found is read.
    looked: Vec<String>,
    /// Jobs whose end was hinted at, as far as is known.
    hinted: HashSet<String>,
    /// Hints for runs that are not followed.
    early: HashMap<TenantId, HashMap<(String, i64), Instant>>,
    /// Runs that ended without a hint so far.
    unhinted: Vec<(Key, i64, Instant)>,
    /// How many ends in a row had their hint.
    in_row: HashMap<Key, u32>,
}

impl Hinted {
    /// Takes note of hints, those that came early among them.
    pub(super) fn take(&mut self, hints: Vec<(Hint, Instant)>, following: &Following, now: Instant) {
        for (Hint { controller, run }, at) in hints {
            if let Some(place) = self.unhinted.iter().position(|(key, ended, _)| *key == controller && *ended == run) {
                self.unhinted.swap_remove(place);
                self.had_its_hint(&controller);
                metrics::counter!("runwarden_hints_total", "result" => "late").increment(1);
            } else if let Some(job) = following.job_of(&controller, run) {
                self.look_at(controller, job.to_owned());
            } else if !self.keep_early(controller, run, at) {
                metrics::counter!("runwarden_hints_total", "result" => "dropped").increment(1);
            }
        }
        if self.early.is_empty() {
            return;
        }
        let mut started = Vec::new();
        self.early.retain(|tenant, of_tenant| {
            of_tenant.retain(|(controller, run), at| {
                let key = (tenant.clone(), controller.clone());
                match following.job_of(&key, *run) {
                    Some(job) => started.push((key, job.to_owned())),
                    None if now.saturating_duration_since(*at) < EARLY => return true,
                    None => metrics::counter!("runwarden_hints_total", "result" => "unknown").increment(1),
                }
                false
            });
            !of_tenant.is_empty()
        });
        for (key, job) in started {
            self.look_at(key, job);
        }
    }

    /// Keeps a hint whose run may just be starting. False if the tenant has no more room.
    fn keep_early(&mut self, key: Key, run: i64, at: Instant) -> bool {
        let of_tenant = self.early.entry(key.0.clone()).or_default();
        let place = (key.1, run);
        if of_tenant.len() >= MOST_EARLY && !of_tenant.contains_key(&place) {
            return false;
        }
        of_tenant.insert(place, at);
        true
    }

    fn look_at(&mut self, key: Key, job: String) {
        metrics::counter!("runwarden_hints_total", "result" => "taken").increment(1);
        self.hinted.insert(job.clone());
        self.due.entry(key).or_default().insert(job);
    }

    /// The controllers with something to look at.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.due.keys().cloned().collect()
    }

    /// Whether something of a controller is to be looked at.
    pub(super) fn is_due(&self, key: &Key) -> bool {
        self.due.contains_key(key)
    }

    /// The next jobs of a controller to look at, at most so many.
    pub(super) fn next(&self, key: &Key, most: usize) -> Vec<String> {
        self.due.get(key).into_iter().flatten().take(most).cloned().collect()
    }

    /// These are being looked at.
    pub(super) fn begun(&mut self, key: &Key, jobs: Vec<String>) {
        self.not_due(key, &jobs);
        self.looking.insert(key.clone(), jobs);
    }

    /// These need not be looked at any more.
    pub(super) fn not_due(&mut self, key: &Key, jobs: &[String]) {
        if let Some(due) = self.due.get_mut(key) {
            for job in jobs {
                due.remove(job);
            }
            if due.is_empty() {
                self.due.remove(key);
            }
        }
    }

    /// What was being looked at of a controller could not be: it is looked at again.
    pub(super) fn came_to_nothing(&mut self, key: &Key) {
        let jobs = self.looking.remove(key).unwrap_or_default();
        if !jobs.is_empty() {
            self.due.entry(key.clone()).or_default().extend(jobs);
        }
    }

    /// What was being looked at of a controller was.
    pub(super) fn over(&mut self, key: &Key) {
        self.looked.extend(self.looking.remove(key).unwrap_or_default());
    }

    /// What the looks found was read: of runs that go on, the hint was not about their end.
    pub(super) fn settle(&mut self, following: &Following) {
        for job in std::mem::take(&mut self.looked) {
            let again = self.due.values().any(|due| due.contains(&job));
            if !again && following.goes_on(&job) {
                self.hinted.remove(&job);
            }
        }
    }

    /// A run is over.
    pub(super) fn ended(&mut self, key: &Key, run: i64, job: &str, now: Instant) {
        let of_tenant = self.early.get_mut(&key.0);
        let early = of_tenant.is_some_and(|hints| hints.remove(&(key.1.clone(), run)).is_some());
        if self.hinted.remove(job) || early {
            metrics::counter!("runwarden_ends_noticed_total", "by" => "hint").increment(1);
            self.had_its_hint(key);
        } else {
            metrics::counter!("runwarden_ends_noticed_total", "by" => "poll").increment(1);
            self.unhinted.push((key.clone(), run, now));
        }
    }

    fn had_its_hint(&mut self, key: &Key) {
        let in_row = self.in_row.entry(key.clone()).or_default();
        *in_row = in_row.saturating_add(1);
    }

    /// Controllers that are to be polled normally again: the end of one of their runs had no hint.
    pub(super) fn failed(&mut self, now: Instant) -> Vec<Key> {
        let mut failed = Vec::new();
        let (in_row, is_late) = (&mut self.in_row, |at: Instant| now.saturating_duration_since(at) >= LATE);
        self.unhinted.retain(|(key, _, at)| {
            if is_late(*at) {
                if in_row.remove(key).is_some_and(|in_row| in_row >= PROVEN) {
                    failed.push(key.clone());
                }
                return false;
            }
            true
        });
        failed
    }

    /// Whether a controller's hints have proven reliable.
    pub(super) fn is_reliable(&self, key: &Key) -> bool {
        self.in_row.get(key).is_some_and(|in_row| *in_row >= PROVEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::example;
    use crate::job::{Job, JobState, Run};
    use crate::test_doubles::installation;

    fn running(id: i64) -> Job {
        let run = Run { installation: installation(1), kind: "job".into(), id, template: None, created: None };
        Job { state: JobState::Running, run: Some(run), ..example() }
    }

    fn key(job: &Job) -> Key {
        (job.tenant.clone(), job.controller.clone())
    }

    fn hint(key: &Key, run: i64, at: Instant) -> Vec<(Hint, Instant)> {
        vec![(Hint { controller: key.clone(), run }, at)]
    }

    #[test]
    fn only_a_followed_run_of_this_tenants_controller_is_looked_at() {
        let (mut hinted, mut following, now) = (Hinted::default(), Following::default(), Instant::now());
        let job = running(7);
        following.put(&job);
        let (tenant, controller) = key(&job);
        let others = [(TenantId::trusted("other"), controller), (tenant, "another".to_owned())];
        for other in &others {
            hinted.take(hint(other, 7, now), &following, now);
        }
        hinted.take(hint(&key(&job), 8, now), &following, now);
        assert!(hinted.keys().is_empty());
        hinted.take(hint(&key(&job), 7, now), &following, now);
        assert_eq!(hinted.keys(), [key(&job)]);
        assert_eq!(hinted.next(&key(&job), 200), std::slice::from_ref(&job.id));
        hinted.begun(&key(&job), vec![job.id]);
        assert!(hinted.keys().is_empty(), "one hint is one look");
    }

    #[test]
    fn a_hint_that_comes_before_its_run_is_bound_is_kept_for_a_moment() {
        let (mut hinted, mut following, now) = (Hinted::default(), Following::default(), Instant::now());
        let job = running(7);
        hinted.take(hint(&key(&job), 7, now), &following, now);
        following.put(&job);
        hinted.take(Vec::new(), &following, now + EARLY / 2);
        assert_eq!(hinted.next(&key(&job), 200), std::slice::from_ref(&job.id));

        let (mut hinted, mut following) = (Hinted::default(), Following::default());
        hinted.take(hint(&key(&job), 7, now), &following, now);
        hinted.take(Vec::new(), &following, now + EARLY);
        following.put(&job);
        hinted.take(Vec::new(), &following, now + EARLY);
        assert!(hinted.keys().is_empty());
    }

    #[test]
    fn early_hints_of_one_tenant_take_no_room_of_anothers() {
        let (mut hinted, mut following, now) = (Hinted::default(), Following::default(), Instant::now());
        let job = running(7);
        let loud = (TenantId::trusted("loud"), "awx".to_owned());
        for run in 0..20_000 {
            hinted.take(hint(&loud, run, now), &following, now);
        }
        assert_eq!(hinted.early[&loud.0].len(), MOST_EARLY);
        hinted.take(hint(&key(&job), 7, now), &following, now);
        following.put(&job);
        hinted.take(Vec::new(), &following, now);
        assert_eq!(hinted.keys(), [key(&job)]);
    }

    #[test]
    fn what_ended_meanwhile_does_not_make_a_look_under_way_forgotten() {
        let (mut hinted, mut following, now) = (Hinted::default(), Following::default(), Instant::now());
        let job = running(7);
        following.put(&job);
        hinted.take(hint(&key(&job), 7, now), &following, now);
        hinted.begun(&key(&job), vec![job.id.clone()]);
        hinted.not_due(&key(&job), &["another".to_owned()]);
        hinted.over(&key(&job));
        hinted.settle(&following);
        hinted.ended(&key(&job), 7, &job.id, now);
        assert_eq!(hinted.unhinted.len(), 1, "the hint was about its start");
    }

    #[test]
    fn a_look_that_came_to_nothing_is_made_again() {
        let (mut hinted, mut following, now) = (Hinted::default(), Following::default(), Instant::now());
        let job = running(7);
        following.put(&job);
        hinted.take(hint(&key(&job), 7, now), &following, now);
        hinted.begun(&key(&job), vec![job.id.clone()]);
        assert!(hinted.keys().is_empty());
        hinted.came_to_nothing(&key(&job));
        assert_eq!(hinted.next(&key(&job), 200), [job.id]);
    }

    /// A run that ends, with a hint before, with one after, or with none.
    fn end(hinted: &mut Hinted, id: i64, with: &str, now: Instant) {
        let mut following = Following::default();
        let job = running(id);
        following.put(&job);
        if with == "before" {
            hinted.take(hint(&key(&job), id, now), &following, now);
            hinted.begun(&key(&job), vec![job.id.clone()]);
            hinted.over(&key(&job));
        }
        hinted.ended(&key(&job), id, &job.id, now);
        if with == "after" {
            hinted.take(hint(&key(&job), id, now), &Following::default(), now);
        }
    }

    #[test]
    fn hints_are_trusted_after_several_in_a_row_and_no_more_after_one_is_missing() {
        let (mut hinted, now, key) = (Hinted::default(), Instant::now(), key(&running(1)));
        end(&mut hinted, 1, "before", now);
        end(&mut hinted, 2, "after", now);
        assert!(!hinted.is_reliable(&key));
        end(&mut hinted, 3, "before", now);
        assert!(hinted.is_reliable(&key));
        end(&mut hinted, 4, "none", now);
        assert_eq!(hinted.failed(now), [], "it may still come");
        assert_eq!(hinted.failed(now + LATE), std::slice::from_ref(&key));
        assert!(!hinted.is_reliable(&key));
        assert_eq!(hinted.failed(now + LATE), []);
    }

    #[test]
    fn a_hint_that_a_run_started_does_not_count_for_its_end() {
        let (mut hinted, mut following, now) = (Hinted::default(), Following::default(), Instant::now());
        let job = running(7);
        following.put(&job);
        hinted.take(hint(&key(&job), 7, now), &following, now);
        hinted.begun(&key(&job), vec![job.id.clone()]);
        hinted.over(&key(&job));
        hinted.settle(&following);
        hinted.ended(&key(&job), 7, &job.id, now);
        assert_eq!(hinted.unhinted.len(), 1);
    }
}
