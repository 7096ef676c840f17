//! Serving the mesh: accept, shake hands with certificates, know the peer, serve gRPC, and end in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::client::MAX_HEADERS;
use super::connection::{Connection, MeshStream};
use super::gate::{Gate, GateLayer};
use super::identity::Peer;
use super::tls::MeshTls;
use crate::lifecycle::Shutdown;
use crate::seats::{Seats, address_key};

/// How long a peer may take to shake hands.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// How many handshakes may be under way at once; what comes on top waits in the kernel's queue.
const HANDSHAKES: usize = 1024;
/// How many of them may come from one address, or one IPv6 /64: a peer that opens connections and stays silent takes
/// the room of those beside it, not everybody's. What comes on top is closed.
const HANDSHAKES_OF_AN_ADDRESS: usize = 256;
/// How many calls one connection carries at once. Far more than what callers may have open together anywhere (see
/// [`crate::seats`]), so that one peer's streams never keep another's call from being sent.
pub const MAX_STREAMS: u32 = 16 * 1024;
/// How many connections one peer may have: replicas of a service share its identity.
const CONNECTIONS_OF_A_PEER: usize = 256;
/// A connection this old is ended in an orderly way, so that certificates and authorities that were replaced are
/// not believed for longer; streams on it go on.
const CONNECTION_AGE: Duration = Duration::from_secs(3600);
/// How long calls under way may take to end after shutdown begins.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Binds an address; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be bound.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Serves routes behind the gate until shutdown; calls under way have [`DRAIN_LIMIT`] to finish.
///
/// # Errors
/// When serving fails for good.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<MeshTls>,
    gate: Gate,
    routes: Routes,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let (accepted, incoming) = mpsc::channel(32);
    let service = gate.service;
    let cut_off = CancellationToken::new();
    // Whatever ends this function ends the connections, too.
    let _cut_off_at_the_end = cut_off.clone().drop_guard();
    tokio::spawn(accept(listener, tls, accepted, cut_off, shutdown.clone()));
    let until = shutdown.clone();
    let serving = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS)
        .max_connection_age(CONNECTION_AGE)
        .layer(GateLayer(gate))
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async move { until.begun().await });
    let too_late = async {
        shutdown.begun().await;
        tokio::time::sleep(DRAIN_LIMIT).await;
    };
    tokio::select! {
        served = serving => served.with_context(|| format!("serving {service}")),
        () = too_late => {
            tracing::warn!(service = service.name(), "calls in progress did not end in time; they are cut off");
            Ok(())
        }
    }
}

/// Accepts connections; each handshake runs by itself, so that a slow peer holds up no other.
async fn accept(
    listener: TcpListener,
    tls: Arc<MeshTls>,
    accepted: mpsc::Sender<std::io::Result<MeshStream>>,
    cut_off: CancellationToken,
    shutdown: Shutdown,
) {
    let room = Arc::new(Semaphore::new(HANDSHAKES));
    let seats = Seats::new(usize::MAX, CONNECTIONS_OF_A_PEER);
    let by_address = Seats::new(HANDSHAKES, HANDSHAKES_OF_AN_ADDRESS);
    let next = async || {
        let permit = room.clone().acquire_owned().await.map_err(std::io::Error::other)?;
        listener.accept().await.map(|(tcp, address)| (permit, tcp, address))
    };
    loop {
        let (permit, tcp, address) = tokio::select! {
            connection = next() => match connection {
                Ok(connection) => connection,
                Err(error) => {
                    // Out of file descriptors, most likely: a moment later there may be some.
                    tracing::warn!(%error, "a connection could not be accepted");
                    if shutdown.sleep(Duration::from_millis(50)).await.is_err() {
                        return;
                    }
                    continue;
                }
            },
            () = shutdown.begun() => return,
            () = cut_off.cancelled() => return,
        };
        let Ok(place) = by_address.take(address_key(address.ip()), 1) else {
            tracing::debug!(%address, "too many handshakes are under way with this address");
            continue;
        };
        let (tls, accepted, cut_off, seats) = (tls.clone(), accepted.clone(), cut_off.clone(), seats.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_LIMIT, shake_hands(tcp, address, &tls, &seats, cut_off)).await {
                Ok(Ok(stream)) => {
                    // The peer is known: it no longer takes the place of one that is not.
                    drop((permit, place));
                    let _gone = accepted.send(Ok(stream)).await;
                }
                Ok(Err(error)) => tracing::debug!(%address, error = format!("{error:#}"), "a handshake failed"),
                Err(_) => tracing::debug!(%address, "a handshake took too long"),
            }
        });
    }
}

async fn shake_hands(
    tcp: TcpStream,
    address: SocketAddr,
    tls: &MeshTls,
    seats: &Seats<Peer>,
    cut_off: CancellationToken,
) -> anyhow::Result<MeshStream> {
    tcp.set_nodelay(true)?;
    let inner = TlsAcceptor::from(tls.server()).accept(tcp).await?;
    let certificate =
        inner.get_ref().1.peer_certificates().and_then(<[_]>::first).context("the peer has no certificate")?.clone();
    let peer = Peer::of_certificate(&certificate, tls.domain())?;
    let seat = seats.take(peer.clone(), 1).map_err(|_| anyhow::anyhow!("{} has too many connections", peer.name()))?;
    Ok(MeshStream::new(inner, Connection { peer, address: address.ip() }, seat, cut_off))
}
