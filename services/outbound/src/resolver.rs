//! Names to addresses.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

/// Finds the addresses of a host. What it answers is checked by who asks.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// All addresses of this host, which is a name and not an address.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// Look-ups at a time.
const LOOK_UPS: usize = 32;
/// Look-ups at a time of names in one domain.
const PER_DOMAIN: usize = 8;
/// How long a name that did not resolve is not looked up again.
const FAILED_FOR: Duration = Duration::from_secs(5);
/// The most names of which this is remembered.
const MAX_FAILED: usize = 4096;

/// As the system resolves names.
///
/// A look-up takes a thread until the system gives up, whether or not anybody still waits for it. So that names whose
/// servers never answer leave threads to others, a name is looked up once at a time, and a domain has only a share.
pub struct SystemResolver {
    look_up: Arc<LookUp>,
    threads: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;
type Found = Result<Vec<IpAddr>, io::ErrorKind>;
type Answer = watch::Receiver<Option<Found>>;

#[derive(Default)]
struct State {
    /// The look-ups in progress, by name.
    asked: HashMap<String, Answer>,
    /// How many of them there are, by domain; a domain without any is not in it.
    domains: HashMap<String, usize>,
    /// Names that did not resolve, and until when that holds.
    failed: HashMap<String, (io::ErrorKind, Instant)>,
}

impl State {
    /// What is known of a name without a look-up of its own. `None` if it needs one, and may have it.
    fn known(&self, host: &str) -> io::Result<Option<Answer>> {
        match self.failed.get(host) {
            Some((kind, until)) if Instant::now() < *until => return Err((*kind).into()),
            _ => {}
        }
        if let Some(answer) = self.asked.get(host) {
            return Ok(Some(answer.clone()));
        }
        if self.domains.get(domain(host)).is_some_and(|count| *count >= PER_DOMAIN) {
            return Err(io::Error::other("too many names of this domain are being looked up"));
        }
        Ok(None)
    }

    fn begin(&mut self, host: &str, answer: Answer) {
        self.asked.insert(host.to_owned(), answer);
        *self.domains.entry(domain(host).to_owned()).or_default() += 1;
    }

    fn end(&mut self, host: &str, found: &Found) {
        self.asked.remove(host);
        match self.domains.get_mut(domain(host)) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.domains.remove(domain(host))),
        }
        let now = Instant::now();
        self.failed.retain(|_, (_, until)| now < *until);
        if let Err(kind) = found
            && self.failed.len() < MAX_FAILED
        {
            self.failed.insert(host.to_owned(), (*kind, now + FAILED_FOR));
        }
    }
}

/// The last two labels of a name: what one owner has, or a part of the world such as `co.uk`.
fn domain(host: &str) -> &str {
    host.trim_end_matches('.').rmatch_indices('.').nth(1).map_or(host, |(at, _)| host.get(at + 1..).unwrap_or(host))
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::by(|host| (host, 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect()))
    }
}

impl SystemResolver {
    fn by(look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self { look_up: Arc::new(look_up), threads: Arc::new(Semaphore::new(LOOK_UPS)), state: Arc::default() }
    }

    /// Looks a name up, with this thread, even if whoever asks stops waiting.
    fn start(&self, host: &str, thread: OwnedSemaphorePermit) -> io::Result<Answer> {
        let mut state = locked(&self.state);
        // Others may have asked while this one waited for a thread.
        if let Some(answer) = state.known(host)? {
            return Ok(answer);
        }
        let (sender, answer) = watch::channel(None);
        state.begin(host, answer.clone());
        drop(state);
        let (look_up, state, host) = (self.look_up.clone(), self.state.clone(), host.to_owned());
        tokio::spawn(async move {
            let name = host.clone();
            let found = tokio::task::spawn_blocking(move || look_up(&name)).await;
            drop(thread);
            let found = found.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(|e| e.kind());
            locked(&state).end(&host, &found);
            sender.send_replace(Some(found));
        });
        Ok(answer)
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let known = locked(&self.state).known(host)?;
        let mut answer = match known {
            Some(answer) => answer,
            None => {
                let thread = self.threads.clone().acquire_owned().await.map_err(io::Error::other)?;
                self.start(host, thread)?
            }
        };
        let found = answer.wait_for(Option::is_some).await.map_err(io::Error::other)?.clone();
        found.unwrap_or(Err(io::ErrorKind::NotFound)).map_err(io::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn names_that_hang_leave_threads_to_others() {
        let (release, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let resolver = Arc::new(SystemResolver::by(move |host| {
            counted.fetch_add(1, Ordering::SeqCst);
            if host.ends_with("evil.example") {
                // Until the test lets go.
                gate.lock().unwrap_or_else(PoisonError::into_inner).recv().unwrap_or_default();
            }
            Ok(vec![[192, 0, 2, 1].into()])
        }));
        let ask = |host: String| {
            let resolver = resolver.clone();
            tokio::spawn(async move { resolver.resolve(&host).await })
        };
        let same: Vec<_> = (0..40).map(|_| ask("a.evil.example".into())).collect();
        let others: Vec<_> = (0..100).map(|n| ask(format!("n{n}.evil.example"))).collect();
        assert_eq!(resolver.resolve("good.example").await.unwrap(), [IpAddr::from([192, 0, 2, 1])]);
        drop(release);
        let same = join_all(same).await;
        assert!(same.into_iter().all(|found| found.unwrap().is_ok()), "one look-up answers all who ask");
        let found = join_all(others).await.into_iter().filter(|found| matches!(found, Ok(Ok(_)))).count();
        assert_eq!((found, count.load(Ordering::SeqCst)), (PER_DOMAIN - 1, PER_DOMAIN + 1));
        let state = locked(&resolver.state);
        assert!(state.asked.is_empty() && state.domains.is_empty());
    }

    #[tokio::test]
    async fn a_name_that_failed_is_not_looked_up_again_at_once() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let resolver = SystemResolver::by(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Err(io::ErrorKind::NotFound.into())
        });
        for _ in 0..3 {
            assert_eq!(resolver.resolve("a.example").await.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
        locked(&resolver.state).failed.values_mut().for_each(|(_, until)| *until = Instant::now());
        assert!(resolver.resolve("a.example").await.is_err());
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_domain_is_what_one_owner_has() {
        for (host, of) in [("a.b.example.com", "example.com"), ("example.com", "example.com"), ("awx", "awx"), ("", "")]
        {
            assert_eq!(domain(host), of);
        }
    }
}
