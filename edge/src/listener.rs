//! Accepting connections: TLS or plain, HTTP/1.1 or HTTP/2, within limits of number and time, and an orderly end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::seats::{Seats, address_key};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::io::InspectWriter;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::limits::address::Network;
use crate::readers::Readers;
use crate::route_table::Listener;
use crate::tls::Certificates;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The peer of the connection a request came over.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What a listener allows.
#[derive(Clone, Debug)]
pub struct ListenerLimits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub address_connections: usize,
    /// Proxies, who bring the connections of many: they may have all but a sixteenth, which is left for others.
    pub proxies: Arc<[Network]>,
    /// Bytes of a request's headers.
    pub headers: usize,
    /// Time for a request's headers, and for the first request of a connection.
    pub header_time: Duration,
    /// How long a client may read nothing of its answer.
    pub answer_time: Duration,
    /// Time for requests under way to finish at the end.
    pub drain: Duration,
}

impl ListenerLimits {
    /// How many connections an address may have.
    fn of(&self, address: IpAddr) -> usize {
        if self.proxies.iter().any(|network| network.contains(address)) {
            self.connections - self.connections.div_ceil(16)
        } else {
            self.address_connections
        }
    }
}

/// A bound listener that does not serve yet.
pub struct Bound {
    /// Which of the two it is.
    pub listener: Listener,
    /// The address it is bound to.
    pub address: SocketAddr,
    socket: TcpListener,
}

/// Binds a listener. Port 0 takes any free one.
///
/// # Errors
///
/// When the address is taken or not ours.
pub async fn bind(listener: Listener, address: SocketAddr) -> anyhow::Result<Bound> {
    let socket = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} ({})", listener.name()))?;
    let address = socket.local_addr()?;
    Ok(Bound { listener, address, socket })
}

impl Bound {
    /// Serves until shutdown begins, then lets requests in progress finish within the drain time.
    pub async fn serve(
        self,
        router: Router,
        tls: Option<Arc<Certificates>>,
        limits: ListenerLimits,
        shutdown: Shutdown,
    ) {
        let slots = Arc::new(Semaphore::new(limits.connections));
        let seats = Seats::new(limits.connections, limits.address_connections);
        let connections = TaskTracker::new();
        let cut_off = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.begun() => break,
                accepted = accept(&self.socket, &slots) => accepted,
            };
            let Some((stream, peer, slot)) = accepted else { continue };
            let Ok(seat) = seats.take_up_to(limits.of(peer.ip()), address_key(peer.ip()), 1) else {
                // Closed at once: an address beyond its share must not use resources even for an error response.
                metrics::counter!("runwarden_http_connections_refused_total", "listener" => self.listener.name())
                    .increment(1);
                continue;
            };
            let connection = Connection {
                router: router.clone(),
                peer,
                limits: limits.clone(),
                shutdown: shutdown.clone(),
                cut_off: cut_off.clone(),
            };
            let tls = tls.clone();
            connections.spawn(async move {
                let _held = (slot, seat);
                match tls {
                    None => connection.serve(stream).await,
                    Some(certificates) => {
                        let handshake = TlsAcceptor::from(certificates.current()).accept(stream);
                        if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, handshake).await {
                            connection.serve(stream).await;
                        }
                    }
                }
            });
        }
        drop(self.socket);
        connections.close();
        if tokio::time::timeout(limits.drain, connections.wait()).await.is_err() {
            tracing::warn!(
                listener = self.listener.name(),
                open = connections.len(),
                "connections did not finish in time"
            );
            cut_off.cancel();
            connections.wait().await;
        }
    }
}

async fn accept(
    socket: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    // A slot first: what cannot be served waits in the kernel's queue instead of taking memory here.
    let slot = slots.clone().acquire_owned().await.ok()?;
    match socket.accept().await {
        Ok((stream, peer)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "no TCP_NODELAY");
            }
            Some((stream, peer, slot))
        }
        Err(error) => {
            // Out of file descriptors, most likely: wait for some to come free instead of spinning.
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

struct Connection {
    router: Router,
    peer: SocketAddr,
    limits: ListenerLimits,
    shutdown: Shutdown,
    cut_off: CancellationToken,
}

impl Connection {
    async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let begun = Arc::new(AtomicBool::new(false));
        let seen = begun.clone();
        let readers = Readers::default();
        let (router, peer, under_way) = (self.router, self.peer, readers.clone());
        let service = service_fn(move |request: http::Request<Incoming>| {
            seen.store(true, Ordering::Relaxed);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(under_way.clone());
            let counted = under_way.request();
            let answer = router.clone().oneshot(request);
            async move {
                let answer = answer.await;
                drop(counted);
                answer
            }
        });
        let builder = builder(&self.limits);
        let taken = readers.clone();
        let stream = InspectWriter::new(stream, move |bytes: &[u8]| taken.took(bytes.len()));
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut first_request = std::pin::pin!(tokio::time::sleep(self.limits.header_time));
        let mut looks = tokio::time::interval(self.limits.header_time.min(self.limits.answer_time) / 4);
        let (mut draining, mut waiting) = (false, true);
        loop {
            tokio::select! {
                outcome = connection.as_mut() => {
                    if let Err(error) = outcome {
                        tracing::debug!(%error, peer = %self.peer, "a connection ended early");
                    }
                    return;
                }
                () = self.shutdown.begun(), if !draining => {
                    connection.as_mut().graceful_shutdown();
                    draining = true;
                }
                () = first_request.as_mut(), if waiting => {
                    // hyper's own timer starts only once it knows which HTTP it is.
                    if !begun.load(Ordering::Relaxed) {
                        return;
                    }
                    waiting = false;
                }
                _ = looks.tick(), if !waiting => {
                    // HTTP/2 has no time limit of its own: a connection may answer pings for ever and ask nothing.
                    let idle = readers.give_up(self.limits.answer_time);
                    if idle > self.limits.header_time && !draining {
                        connection.as_mut().graceful_shutdown();
                        draining = true;
                    }
                    if idle > self.limits.header_time + self.limits.answer_time {
                        return;
                    }
                }
                () = self.cut_off.cancelled() => return,
            }
        }
    }
}

fn builder(limits: &ListenerLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_headers(100)
        .max_buf_size(limits.headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(128)
        // How much may be buffered before it is read, per request and per connection.
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_header_list_size(u32::try_from(limits.headers).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(32);
    builder
}
