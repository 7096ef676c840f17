//! Work that many wait for and one does.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

/// Something under way; none if it ended by a panic.
type UnderWay<T> = Shared<BoxFuture<'static, Option<T>>>;

/// What is under way, by what it is about.
pub(super) struct Together<K, T>(Arc<Mutex<HashMap<K, UnderWay<T>>>>);

impl<K, T> Default for Together<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, T> Together<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// What comes of the work that is under way for this key. If there is none it begins, unless there is an answer
    /// already. Work that was begun goes on when nobody waits for it any more. `None` if it panicked.
    pub(super) async fn of<W>(
        &self,
        key: K,
        already: impl FnOnce() -> Option<T> + Send,
        work: impl FnOnce() -> W + Send,
    ) -> Option<T>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let under_way = {
            let mut all = locked(&self.0);
            if let Some(one) = all.get(&key) {
                one.clone()
            } else if let Some(known) = already() {
                return Some(known);
            } else {
                let (list, over, work) = (Arc::clone(&self.0), key.clone(), work());
                let task = tokio::spawn(async move {
                    // Made here and not before: a runtime that ends drops the task at once, while the list is locked.
                    let _over = Over { all: list, key: over };
                    work.await
                });
                let one = task.map(Result::ok).boxed().shared();
                all.insert(key, one.clone());
                one
            }
        };
        under_way.await
    }
}

/// Takes work off the list when it ends, however that comes.
struct Over<K: Eq + Hash, T> {
    all: Arc<Mutex<HashMap<K, UnderWay<T>>>>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for Over<K, T> {
    fn drop(&mut self) {
        locked(&self.all).remove(&self.key);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn work_is_done_once_and_goes_on_when_nobody_waits() {
        let (together, go) = (Together::<u8, usize>::default(), Arc::new(Notify::new()));
        let done = Arc::new(AtomicUsize::new(0));
        let work = || {
            let (go, done) = (Arc::clone(&go), Arc::clone(&done));
            async move {
                go.notified().await;
                done.fetch_add(1, Ordering::SeqCst) + 1
            }
        };
        // Whoever asked first goes away.
        assert!(together.of(1, || None, work).now_or_never().is_none());
        go.notify_one();
        let both = futures::future::join(together.of(1, || None, work), together.of(1, || None, work)).await;
        assert_eq!(both, (Some(1), Some(1)));
        while !locked(&together.0).is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(together.of(1, || Some(7), work).await, Some(7));
        let panics = || async { panic!("it panics") };
        assert_eq!(together.of(1, || None, panics).await, None);
        go.notify_one();
        assert_eq!(together.of(1, || None, work).await, Some(2));
    }
    #[test]
    fn a_runtime_that_has_ended_answers_nothing_and_holds_nobody_up() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let _within = handle.enter();
        let together = Together::<u8, usize>::default();
        assert_eq!(together.of(1, || None, || async { 1 }).now_or_never(), Some(None));
    }
}
