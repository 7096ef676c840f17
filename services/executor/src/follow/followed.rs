//! What is kept in memory of a run that is followed: enough to see in a sweep whether anything is to be done about it.
//! The job itself is read only then, so that ten thousand runs cost a few megabytes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use runwarden_awx::RunSummary;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

use super::follower::CANCEL_AGAIN;
use crate::job::{Job, Run};
use crate::store::Changed;

/// How soon to try again to have a run stopped; each further try doubles it, up to how often a cancellation is
/// repeated.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A tenant and one of its controllers.
pub(super) type Key = (TenantId, String);

/// A run that is followed.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    pub(super) run: Run,
    /// When it was bound.
    bound_at: Option<Moment>,
    /// What was last noted of it.
    progress: Box<str>,
    /// Whether it was missing or hidden, or over with output still to come.
    unsettled: bool,
    /// Whether its cancellation was requested.
    stop: bool,
    /// When its controller was last asked to stop it.
    asked: Option<Moment>,
    /// When it has run for as long as it may.
    over_at: Option<Moment>,
}

impl Followed {
    fn of(job: &Job) -> Option<Self> {
        let run = job.run.as_ref()?;
        let limit = u64::try_from(job.max_duration_seconds).ok().filter(|seconds| *seconds > 0);
        Some(Self {
            run: run.clone(),
            bound_at: job.launched_at,
            progress: job.progress.as_str().into(),
            unsettled: job.missing_since.is_some() || job.hidden_since.is_some() || job.ended_since.is_some(),
            stop: job.cancel_requested || job.condemned.is_some(),
            asked: job.cancel_sent_at,
            over_at: limit.zip(job.launched_at).map(|(limit, at)| at.plus(Duration::from_secs(limit))),
        })
    }

    /// Whether a row with its id is this run, and not a different one.
    pub(super) fn is_shown_by(&self, row: &RunSummary) -> bool {
        self.run.is_shown_by(row, self.bound_at)
    }

    /// Whether it is missing, both from the rows and from the ids of rows that could not be read.
    pub(super) fn is_astray(&self, rows: &HashMap<i64, RunSummary>, unreadable: &HashSet<i64>) -> bool {
        match rows.get(&self.run.id) {
            Some(row) => !self.is_shown_by(row),
            None => !unreadable.contains(&self.run.id),
        }
    }

    /// Whether its controller should be asked to stop it now.
    pub(super) fn is_to_stop(&self, now: Moment) -> bool {
        let wanted = self.stop || self.over_at.is_some_and(|at| now > at);
        wanted && self.asked.is_none_or(|at| now.since(at) >= CANCEL_AGAIN)
    }

    /// Whether what the controller reports of it requires an action.
    pub(super) fn calls_for_something(&self, row: Option<&RunSummary>, now: Moment) -> bool {
        let Some(row) = row else { return true };
        self.unsettled
            || !self.is_shown_by(row)
            || (self.run.created.is_none() && row.created.is_some())
            || row.ending().is_some()
            || self.is_to_stop(now)
            || !super::follower::is_noted(row, &self.progress)
    }
}

/// All runs that are followed.
#[derive(Default)]
pub(super) struct Following {
    /// By controller, then by job.
    groups: HashMap<Key, HashMap<String, Followed>>,
    /// Which controller a job's run is on.
    of_job: HashMap<String, Key>,
    /// Which job a run became, by controller and the run's id.
    of_run: HashMap<Key, HashMap<i64, String>>,
    /// Jobs whose runs are to be cancelled.
    to_stop: BTreeMap<String, Tries>,
}

/// How often cancelling a run was tried. Not every try gets as far as asking its controller: that may not tell of the
/// run, or its credential cannot be read.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    made: u32,
    /// When to try again, by the steady clock.
    next: Option<Instant>,
}

