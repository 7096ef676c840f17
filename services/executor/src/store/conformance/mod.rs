//! What every store of jobs must do: one suite for each trait it has. An engine runs all of them with
//! `job_store_conformance!`, which makes one test of each function.
//!
//! Each function takes a [`Bench`] whose store is fresh and empty.

pub(crate) mod executors;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod queues;
pub(crate) mod strays;
pub(crate) mod watches;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use runwarden_engines::conformance::Faults;
use runwarden_kit::audit::{Entry, OutboxStore};
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

use super::{Acceptance, Accepted, Effects, JobEvent, JobStore};
use crate::job::tests::example;
use crate::job::{AT_ONCE, Attempt, AttemptState, Job, JobState, Run};
use crate::test_doubles::installation;

/// Makes one test of each promise of a job store. `$make` is an async function without arguments that answers
/// `anyhow::Result<(guard, Bench)>`; the guard keeps what the store needs (a folder, a server) alive.
macro_rules! job_store_conformance {
    ($make:path) => {
        mod jobs {
            runwarden_engines::conformance_tests!(
                $make,
                [crate::store::conformance::jobs],
                a_job_is_read_as_it_was_accepted,
                an_acceptance_that_fails_leaves_nothing,
                an_acceptance_that_is_cut_off_is_whole_or_not_done,
                no_more_wait_than_there_is_room_for_however_many_race,
                changes_that_race_are_all_made_one_after_the_other,
                a_change_that_fails_leaves_nothing,
                a_change_that_is_cut_off_is_whole_or_not_done,
                a_change_that_wants_nothing_changes_nothing,
                a_change_that_is_made_more_than_once_has_its_effects_once,
                what_is_committed_is_told_as_it_was_written,
                of_jobs_that_race_for_a_run_one_gets_it,
                a_tenant_is_a_wall,
                a_list_is_newest_first_and_pages_without_gaps_while_jobs_come_in,
                events_page_without_gaps_while_the_job_changes,
                output_is_read_whole_in_pieces_of_any_size,
                time_that_goes_back_reorders_nothing,
                an_attempt_is_written_over_and_the_last_one_is_the_highest,
                what_is_unresolved_is_the_oldest_that_is_out,
            );
        }
        mod keys {
            runwarden_engines::conformance_tests!(
                $make,
                [crate::store::conformance::keys],
                a_key_finds_its_job_for_its_tenant_and_principal_alone,
                of_requests_that_race_with_one_key_one_makes_its_job,
                a_request_that_was_cut_off_may_be_repeated_and_makes_one_job,
                keys_are_forgotten_by_when_their_job_was_accepted,
            );
        }
        mod queues {
            runwarden_engines::conformance_tests!(
                $make,
                [crate::store::conformance::queues],
                each_job_is_claimed_once_however_many_race,
                no_more_are_claimed_than_may_be_under_way_however_many_race,
                no_more_are_begun_than_may_be_under_way_however_many_race,
                of_unmarked_launches_that_race_one_is_begun,
                a_claim_that_fails_leaves_the_job_free,
                a_claim_that_is_cut_off_leaves_the_job_free_or_held,
                a_beginning_that_fails_leaves_nothing,
                a_beginning_that_is_cut_off_is_whole_and_happens_once,
                only_its_fence_lets_go_of_a_job,
                names_of_queues_are_taken_literally,
                a_clock_that_jumps_shows_and_hides_what_is_due,
                a_clock_that_jumps_back_begins_no_more_than_a_period_may_have,
                outdated_and_expired_jobs_are_found_to_the_last,
            );
        }
        mod executors {
            runwarden_engines::conformance_tests!(
                $make,
                [crate::store::conformance::executors],
                every_beat_counts_and_shows_to_the_others,
                of_many_who_free_the_gone_one_does,
                one_that_moved_is_not_freed,
                freeing_that_fails_frees_nothing,
                freeing_that_is_cut_off_is_whole_or_not_done,
                one_that_starts_again_gets_back_what_it_held_and_nothing_else,
            );
        }
        mod watches {
            runwarden_engines::conformance_tests!(
                $make,
                [crate::store::conformance::watches],
                whoever_reads_on_misses_no_change_while_jobs_change,
                whoever_follows_all_jobs_hears_of_every_end,
                a_change_that_fails_has_no_number,
                running_jobs_page_by_id_without_gaps,
                of_executors_that_race_for_a_controller_one_follows_it,
                following_that_fails_or_is_cut_off_may_be_asked_for_again,
                a_silence_is_kept_as_it_was_said_until_its_controller_is_heard,
                a_silence_that_fails_leaves_the_one_before,
            );
        }
        mod strays {
            runwarden_engines::conformance_tests!(
                $make,
                [crate::store::conformance::strays],
                a_stray_comes_with_its_change_or_not_at_all,
                of_many_who_take_a_stray_one_gets_it,
                a_stray_is_settled_once_with_its_entry,
                settling_a_stray_is_whole_or_not_done,
            );
        }
    };
}
pub(crate) use job_store_conformance;

