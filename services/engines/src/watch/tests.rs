//! The owner's side over real stores: nothing is missed, and a change is in force when it is answered.

use std::path::Path;
use std::time::Instant;

use runwarden_kit::lifecycle::{Shutdown, Tasks};
use runwarden_kit::watched::{STALE, WatchSource, Watched, follow_source};

use super::*;
use crate::sqlite::SqliteConfigStore;

fn concern(key: &str) -> Concern<'_> {
    match key.split_once('/') {
        Some(("things", rest)) => Concern::Tenant(rest.split('/').next().unwrap_or_default()),
        Some(("aside", _)) => Concern::Nobody,
        _ => Concern::Everyone,
    }
}

async fn open(path: &Path) -> (Arc<dyn ConfigStore>, Watch) {
    watched(Arc::new(SqliteConfigStore::open(path).await.unwrap()), concern)
}

async fn write(store: &Arc<dyn ConfigStore>, key: &str, value: Option<&str>) -> i64 {
    let mut change = Change::new();
    match value {
        Some(value) => change.put(key, value),
        None => change.delete(key),
    };
    match store.commit(change).await.unwrap() {
        Commit::Done { revision } => revision,
        refused @ Commit::Refused { .. } => panic!("{refused:?}"),
    }
}

/// A watcher that asks when the test says so.
struct Asker {
    watch: Watch,
    question: Question,
}

impl Asker {
    async fn begin(watch: &Watch) -> Self {
        let question = Question { watcher: id::new("watcher"), known_version: String::new() };
        let mut asker = Self { watch: watch.clone(), question };
        assert!(asker.ask().await.everything, "at first nothing kept may be used");
        asker
    }

    async fn ask(&mut self) -> News {
        let news = self.watch.news(&self.question).await.unwrap();
        self.question.known_version.clone_from(&news.version);
        news
    }

    /// The tenants that changed; `*` for everything.
    async fn changed(&mut self) -> Vec<String> {
        let News { everything, changed_tenants, .. } = self.ask().await;
        if everything { vec!["*".into()] } else { changed_tenants }
    }
}

/// Changes that nobody waits for to be heeded: by the store beneath, but noted.
async fn noted(watch: &Watch, key: &str, value: Option<&str>) {
    let mut changed = Changed::default();
    changed.add(concern(key));
    let revision = write(&watch.0.store, key, value).await;
    watch.0.history().note(revision, changed);
    watch.0.noted.notify_waiters();
}

#[tokio::test]
async fn writes_and_deletions_are_told_by_tenant_and_what_concerns_nobody_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_, watch) = open(&folder.path().join("config.db")).await;
    let mut asker = Asker::begin(&watch).await;
    noted(&watch, "things/a/1", Some("1")).await;
    noted(&watch, "aside/1", Some("1")).await;
    noted(&watch, "things/b/1", Some("1")).await;
    assert_eq!(asker.changed().await, ["a", "b"]);
    noted(&watch, "things/b/1", None).await;
    assert_eq!(asker.changed().await, ["b"]);
    noted(&watch, "aside/1", None).await;
    assert_eq!(asker.changed().await, [""; 0]);
    noted(&watch, "settings", Some("1")).await;
    assert_eq!(asker.changed().await, ["*"]);
}

#[tokio::test]
async fn a_change_wakes_who_waits_and_without_one_the_answer_comes_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (_, watch) = open(&folder.path().join("config.db")).await;
    let mut asker = Asker::begin(&watch).await;
    let began = Instant::now();
    assert_eq!(asker.changed().await, [""; 0]);
    assert!(began.elapsed() >= HEARTBEAT);
    let change = async {
        // The asker was polled first, so it waits by now or reads the store before or after this: each will do.
        noted(&watch, "things/a/1", Some("1")).await;
    };
    let (changed, ()) = tokio::join!(asker.changed(), change);
    assert_eq!(changed, ["a"]);
}

#[tokio::test]
async fn what_another_process_wrote_or_deleted_is_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.db");
    let (_, watch) = open(&path).await;
    let (other, _) = open(&path).await;
    noted(&watch, "things/a/1", Some("1")).await;
    let mut asker = Asker::begin(&watch).await;
    write(&other, "things/a/2", Some("1")).await;
    assert_eq!(asker.changed().await, ["*"]);
    write(&other, "things/a/2", None).await;
    noted(&watch, "things/b/2", None).await;
    assert_eq!(asker.changed().await, ["*"]);
    noted(&watch, "things/b/2", Some("1")).await;
    assert_eq!(asker.changed().await, ["b"]);
}