impl Tries {
    fn are_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    fn made(&mut self, now: Instant) {
        self.next = Some(now + FIRST_PAUSE.saturating_mul(1 << self.made.min(16)).min(CANCEL_AGAIN));
        self.made = self.made.saturating_add(1);
    }
}

impl Following {
    /// Takes note of a job. Answers the run that it followed until now, if it is over.
    pub(super) fn note(&mut self, changed: &Changed) -> Option<(Key, i64)> {
        match &changed.running {
            Some(job) => {
                self.put(job);
                None
            }
            None => self.drop(&changed.id),
        }
    }

    /// Takes note of a running job.
    pub(super) fn put(&mut self, job: &Job) {
        let Some(followed) = Followed::of(job) else { return };
        if followed.stop {
            self.to_stop.entry(job.id.clone()).or_default();
        }
        let key = (job.tenant.clone(), job.controller.clone());
        self.of_job.insert(job.id.clone(), key.clone());
        self.of_run.entry(key.clone()).or_default().insert(followed.run.id, job.id.clone());
        self.groups.entry(key).or_default().insert(job.id.clone(), followed);
    }

    fn drop(&mut self, job: &str) -> Option<(Key, i64)> {
        self.to_stop.remove(job);
        let key = self.of_job.remove(job)?;
        let group = self.groups.get_mut(&key)?;
        let followed = group.remove(job);
        if group.is_empty() {
            self.groups.remove(&key);
            self.of_run.remove(&key);
        }
        let run = followed?.run.id;
        if let Some(runs) = self.of_run.get_mut(&key)
            && runs.get(&run).is_some_and(|of| of == job)
        {
            runs.remove(&run);
        }
        Some((key, run))
    }

    /// The job that a run of a controller became.
    pub(super) fn job_of(&self, key: &Key, run: i64) -> Option<&str> {
        self.of_run.get(key)?.get(&run).map(String::as_str)
    }

    fn get(&self, job: &str) -> Option<&Followed> {
        self.groups.get(self.of_job.get(job)?)?.get(job)
    }

    /// Whether a job is followed whose run, as far as is known, is neither over nor missing.
    pub(super) fn goes_on(&self, job: &str) -> bool {
        self.get(job).is_some_and(|followed| !followed.unsettled)
    }

    /// Whether some run of a controller should be looked at often, hints or no hints: it is being stopped, of which no
    /// controller may tell, or its output is still arriving, or by then it will have run for too long.
    pub(super) fn needs_watching(&self, key: &Key, by: Moment) -> bool {
        let needs =
            |followed: &Followed| followed.unsettled || followed.stop || followed.over_at.is_some_and(|at| at <= by);
        self.groups.get(key).is_some_and(|group| group.values().any(needs))
    }

    /// How many runs there are.
    pub(super) fn len(&self) -> usize {
        self.of_job.len()
    }

