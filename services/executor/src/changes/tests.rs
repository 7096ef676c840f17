use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use runwarden_engines::conformance::{Faults, failing_commits};
use runwarden_kit::Error;

use super::*;
use crate::job::tests::example;
use crate::job::{AT_ONCE, Attempt, AttemptState};
use crate::live::Waiter;
use crate::store::sqlite::conformance::bench;
use crate::test_doubles::{NoTemplates, Rung, installation, shared};
use crate::wait::limits::Limits;

/// An executor with one job that was accepted, and one who waits for it.
struct Here {
    shared: Shared,
    faults: Arc<dyn Faults>,
    job: Job,
    waiter: Waiter,
    _folder: tempfile::TempDir,
}

impl Here {
    async fn new() -> Self {
        let (folder, bench) = bench().await.unwrap();
        let shared = shared(bench.stores[0].clone(), Arc::new(NoTemplates));
        let job = example();
        shared.store.accept(Acceptance::of(job.clone())).await.unwrap();
        let waiter = shared.live.wait_for(&job.id);
        Self { shared, faults: bench.faults, job, waiter, _folder: folder }
    }

    fn rung(&mut self) -> Rung {
        Rung::since(&self.shared, &mut self.waiter)
    }

    async fn change(&self, effects: Option<Effects>) -> Result<Option<Committed>> {
        self.shared.change(&self.job.id, at(2), None, &|_, _, _| Ok(effects.clone())).await
    }

    fn stray(&self) -> Stray {
        let run = Run { installation: installation(1), kind: "job".into(), id: 7, template: Some(9), created: None };
        Stray {
            tenant: self.job.tenant.clone(),
            job: self.job.id.clone(),
            attempt: 1,
            controller: "awx".into(),
            run,
            found_at: at(1),
            due_at: AT_ONCE,
            looks: 0,
        }
    }

    fn begin(&self) -> Begin {
        let attempt = Attempt {
            job_id: self.job.id.clone(),
            number: 1,
            installation: installation(1),
            controller_template: 9,
            account: 1,
            marker: "rw_1".into(),
            placement: "none".into(),
            sent_at: at(1),
            controller_time: None,
            named: None,
            marker_took: None,
            told: crate::job::Told::default(),
            state: AttemptState::Intent,
        };
        Begin { attempt, fence: 0, limits: Limits::default(), now: at(1), entries: vec![entry()] }
    }
}

fn at(second: i64) -> Moment {
    Moment::from_micros(second * 1_000_000)
}

fn entry() -> Entry {
    Entry { entry_id: runwarden_kit::id::new("rec"), tenant: "acme".into(), ..Entry::default() }
}

fn counting() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

/// How often something was counted, whatever its labels.
fn counted(recorder: &PrometheusRecorder, name: &str) -> u32 {
    let shown = recorder.handle().render();
    let lines = shown.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum()
}

#[tokio::test]
async fn each_effect_rings_its_bell_and_no_other() {
    let nobody = Rung::default();
    let ended = Rung { work: true, ended: true, ..nobody };
    let news = |news| Effects::default().with_news(news);
    let printed = Effects { output: Some("printed".into()), ..Effects::default() };
    let mut here = Here::new().await;
    assert_eq!(here.rung(), nobody);
    let stray = Effects::strayed(here.stray(), entry());
    for (effects, rung) in [
        (None, nobody),
        (Some(Effects::default()), nobody),
        (Some(Effects::announced()), Rung { live: true, ..nobody }),
        (Some(printed), Rung { live: true, ..nobody }),
        (Some(Effects::default().with_entry(entry())), Rung { bell: true, ..nobody }),
        (Some(stray), Rung { bell: true, ..nobody }),
        (Some(news(News::Accepted)), Rung { work: true, ..nobody }),
        (Some(news(News::Due)), Rung { work: true, ..nobody }),
        (Some(news(News::Learned)), ended),
        (Some(news(News::Bound)), Rung { watch: true, ..nobody }),
        (Some(news(News::ToStop)), Rung { watch: true, ..nobody }),
        (Some(news(News::Finished)), ended),
        (Some(Effects::announced().finished(entry())), Rung { live: true, bell: true, ..ended }),
    ] {
        here.change(effects.clone()).await.unwrap().unwrap();
        assert_eq!(here.rung(), rung, "{effects:?}");
    }
    assert!(here.shared.change("job_none", at(2), None, &|_, _, _| Ok(None)).await.unwrap().is_none());
    assert_eq!(here.rung(), nobody);
}

