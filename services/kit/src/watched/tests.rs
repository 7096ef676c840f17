use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, oneshot};

use super::*;
use crate::error::Error;
use crate::lifecycle::{Shutdown, Tasks};

/// A clock that only moves when it is told to.
#[derive(Clone)]
struct Held(Arc<Mutex<Present>>);

impl Held {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(present())))
    }

    fn now(&self) -> Present {
        *self.0.lock().unwrap()
    }

    fn pass(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        now.steady += time;
        now.wall = now.wall.plus(time);
    }

    /// The wall clock alone is set, ahead or back.
    fn set_wall(&self, micros: i64) {
        let mut now = self.0.lock().unwrap();
        now.wall = crate::clock::Moment::from_micros(now.wall.micros() + micros);
    }

    fn watched(&self, capacity: usize) -> Arc<Watched<u32>> {
        let here = self.clone();
        Watched::with_clocks("test", capacity, Arc::new(move || here.now()))
    }
}

fn nothing() -> News {
    News { version: "1".into(), ..News::default() }
}

fn everything() -> News {
    News { everything: true, ..nothing() }
}

fn changed(tenant: &str) -> News {
    News { changed_tenants: vec![tenant.to_owned()], ..nothing() }
}

/// Asks, and counts that.
async fn look(watched: &Watched<u32>, tenant: &str, key: &str, value: u32, asked: &AtomicUsize) -> u32 {
    let ask = || async {
        asked.fetch_add(1, Ordering::SeqCst);
        Ok(Some(value))
    };
    watched.get_or_ask(tenant, key, ask).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_kept_is_used_for_a_second_after_the_question_and_no_longer() {
    let time = Held::new();
    let watched = time.watched(10);
    let asked = AtomicUsize::new(0);
    // Not heard of yet: each asks, and nothing is kept.
    assert_eq!(look(&watched, "a", "k", 1, &asked).await, 1);
    let sent = time.now();
    watched.heard(sent, &everything());
    assert_eq!(look(&watched, "a", "k", 2, &asked).await, 2);
    assert_eq!(look(&watched, "a", "k", 3, &asked).await, 2);
    time.pass(STALE);
    assert_eq!(watched.get("a", "k"), Some(2));
    // The answer to an old question says what was true when it was asked.
    time.pass(Duration::from_millis(1));
    watched.heard(sent, &nothing());
    assert_eq!(watched.get("a", "k"), None);
    assert_eq!(look(&watched, "a", "k", 4, &asked).await, 4);
    assert_eq!(look(&watched, "a", "k", 5, &asked).await, 5);
    // Heard again, and nothing had changed since version 1: what was learned in between holds.
    watched.heard(time.now(), &nothing());
    assert_eq!(look(&watched, "a", "k", 6, &asked).await, 5);
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_question_that_fails_ends_reliance_at_once_and_an_answer_restores_it() {
    let time = Held::new();
    let watched = time.watched(10);
    watched.heard(time.now(), &everything());
    watched.keep(watched.begin(), "a", "k", 1);
    watched.not_heard();
    assert_eq!(watched.get("a", "k"), None);
    let asked = AtomicUsize::new(0);
    assert_eq!(look(&watched, "a", "k", 2, &asked).await, 2);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    watched.heard(time.now(), &nothing());
    assert_eq!(watched.get("a", "k"), Some(1), "nothing has changed meanwhile");
}

#[tokio::test]
async fn a_change_drops_its_tenant_only_and_everything_drops_all() {
    let time = Held::new();
    let watched = time.watched(10);
    watched.heard(time.now(), &everything());
    let fill = || {
        for (tenant, key) in [("a", "1"), ("a", "2"), ("b", "1")] {
            watched.keep(watched.begin(), tenant, key, 7);
        }
    };
    fill();
    watched.heard(time.now(), &changed("a"));
    assert_eq!((watched.get("a", "1"), watched.get("a", "2"), watched.get("b", "1")), (None, None, Some(7)));
    fill();
    watched.heard(time.now(), &everything());
    assert_eq!((watched.get("a", "1"), watched.get("b", "1")), (None, None));
    assert_eq!(watched.state().count, 0);
}

#[tokio::test]
async fn what_was_asked_for_before_a_change_is_not_kept_after_it() {
    let time = Held::new();
    let watched = time.watched(10);
    watched.heard(time.now(), &everything());
    let answer = watched
        .get_or_ask("a", "k", || async {
            watched.heard(time.now(), &changed("a"));
            Ok(Some(1))
        })
        .await;
    assert_eq!(answer.unwrap(), Some(1));
    assert_eq!(watched.get("a", "k"), None);
    // A change that concerned nothing kept does not hold up what follows.
    watched.heard(time.now(), &nothing());
    watched.keep(watched.begin(), "a", "k", 2);
    assert_eq!(watched.get("a", "k"), Some(2));
}

#[tokio::test]
async fn no_more_is_kept_than_there_is_room_for_and_nothing_of_what_does_not_exist() {
    let time = Held::new();
    let watched = time.watched(3);
    watched.heard(time.now(), &everything());
    for key in 0..100 {
        watched.keep(watched.begin(), &format!("tenant-{}", key % 7), &key.to_string(), key);
    }
    watched.keep(watched.begin(), "tenant-1", "99", 99);
    watched.keep(watched.begin(), "tenant-1", "99", 100);
    assert_eq!(watched.get("tenant-1", "99"), Some(100));
    let kept: usize = watched.state().kept.values().map(HashMap::len).sum();
    assert_eq!((kept, watched.state().count), (3, 3));
    for _ in 0..2 {
        assert_eq!(watched.get_or_ask("a", "none", || async { Ok(None) }).await.unwrap(), None);
    }
    assert!(!watched.state().kept.contains_key("a"));
}

#[tokio::test]
async fn of_many_who_miss_the_same_at_once_one_asks() {
    let time = Held::new();
    let watched = time.watched(10);
    watched.heard(time.now(), &everything());
    let (asked, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let one = |value: u32| {
        let (watched, asked, go) = (watched.clone(), asked.clone(), go.clone());
        async move {
            let ask = || async {
                asked.fetch_add(1, Ordering::SeqCst);
                go.notified().await;
                Ok(Some(value))
            };
            watched.get_or_ask("a", "k", ask).await.unwrap().unwrap()
        }
    };
    let release = async {
        // All others have asked and wait by the time this is polled: they were polled first.
        tokio::task::yield_now().await;
        go.notify_one();
    };
    let (first, second, third, ()) = tokio::join!(one(1), one(2), one(3), release);
    assert_eq!((first, second, third), (1, 1, 1));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(watched.state().asking.is_empty());
}

#[tokio::test]
async fn whoever_waits_for_a_question_that_fails_or_is_given_up_asks_itself() {
    let time = Held::new();
    let watched = time.watched(10);
    watched.heard(time.now(), &everything());
    let asked = AtomicUsize::new(0);
    let failing = watched.get_or_ask("a", "k", || async {
        tokio::task::yield_now().await;
        Err(Error::unavailable("no"))
    });
    let (failed, found) = tokio::join!(failing, look(&watched, "a", "k", 2, &asked));
    assert!(failed.is_err());
    assert_eq!((found, asked.load(Ordering::SeqCst)), (2, 1));
    watched.heard(time.now(), &changed("a"));
    {
        let given_up = watched.get_or_ask("a", "k", std::future::pending::<Result<Option<u32>>>);
        tokio::pin!(given_up);
        assert!(futures::poll!(&mut given_up).is_pending());
    }
    assert!(watched.state().asking.is_empty());
    assert_eq!(look(&watched, "a", "k", 3, &asked).await, 3);
}

/// An owner whose answers a test gives one by one.
struct Owner(AsyncMutex<mpsc::Receiver<(oneshot::Sender<Question>, Result<News>)>>);

#[async_trait]
impl WatchSource for Owner {
    async fn watch(&self, question: Question) -> Result<News> {
        let Some((asked, answer)) = self.0.lock().await.recv().await else { std::future::pending().await };
        let _gone = asked.send(question);
        answer
    }
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_watch_goes_on_from_where_it_ended_whatever_went_wrong_in_between() {
    let watched: Arc<Watched<u32>> = Watched::new("test", 10);
    let (say, said) = mpsc::channel(1);
    let tasks = Tasks::new(Shutdown::new());
    let owner = Owner(AsyncMutex::new(said));
    tasks.spawn("watch", follow_source(owner, vec![watched.clone()], tasks.shutdown().clone()));
    let answer = async |news: Result<News>| {
        let (asked, question) = oneshot::channel();
        say.send((asked, news)).await.unwrap();
        question.await.unwrap()
    };
    let first = answer(Ok(News { version: "7".into(), ..everything() })).await;
    assert_eq!(first.known_version, "");
    // The next question is only asked when the last answer was heeded.
    let second = answer(Err(Error::unavailable("away"))).await;
    assert_eq!((second.known_version.as_str(), &second.watcher), ("7", &first.watcher));
    assert_eq!(answer(Ok(News { version: "8".into(), ..nothing() })).await.known_version, "7");
    until(|| watched.is_fresh(&watched.state())).await;
    watched.keep(watched.begin(), "a", "k", 1);
    assert_eq!(watched.get("a", "k"), Some(1));
    let last = answer(Ok(News { version: "9".into(), ..changed("a") })).await;
    assert_eq!(last.known_version, "8");
    assert_eq!(answer(Ok(nothing())).await.known_version, "9");
    assert_eq!(watched.get("a", "k"), None);
    tasks.shutdown().begin();
    assert!(tasks.join(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn what_a_machine_kept_while_it_stood_still_is_not_used() {
    let time = Held::new();
    let watched = time.watched(10);
    let asked = AtomicUsize::new(0);
    watched.heard(time.now(), &everything());
    assert_eq!(look(&watched, "a", "k", 1, &asked).await, 1);
    assert_eq!(look(&watched, "a", "k", 2, &asked).await, 1);
    // Steady time stood still, and the wall clock shows it.
    time.set_wall(2_000_000);
    assert_eq!(look(&watched, "a", "k", 3, &asked).await, 3);
    // A wall clock that was set back does not say how long it was.
    watched.heard(time.now(), &nothing());
    time.set_wall(-1);
    assert_eq!(look(&watched, "a", "k", 4, &asked).await, 4);
}