    /// The controllers that have runs.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.groups.keys().cloned().collect()
    }

    /// All runs of a controller.
    pub(super) fn all(&self, key: &Key) -> Vec<(String, Followed)> {
        let group = self.groups.get(key).into_iter().flatten();
        group.map(|(job, followed)| (job.clone(), followed.clone())).collect()
    }

    /// Those of some jobs, by controller.
    pub(super) fn some<'a>(&self, jobs: impl Iterator<Item = &'a String>) -> HashMap<Key, Vec<(String, Followed)>> {
        let mut found: HashMap<Key, Vec<(String, Followed)>> = HashMap::new();
        for job in jobs {
            if let Some(key) = self.of_job.get(job)
                && let Some(followed) = self.groups.get(key).and_then(|group| group.get(job))
            {
                found.entry(key.clone()).or_default().push((job.clone(), followed.clone()));
            }
        }
        found
    }

    /// The jobs whose runs are to be cancelled now.
    pub(super) fn to_stop(&self, now: Moment, steady: Instant) -> Vec<String> {
        let due = |job: &String| {
            let group = self.of_job.get(job).and_then(|key| self.groups.get(key));
            group.and_then(|group| group.get(job)).is_some_and(|followed| followed.is_to_stop(now))
        };
        let tried = self.to_stop.iter().filter(|(job, tries)| tries.are_due(steady) && due(job));
        tried.map(|(job, _)| job.clone()).collect()
    }

    /// Records that cancelling these is being tried, whatever the result.
    pub(super) fn stopping<'a>(&mut self, jobs: impl Iterator<Item = &'a String>, steady: Instant) {
        for job in jobs {
            if let Some(tries) = self.to_stop.get_mut(job) {
                tries.made(steady);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobState;
    use crate::job::tests::example;
    use crate::test_doubles::installation;

    fn seen(id: i64, status: &str) -> RunSummary {
        runwarden_awx::examples::summary(id, status).unwrap()
    }

    fn running(id: i64) -> Job {
        let run = Run { installation: installation(1), kind: "job".into(), id, template: None, created: None };
        Job { state: JobState::Running, run: Some(run), ..example() }
    }

    #[test]
    fn what_ends_is_followed_no_more() {
        let mut following = Following::default();
        let (one, two) = (running(1), running(2));
        following.put(&one);
        following.put(&two);
        assert_eq!((following.len(), following.keys().len()), (2, 1));
        following.note(&Changed { version: 1, id: one.id.clone(), running: None });
        assert_eq!(following.all(&following.keys()[0]).iter().map(|(id, _)| id).collect::<Vec<_>>(), [&two.id]);
        following.note(&Changed { version: 2, id: two.id, running: None });
        assert!(following.keys().is_empty());
    }

    #[test]
    fn who_is_to_stop_is_asked_and_asked_again_after_a_while() {
        let now = Moment::from_micros(0).plus(Duration::from_secs(1000));
        let mut following = Following::default();
        let mut job = Job { cancel_requested: true, ..running(1) };
        following.put(&job);
        let steady = Instant::now();
        assert_eq!(following.to_stop(now, steady), [job.id.clone()]);
        job.cancel_sent_at = Some(now);
        following.put(&job);
        assert!(following.to_stop(now.plus(Duration::from_secs(1)), steady).is_empty());
        assert_eq!(following.to_stop(now.plus(CANCEL_AGAIN), steady), [job.id.clone()]);
    }

    #[test]
    fn a_try_that_comes_to_nothing_is_repeated_after_pauses_that_grow() {
        let (now, start) = (Moment::from_micros(0).plus(Duration::from_secs(1000)), Instant::now());
        let mut following = Following::default();
        let job = Job { cancel_requested: true, ..running(1) };
        following.put(&job);
        let mut tries = 0;
        // Looked at every hundredth of a second, for ten minutes.
        for hundredth in 0..60_000 {
            let steady = start + Duration::from_millis(10 * hundredth);
            let due = following.to_stop(now, steady);
            tries += due.len();
            following.stopping(due.iter(), steady);
            // Whatever else is noted of the job does not make it more urgent.
            following.put(&job);
        }
        assert!((20..=26).contains(&tries), "{tries}");
    }

    #[test]
    fn a_run_that_takes_too_long_calls_for_something_and_one_that_goes_on_does_not() {
        let launched = Moment::from_micros(0).plus(Duration::from_secs(1000));
        let job =
            Job { launched_at: Some(launched), max_duration_seconds: 60, progress: "running".into(), ..running(1) };
        let followed = Followed::of(&job).unwrap();
        let row = seen(1, "running");
        assert!(!followed.calls_for_something(Some(&row), launched.plus(Duration::from_secs(59))));
        assert!(followed.calls_for_something(Some(&row), launched.plus(Duration::from_secs(61))));
        assert!(followed.calls_for_something(Some(&seen(1, "successful")), launched));
        assert!(followed.calls_for_something(Some(&seen(1, "pending")), launched));
        assert!(followed.calls_for_something(None, launched));
    }
}
