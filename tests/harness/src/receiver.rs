//! A receiver of callbacks: it speaks TLS with a certificate of an authority of its own, remembers what it is sent, and
//! answers what it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::wait::until_within;

/// How long a message may take to arrive: longer than the first pause of the schedule.
const PATIENCE: Duration = Duration::from_secs(40);
/// How far a timestamp may be from now, as receivers check it.
const TOLERANCE: u64 = 300;

/// An authority, which vouches for receivers.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(rcgen::DnType::CommonName, "receivers under test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }
}

impl Authority {
    /// Its certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// For `127.0.0.1` and `localhost`.
    fn vouch(&self) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate =
            CertificateParams::new(names).expect("names").signed_by(&key, &self.0).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a server");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What a receiver was sent.
#[derive(Clone, Debug)]
pub struct Received {
    /// The request line and the headers.
    pub head: String,
    /// The body.
    pub body: String,
    /// When it was there.
    pub at: Instant,
}

impl Received {
    /// A header; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// The message's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// What it says.
    ///
    /// # Panics
    /// When that is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Whether a signature was made with this key (`whsec_…`, or `whpk_…` for Ed25519), as a receiver finds out by
    /// Standard Webhooks 1.0.0: with code that is not the sender's.
    ///
    /// # Panics
    /// When the key is neither, or the message is too old or has no timestamp.
    #[must_use]
    pub fn is_signed_by(&self, key: &str) -> bool {
        let timestamp = self.header("webhook-timestamp");
        let sent: u64 = timestamp.parse().expect("a timestamp in seconds");
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        assert!(now.abs_diff(sent) <= TOLERANCE, "it was signed at {sent}, and now is {now}");
        let signed = format!("{}.{timestamp}.{}", self.id(), self.body);
        let decode = |text: &str| STANDARD.decode(text).expect("base64");
        let signatures = |version: &str| {
            let listed = self.header("webhook-signature").split(' ').map(str::to_owned).collect::<Vec<_>>();
            let prefix = format!("{version},");
            listed.into_iter().filter_map(|one| one.strip_prefix(&prefix).map(decode)).collect::<Vec<_>>()
        };
        if let Some(secret) = key.strip_prefix("whsec_") {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &decode(secret));
            return signatures("v1").iter().any(|tag| hmac::verify(&key, signed.as_bytes(), tag).is_ok());
        }
        let key = UnparsedPublicKey::new(&ED25519, decode(key.strip_prefix("whpk_").expect("whsec_ or whpk_")));
        signatures("v1a").iter().any(|signature| key.verify(signed.as_bytes(), signature).is_ok())
    }

    /// How many signatures it has.
    #[must_use]
    pub fn signatures(&self) -> usize {
        self.header("webhook-signature").split(' ').count()
    }
}

/// A receiver.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    /// Status line and headers; none to answer nothing at all.
    answer: Mutex<Option<String>>,
}

impl Receiver {
    /// Starts one that accepts everything.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start(authority: &Authority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let receiver = Self { address, shared: Arc::default() };
        receiver.answers("204 No Content");
        let (tls, shared) = (authority.vouch(), receiver.shared.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tls, shared) = (tls.clone(), shared.clone());
                tokio::spawn(async move {
                    if let Ok(socket) = tls.accept(socket).await {
                        serve(socket, &shared).await;
                    }
                });
            }
        });
        receiver
    }

    /// Where it is sent to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/hook/s3cret", self.address)
    }

    /// The same by name.
    #[must_use]
    pub fn named_url(&self) -> String {
        format!("https://localhost:{}/hook", self.address.port())
    }

    /// From now on it answers this: a status, and headers after line breaks.
    pub fn answers(&self, answer: &str) {
        *locked(&self.shared.answer) = Some(answer.to_owned());
    }

    /// From now on it takes requests and never answers.
    pub fn hangs(&self) {
        *locked(&self.shared.answer) = None;
    }

    /// All that it was sent.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        locked(&self.shared.received).clone()
    }

    /// All that it was sent, once it is so many.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn has(&self, number: usize) -> Vec<Received> {
        until_within(PATIENCE, &format!("{number} messages"), async || {
            Some(self.received()).filter(|received| received.len() >= number)
        })
        .await
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(mut socket: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        let request = text.split_once("\r\n\r\n").map(|(head, body)| Received {
            head: head.to_owned(),
            body: body.to_owned(),
            at: Instant::now(),
        });
        let whole = request.filter(|request| {
            request.header("content-length").parse::<usize>().is_ok_and(|length| request.body.len() >= length)
        });
        let Some(request) = whole else {
            match socket.read(&mut chunk).await {
                Ok(n @ 1..) => read.extend_from_slice(chunk.get(..n).unwrap_or_default()),
                _ => return,
            }
            continue;
        };
        read.clear();
        locked(&shared.received).push(request);
        let answer = locked(&shared.answer).clone();
        let Some(answer) = answer else { return std::future::pending().await };
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
        if socket.write_all(answer.as_bytes()).await.is_err() || socket.flush().await.is_err() {
            return;
        }
    }
}
