//! A connection to an address that was checked, and to no other.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::address::NOT_PUBLIC;
use crate::ranges::plain;
use crate::stream::Stream;
use crate::{Address, Exceptions, Failure, Proxy, Resolver};

/// How many addresses of a host are tried; all are checked.
const TRIED: usize = 6;
/// How long an address is tried before the next one is, too.
const STAGGER: Duration = Duration::from_millis(250);
/// The most that a proxy may answer to `CONNECT`, bytes.
const PROXY_HEAD: usize = 8 * 1024;

/// Makes connections for [`crate::Client`].
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) exceptions: Arc<Exceptions>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) within: Duration,
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&target).await.map(TokioIo::new) })
    }
}

impl Connector {
    async fn connect(&self, target: &Uri) -> Result<Stream, Failure> {
        // What is connected to is judged by the address that is connected to, not by what somebody checked before.
        let target = Address::parse(&format!("{target}"), &self.exceptions)?;
        let until = Instant::now() + self.within;
        let slow = |_| Failure::Unreachable("connecting took too long");
        let addresses = timeout_at(until, self.addresses(&target)).await.map_err(slow)??;
        let tcp = match &self.proxy {
            None => timeout_at(until, first(&addresses)).await.map_err(slow)??,
            Some(proxy) => timeout_at(until, self.through(proxy, &addresses)).await.map_err(slow)??,
        };
        if target.is_plain() {
            return Ok(Stream::Plain(tcp));
        }
        let name = match target.literal() {
            Some(ip) => ServerName::IpAddress(ip.into()),
            None => ServerName::try_from(target.host().to_owned())
                .map_err(|_| Failure::Tls("the host's name cannot be in a certificate"))?,
        };
        let handshake = tokio_rustls::TlsConnector::from(self.tls.clone()).connect(name, tcp);
        let tls = timeout_at(until, handshake).await.map_err(|_| Failure::Tls("the TLS handshake took too long"))?;
        tls.map(|tls| Stream::Tls(Box::new(tls))).map_err(|error| Failure::Tls(crate::tls::why(&error)))
    }

    /// The addresses that may be connected to. One that may not be refuses them all: a host that has such an address is
    /// misconfigured or means harm.
    async fn addresses(&self, target: &Address) -> Result<Vec<SocketAddr>, Failure> {
        let found = match target.literal() {
            Some(ip) => vec![ip],
            None => self.resolver.resolve(target.host()).await.map_err(|error| {
                tracing::debug!(host = target.host(), %error, "a name does not resolve");
                Failure::Unresolved
            })?,
        };
        if !found.iter().all(|ip| self.exceptions.permit(target.host(), target.port(), *ip)) {
            return Err(NOT_PUBLIC.into());
        }
        let mut addresses: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(plain(ip), target.port())).collect();
        addresses.dedup();
        addresses.truncate(TRIED);
        if addresses.is_empty() { Err(Failure::Unresolved) } else { Ok(addresses) }
    }

    /// Has the proxy connect to one of these addresses: those checked, so that it does not resolve the name differently.
    async fn through(&self, proxy: &Proxy, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
        let silent = |_| Failure::Proxy("cannot be reached");
        let at: Vec<_> = match proxy.host.parse::<IpAddr>() {
            Ok(ip) => vec![ip],
            Err(_) => self
                .resolver
                .resolve(&proxy.host)
                .await
                .map_err(|_| Failure::Proxy("has a name that does not resolve"))?,
        };
        let at: Vec<_> = at.into_iter().map(|ip| SocketAddr::new(ip, proxy.port)).collect();
        let mut last = Failure::Proxy("cannot be reached");
        for address in addresses {
            match tunnel(first(&at).await.map_err(silent)?, *address).await {
                Ok(stream) => return Ok(stream),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }
}

/// The first connection that comes about; an address that does not answer delays the next one only a little.
async fn first(addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut tries = FuturesUnordered::new();
    let mut rest = addresses.iter();
    let mut last = Failure::Unreachable("the host has no address");
    loop {
        let more = match rest.next() {
            Some(address) => {
                tries.push(TcpStream::connect(*address));
                Instant::now() + STAGGER
            }
            None if tries.is_empty() => return Err(last),
            // Nobody else to try: the caller's time limit ends it.
            None => Instant::now() + Duration::from_secs(3600),
        };
        while let Ok(done) = timeout_at(more, tries.next()).await {
            match done {
                Some(Ok(stream)) => {
                    let _unimportant = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Some(Err(error)) => {
                    last = Failure::Unreachable(unreachable(&error));
                    if rest.len() > 0 {
                        break;
                    }
                }
                None => break,
            }
        }
    }
}

fn unreachable(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    match error.kind() {
        ConnectionRefused => "the connection was refused",
        HostUnreachable | NetworkUnreachable => "there is no route to the host",
        TimedOut => "connecting took too long",
        _ => "no connection could be made",
    }
}

/// Asks a proxy for a connection. Its answer is read byte for byte up to its end, for what follows belongs to the tunnel.
async fn tunnel(mut proxy: TcpStream, to: SocketAddr) -> Result<TcpStream, Failure> {
    let broken = |_| Failure::Proxy("closed the connection");
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    proxy.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= PROXY_HEAD {
            return Err(Failure::Proxy("does not answer as a proxy"));
        }
        head.push(proxy.read_u8().await.map_err(broken)?);
    }
    let status = head.strip_prefix(b"HTTP/1.1 ").or_else(|| head.strip_prefix(b"HTTP/1.0 "));
    match status.and_then(|rest| rest.get(..3)) {
        Some([b'2', ..]) => Ok(proxy),
        Some(b"407") => Err(Failure::Proxy("wants a password, which is not supported")),
        Some(b"403") => Err(Failure::Proxy("refuses to connect to this address")),
        Some(_) => Err(Failure::Proxy("could not connect to this address")),
        None => Err(Failure::Proxy("does not answer as a proxy")),
    }
}
