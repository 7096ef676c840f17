//! A process that is killed inside a group of changes: each of them was answered and is there, or was not answered and is
//! there whole or not at all.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use runwarden_engines::{EngineSettings, Engines};
use runwarden_kit::audit::Entry;
use runwarden_kit::caller::Visible;
use runwarden_kit::tenant::TenantId;

use crate::failpoint::Failpoint;
use crate::job::Job;
use crate::job::tests::example;
use crate::store::{Acceptance, Accepted, IdempotencyClaim, JobFilter, Stores};

/// Names the failpoint and the folder in the process that is to die.
const DIES_AT: &str = "RUNWARDEN_TEST_DIES_AT";
/// The test that is that process.
const DYING: &str = "store::sqlite::killed::dies_where_it_is_told_to";
/// How many jobs each caller submits at most. It dies long before.
const JOBS: usize = 10_000;
/// How many submit at once.
const CALLERS: usize = 32;

async fn open(folder: &Path, failpoint: Failpoint) -> Stores {
    let engines = Engines::open(EngineSettings::embedded(folder)).unwrap();
    Stores::open_failing(&engines, None, failpoint).await.unwrap()
}

/// An acceptance with a row of every kind.
fn acceptance() -> Acceptance {
    let job = example();
    let key = IdempotencyClaim { principal: "sa_1".into(), key_hash: job.id.clone(), body_digest: "d".into() };
    let entry = Entry { entry_id: runwarden_kit::id::new("rec"), tenant: "acme".into(), ..Entry::default() };
    Acceptance { idempotency: Some(key), entries: vec![entry], ..Acceptance::of(job) }
}

/// The process that dies: many callers submit jobs, and write down what was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dies_where_it_is_told_to() {
    let Ok(told) = std::env::var(DIES_AT) else { return };
    let (failpoint, folder) = told.split_once(' ').unwrap();
    let stores = open(Path::new(folder), failpoint.parse().unwrap()).await;
    let answered = std::fs::File::create(Path::new(folder).join("answered")).unwrap();
    let answered = Arc::new(Mutex::new(answered));
    let callers = (0..CALLERS).map(|_| {
        let (store, answered) = (stores.jobs.clone(), answered.clone());
        tokio::spawn(async move {
            for _ in 0..JOBS {
                let acceptance = acceptance();
                let id = acceptance.job.id.clone();
                assert!(matches!(store.accept(acceptance).await.unwrap(), Accepted::New(_)));
                answered.lock().unwrap().write_all(format!("{id}\n").as_bytes()).unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

/// What is left of a process that died there: what was answered, and the jobs that are there.
async fn left_by(failpoint: &str) -> (BTreeSet<String>, Vec<Job>) {
    let folder = tempfile::tempdir().unwrap();
    let died = Command::new(std::env::current_exe().unwrap())
        .args([DYING, "--exact", "--nocapture"])
        .env(DIES_AT, format!("{failpoint} {}", folder.path().display()))
        .output()
        .unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&died.status);
    assert_eq!(signal, Some(9), "{failpoint}: {}", String::from_utf8_lossy(&died.stderr));
    let answered = std::fs::read_to_string(folder.path().join("answered")).unwrap();
    let answered: BTreeSet<String> = answered.lines().map(str::to_owned).collect();

    let stores = open(folder.path(), Failpoint::default()).await;
    let all = JobFilter { limit: usize::MAX, ..JobFilter::default() };
    let jobs = stores.jobs.list(&TenantId::trusted("acme"), &Visible::All, all).await.unwrap();
    for job in &jobs {
        assert_eq!(stores.jobs.events(&job.id, 0, 9).await.unwrap().len(), 1, "{failpoint}: {} is torn", job.id);
        let by_key = stores.jobs.find_by_key(&job.tenant, "sa_1", &job.id).await.unwrap();
        assert_eq!(by_key.map(|(_, found)| found.id), Some(job.id.clone()), "{failpoint}: {} is torn", job.id);
    }
    assert_eq!(stores.outbox.totals().await.unwrap(), (jobs.len(), 0), "{failpoint}: an entry for each job");
    let there: BTreeSet<String> = jobs.iter().map(|job| job.id.clone()).collect();
    assert!(answered.is_subset(&there), "{failpoint}: answered, and gone: {:?}", answered.difference(&there));
    (answered, jobs)
}

#[tokio::test]
async fn a_half_filled_group_is_not_there_and_what_was_answered_is() {
    let (answered, jobs) = left_by("group.filling:1").await;
    assert!(answered.is_empty() && jobs.is_empty());
    for time in [20, 77, 200] {
        let (answered, jobs) = left_by(&format!("group.filling:{time}")).await;
        // The last one was made and not committed, and with it all of its group.
        assert!(jobs.len() < time, "{} of {time}", jobs.len());
        assert!(answered.len() + CALLERS >= time, "those before it were answered: {}", answered.len());
    }
}

#[tokio::test]
async fn a_group_that_was_committed_is_there_whole_though_nobody_was_answered() {
    let (answered, jobs) = left_by("group.committed:1").await;
    assert!(answered.is_empty() && !jobs.is_empty());
    let (answered, jobs) = left_by("group.committed:9").await;
    assert!(answered.len() < jobs.len());
}
