//! What stands between a client and a server that goes away: refuses, passes on, or cuts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    /// Connections that came.
    came: Arc<AtomicUsize>,
    /// Connections that are still to be dropped at once.
    drops: Arc<AtomicUsize>,
    cut: Arc<std::sync::Mutex<CancellationToken>>,
}

impl Relay {
    pub(crate) async fn to(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let relay = Self { address, came: Arc::default(), drops: Arc::default(), cut: Arc::default() };
        let (came, drops, cut) = (relay.came.clone(), relay.drops.clone(), relay.cut.clone());
        tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                came.fetch_add(1, Ordering::SeqCst);
                if drops.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                    continue;
                }
                let Ok(cut) = cut.lock().map(|cut| cut.clone()) else { return };
                tokio::spawn(async move {
                    let Ok(mut outside) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inside, &mut outside) => {}
                        () = cut.cancelled() => {}
                    }
                });
            }
        });
        Ok(relay)
    }

    pub(crate) fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    /// Drops the next connections as soon as they come.
    pub(crate) fn drop_next(&self, connections: usize) {
        self.drops.store(connections, Ordering::SeqCst);
    }

    /// Cuts all connections; later ones are passed on.
    pub(crate) fn cut(&self) {
        if let Ok(mut cut) = self.cut.lock() {
            std::mem::take(&mut *cut).cancel();
        }
    }
}
