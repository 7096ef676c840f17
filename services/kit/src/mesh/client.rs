//! Calling another service: one lazily connected, self-healing connection each, to the very service that was meant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Endpoint, Uri};

use super::channel::MeshChannel;
use super::identity::Service;
use super::server::MAX_STREAMS;
use super::tls::MeshTls;

/// How long connecting may take, handshake included.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The largest headers taken: an error with all its details stands in them (see [`crate::Error`]).
pub(super) const MAX_HEADERS: u32 = 64 * 1024;
/// How many bytes of one lasting answer may be under way.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The channels to all services.
#[derive(Clone)]
pub struct Peers {
    tls: Arc<MeshTls>,
    addresses: Arc<BTreeMap<Service, String>>,
}

impl Peers {
    /// Where each service is (`host:port`), and the certificate to call them with.
    #[must_use]
    pub fn new(tls: Arc<MeshTls>, addresses: BTreeMap<Service, String>) -> Self {
        Self { tls, addresses: Arc::new(addresses) }
    }

    /// The certificate in use.
    #[must_use]
    pub fn tls(&self) -> &Arc<MeshTls> {
        &self.tls
    }

    /// A channel to a service. It connects at the first call and again whenever that is needed.
    ///
    /// # Errors
    /// When the service's address is not configured or not an address.
    pub fn channel(&self, to: Service) -> anyhow::Result<MeshChannel> {
        self.open(to, |endpoint| endpoint)
    }

    /// A connection of its own for calls that last: streams, and waits. Neither their number nor a reader who stopped
    /// reading holds up other calls, or each other: each may have [`STREAM_WINDOW`] bytes under way, and the connection
    /// as much for all of them together.
    ///
    /// # Errors
    /// As [`Peers::channel`].
    pub fn lasting_channel(&self, to: Service) -> anyhow::Result<MeshChannel> {
        self.open(to, |endpoint| {
            endpoint
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(STREAM_WINDOW * MAX_STREAMS)
        })
    }

    fn open(&self, to: Service, tune: impl FnOnce(Endpoint) -> Endpoint) -> anyhow::Result<MeshChannel> {
        let address = self.addresses.get(&to).with_context(|| format!("the address of {to} is not configured"))?;
        let endpoint = Endpoint::try_from(format!("http://{address}"))
            .with_context(|| format!("{address:?} is not host:port"))?
            .connect_timeout(CONNECT_LIMIT)
            .http2_max_header_list_size(MAX_HEADERS)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .user_agent(concat!("runwarden/", env!("CARGO_PKG_VERSION")))?;
        let (tls, address) = (self.tls.clone(), address.clone());
        let connector = tower::service_fn(move |_: Uri| {
            let (tls, address) = (tls.clone(), address.clone());
            async move { connect(&tls, to, &address).await.map(TokioIo::new).map_err(std::io::Error::other) }
        });
        Ok(MeshChannel::new(to, tune(endpoint).connect_with_connector_lazy(connector)))
    }
}

async fn connect(
    tls: &MeshTls,
    to: Service,
    address: &str,
) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await.with_context(|| format!("{to} at {address}"))?;
    tcp.set_nodelay(true)?;
    let connector = TlsConnector::from(tls.client(to)?);
    // The name is not what the server is judged by: see `ExpectService`.
    let name = ServerName::try_from("localhost")?;
    connector.connect(name, tcp).await.with_context(|| format!("TLS with {to} at {address}"))
}
