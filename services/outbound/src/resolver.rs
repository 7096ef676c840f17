//! Names to addresses.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

/// Finds the addresses of a host. What it answers is checked by who asks.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// All addresses of this host, which is a name and not an address.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// As the system resolves names.
pub struct SystemResolver {
    /// A look-up takes a thread until the system gives up, whether or not anybody still waits for it.
    threads: Arc<Semaphore>,
}

/// Look-ups at a time.
const LOOK_UPS: usize = 32;

impl Default for SystemResolver {
    fn default() -> Self {
        Self { threads: Arc::new(Semaphore::new(LOOK_UPS)) }
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let permit = self.threads.clone().acquire_owned().await.map_err(io::Error::other)?;
        let host = host.to_owned();
        let look_up = tokio::task::spawn_blocking(move || {
            let found = (host.as_str(), 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect());
            drop(permit);
            found
        });
        look_up.await.map_err(io::Error::other)?
    }
}
