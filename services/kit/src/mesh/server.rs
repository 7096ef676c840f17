//! Serving the mesh: accept, shake hands with certificates, know the peer, serve gRPC.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::server::Connected;

use super::gate::{Gate, GateLayer};
use super::identity::Peer;
use super::tls::MeshTls;
use crate::lifecycle::Shutdown;

/// How long a peer may take to shake hands.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// How many handshakes may be under way at once.
const HANDSHAKES: usize = 256;

/// Binds an address; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be bound.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Serves routes behind the gate until shutdown; calls under way are finished.
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
    let until = shutdown.clone();
    tokio::spawn(async move { accept(listener, tls, accepted, until).await });
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .max_concurrent_streams(1024)
        .http2_max_header_list_size(64 * 1024)
        .layer(GateLayer(gate))
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async move { shutdown.begun().await })
        .await
        .with_context(|| format!("serving {service}"))
}

/// Accepts connections; each handshake runs by itself, so that a slow peer holds up nobody.
async fn accept(
    listener: TcpListener,
    tls: Arc<MeshTls>,
    accepted: mpsc::Sender<std::io::Result<MeshStream>>,
    shutdown: Shutdown,
) {
    let room = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = shutdown.begun() => return,
        };
        let tcp = match connection {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                // Out of file descriptors, most likely: a moment later there may be some.
                tracing::warn!(%error, "a connection could not be accepted");
                if shutdown.sleep(Duration::from_millis(50)).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let (tls, accepted) = (tls.clone(), accepted.clone());
        tokio::spawn(async move {
            let _permit = permit;
            match tokio::time::timeout(HANDSHAKE_LIMIT, shake_hands(tcp, &tls)).await {
                Ok(Ok(stream)) => {
                    let _gone = accepted.send(Ok(stream)).await;
                }
                Ok(Err(error)) => tracing::debug!(error = format!("{error:#}"), "a handshake failed"),
                Err(_) => tracing::debug!("a handshake took too long"),
            }
        });
    }
}

async fn shake_hands(tcp: TcpStream, tls: &MeshTls) -> anyhow::Result<MeshStream> {
    tcp.set_nodelay(true)?;
    let inner = TlsAcceptor::from(tls.server()).accept(tcp).await?;
    let certificate =
        inner.get_ref().1.peer_certificates().and_then(<[_]>::first).context("the peer has no certificate")?.clone();
    let peer = Peer::of_certificate(&certificate, tls.domain())?;
    Ok(MeshStream { inner, peer })
}

/// A connection whose peer is known.
struct MeshStream {
    inner: TlsStream<TcpStream>,
    peer: Peer,
}

impl Connected for MeshStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for MeshStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for MeshStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