#[tokio::test]
async fn what_is_accepted_begun_and_settled_rings_too() {
    let recorder = counting();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let mut here = Here::new().await;
    let acceptance = Acceptance { entries: vec![entry()], ..Acceptance::of(example()) };
    assert!(matches!(here.shared.accept(acceptance).await.unwrap(), Accepted::New(_)));
    assert_eq!(here.rung(), Rung { work: true, bell: true, ..Rung::default() }, "nobody waits for that one");
    assert_eq!(counted(&recorder, "runwarden_jobs_accepted_total"), 1);
    assert!(matches!(here.shared.begin_attempt(here.begin()).await.unwrap(), Begun::Yes(..)));
    assert_eq!(here.rung(), Rung { live: true, bell: true, ..Rung::default() });
    assert!(matches!(here.shared.begin_attempt(here.begin()).await.unwrap(), Begun::Lost));
    assert_eq!(here.rung(), Rung::default());
    let stray = here.stray();
    here.change(Some(Effects { stray: Some(stray.clone()), ..Effects::default() })).await.unwrap();
    for rung in [Rung { bell: true, ..Rung::default() }, Rung::default()] {
        here.shared.settle_stray(&here.job, &stray, entry()).await.unwrap();
        assert_eq!(here.rung(), rung, "it is settled once");
    }
}

#[tokio::test]
async fn a_job_that_is_due_much_later_wakes_no_launcher() {
    let mut here = Here::new().await;
    let now = here.shared.clock.now();
    for (due, work) in [(now.plus(SOON / 2), true), (now.plus(SOON * 60), false)] {
        let later = Job { due_at: Some(due), ..example() };
        here.shared.accept(Acceptance::of(later)).await.unwrap();
        assert_eq!(here.rung(), Rung { work, ..Rung::default() });
    }
}

#[tokio::test]
async fn a_commit_that_fails_counts_and_rings_nothing() {
    let recorder = counting();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let mut here = Here::new().await;
    let stray = here.stray();
    here.change(Some(Effects { stray: Some(stray.clone()), ..Effects::default() })).await.unwrap();
    let before = recorder.handle().render();
    let acceptance = Acceptance { entries: vec![entry()], ..Acceptance::of(example()) };
    let everything = [News::Accepted, News::Due, News::Learned, News::Bound, News::ToStop, News::Finished];
    let everything = everything.into_iter().fold(Effects::strayed(stray.clone(), entry()), Effects::with_news);
    let everything = Effects { announced: true, output: Some("printed".into()), ..everything };
    failing_commits(&*here.faults, here.change(Some(everything.clone()))).await.unwrap();
    failing_commits(&*here.faults, here.shared.accept(acceptance)).await.unwrap();
    failing_commits(&*here.faults, here.shared.begin_attempt(here.begin())).await.unwrap();
    failing_commits(&*here.faults, here.shared.settle_stray(&here.job, &stray, entry())).await.unwrap();
    let refused = here.shared.change(&here.job.id, at(2), None, &|_, _, _| Err(Error::not_found("job"))).await;
    refused.unwrap_err();
    assert_eq!(here.rung(), Rung::default());
    assert_eq!(recorder.handle().render(), before);
    // The same counts and rings once it is committed.
    here.change(Some(everything)).await.unwrap();
    let all = Rung { live: true, work: true, ended: true, watch: true, bell: true };
    assert_eq!(here.rung(), all);
    assert_ne!(recorder.handle().render(), before);
}

#[tokio::test]
async fn a_change_that_the_store_makes_twice_is_counted_once() {
    let recorder = counting();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let here = Here::new().await;
    let calls = AtomicUsize::new(0);
    let change = |job: &mut Job, _, _| {
        calls.fetch_add(1, Ordering::Relaxed);
        job.end(crate::job::JobState::Canceled, at(2), None)?;
        Ok(Some(Effects { stray: Some(here.stray()), ..Effects::announced() }.finished(entry())))
    };
    here.shared.change(&here.job.id, at(2), None, &change).await.unwrap();
    assert!(calls.into_inner() > 1, "in tests every change is made twice");
    for name in ["runwarden_jobs_finished_total", "runwarden_stray_runs_total"] {
        assert_eq!(counted(&recorder, name), 1, "{name}");
    }
    assert_eq!(here.shared.store.count_strays().await.unwrap(), 1);
    assert_eq!(here.shared.store.events(&here.job.id, 0, 9).await.unwrap().len(), 2);
}