/// A store under test.
pub(crate) struct Bench {
    /// Two ways to the same store, as two executors have them.
    pub(crate) stores: [Arc<dyn JobStore>; 2],
    /// The audit entries that changes left in it.
    pub(crate) outbox: Arc<dyn OutboxStore>,
    /// How it is made to fail.
    pub(crate) faults: Arc<dyn Faults>,
}

impl Bench {
    fn store(&self) -> &dyn JobStore {
        &*self.stores[0]
    }

    /// One of the ways, for a racer of this number.
    fn of(&self, number: usize) -> Arc<dyn JobStore> {
        Arc::clone(&self.stores[number % 2])
    }

    async fn put(&self, job: Job) -> Result<Job> {
        anyhow::ensure!(matches!(self.store().accept(Acceptance::of(job.clone())).await?, Accepted::New(_)));
        Ok(job)
    }

    /// Accepts a job and has it run.
    async fn put_running(&self) -> Result<Job> {
        let job = self.put(example()).await?;
        let id = run_id_of(&job);
        self.update(&job.id, |job| {
            job.state = JobState::Running;
            job.due_at = None;
            job.run = Some(run(id));
            Effects::announced()
        })
        .await
    }

    async fn update(&self, id: &str, change: impl Fn(&mut Job) -> Effects + Send + Sync) -> Result<Job> {
        Ok(self.store().change(id, at(2), None, &changing(change)).await?.context("the job is gone")?.job)
    }

    async fn job(&self, id: &str) -> Result<Job> {
        self.store().get(&TenantId::trusted("acme"), id).await?.context("the job is gone")
    }

    async fn events(&self, id: &str) -> Result<Vec<JobEvent>> {
        Ok(self.store().events(id, 0, usize::MAX).await?)
    }

    async fn entries(&self) -> Result<usize> {
        Ok(self.outbox.totals().await?.0)
    }
}

/// A change of the job alone.
fn changing(
    change: impl Fn(&mut Job) -> Effects + Send + Sync,
) -> impl Fn(&mut Job, Option<Attempt>, bool) -> runwarden_kit::Result<Option<Effects>> + Send + Sync {
    move |job, _, _| Ok(Some(change(job)))
}

fn at(second: u64) -> Moment {
    Moment::from_micros(0).plus(Duration::from_secs(second))
}

/// A job that is due.
fn due() -> Job {
    Job { due_at: Some(AT_ONCE), ..example() }
}

/// An entry with an id of its own.
fn entry() -> Entry {
    Entry { entry_id: runwarden_kit::id::new("rec"), tenant: "acme".into(), ..Entry::default() }
}

/// A number that another job hardly has.
fn run_id_of(job: &Job) -> i64 {
    job.id.bytes().fold(7, |hash: i64, byte| hash.wrapping_mul(31).wrapping_add(i64::from(byte))) & (i64::MAX >> 8)
}

fn run(id: i64) -> Run {
    Run { installation: installation(1), kind: "job".into(), id, template: Some(9), created: Some(at(1)) }
}

fn intent(job: &Job, number: u32, placement: &str) -> Attempt {
    Attempt {
        job_id: job.id.clone(),
        number,
        installation: installation(1),
        controller_template: 9,
        account: 1,
        marker: "rw_1".into(),
        placement: placement.into(),
        sent_at: at(1),
        controller_time: None,
        named: None,
        marker_took: None,
        told: crate::job::Told::default(),
        state: AttemptState::Intent,
    }
}

/// What each of many did at once, in the order in which they were started.
async fn all<T: Send + 'static>(racers: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let racers: Vec<_> = racers.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for racer in racers {
        answers.push(racer.await.expect("a racer panicked"));
    }
    answers
}