#[tokio::test]
async fn after_a_restart_everything_may_have_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.db");
    let (_, watch) = open(&path).await;
    let mut asker = Asker::begin(&watch).await;
    noted(&watch, "things/a/1", Some("1")).await;
    assert_eq!(asker.changed().await, ["a"]);
    (_, asker.watch) = open(&path).await;
    assert_eq!(asker.changed().await, ["*"]);
    assert_eq!(asker.changed().await, [""; 0]);
    for version in ["", ".", "1", "epoch.1", &format!("{}.x", asker.watch.0.epoch)] {
        asker.question.known_version = version.to_owned();
        assert_eq!(asker.changed().await, ["*"], "{version:?}");
    }
}

#[tokio::test]
async fn a_watcher_without_a_proper_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, watch) = open(&folder.path().join("config.db")).await;
    for watcher in [String::new(), "watcher_1".to_owned(), "x".repeat(1 << 20)] {
        let question = Question { watcher, known_version: String::new() };
        assert!(watch.news(&question).await.is_err());
    }
    for _ in 0..1024 {
        watch.0.watchers.came(&id::new("watcher"), None).unwrap();
    }
    assert!(watch.0.watchers.came(&id::new("watcher"), None).is_err(), "their number is limited");
}

struct Here(Watch);

#[async_trait]
impl WatchSource for Here {
    async fn watch(&self, question: Question) -> runwarden_kit::Result<News> {
        self.0.news(&question).await
    }
}

#[tokio::test]
async fn whoever_made_a_change_finds_it_in_force_at_every_watcher() {
    let folder = tempfile::tempdir().unwrap();
    let (store, watch) = open(&folder.path().join("config.db")).await;
    let tasks = Tasks::new(Shutdown::new());
    let kept: [Arc<Watched<Vec<u8>>>; 3] = [(); 3].map(|()| Watched::new("test", 10));
    for watched in &kept {
        let follow = follow_source(Here(watch.clone()), vec![watched.clone()], tasks.shutdown().clone());
        tasks.spawn("watch", follow);
    }
    let read = async || Ok(store.get("things/a/1").await?.map(|entry| entry.value));
    let began = Instant::now();
    for round in 0..50 {
        let value = round.to_string();
        write(&store, "things/a/1", Some(&value)).await;
        for watched in &kept {
            let found = watched.get_or_ask("a", "1", read).await.unwrap();
            assert_eq!(found.as_deref(), Some(value.as_bytes()));
        }
    }
    assert!(began.elapsed() < 50 * STALE / 2, "watchers that are well hold nobody up");
    write(&store, "things/a/1", None).await;
    for watched in &kept {
        assert_eq!(watched.get("a", "1"), None);
    }
    tasks.shutdown().begin();
    assert!(tasks.join(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_watcher_that_is_gone_holds_a_change_up_for_as_long_as_it_may_use_what_it_kept() {
    let watchers = Watchers::default();
    let (one, gone) = (id::new("watcher"), id::new("watcher"));
    let asked = Instant::now();
    watchers.came(&one, Some(4)).unwrap();
    watchers.came(&gone, None).unwrap();
    {
        let heeded = watchers.heeded(5);
        tokio::pin!(heeded);
        tokio::select! {
            biased;
            () = &mut heeded => panic!("nobody has heeded it"),
            () = std::future::ready(()) => {}
        }
        watchers.came(&one, Some(5)).unwrap();
        heeded.await;
        assert!(asked.elapsed() >= STALE, "the one that is gone may have used what it kept until then");
    }
    // It is forgotten: what it does not know keeps nobody waiting.
    watchers.came(&one, Some(6)).unwrap();
    tokio::select! {
        biased;
        () = watchers.heeded(6) => {}
        () = std::future::ready(()) => panic!("there is nobody to wait for"),
    }
}

mod conformance {
    use super::*;

    async fn make() -> anyhow::Result<(tempfile::TempDir, Arc<dyn ConfigStore>)> {
        let folder = tempfile::tempdir()?;
        let (store, _) = open(&folder.path().join("config.db")).await;
        Ok((folder, store))
    }

    crate::config_store_conformance!(make);
}
