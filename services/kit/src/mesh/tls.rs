//! A service's certificate, checked before it is used and replaced without dropping a connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::identity::{Peer, Service, TrustDomain};
use crate::clock::{Clock as _, SystemClock};
use crate::lifecycle::Shutdown;

/// Where a service's certificate comes from: PEM files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
    /// The trusted certificate authorities.
    pub ca: PathBuf,
}

/// When less than this is left of a certificate, it should long have been replaced.
const EXPIRES_SOON: Duration = Duration::from_secs(3 * 24 * 3600);

/// One checked set of files: what a server shows and what a client shows always change together.
struct Loaded {
    server: Arc<ServerConfig>,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// When the certificate ends, seconds since 1970.
    not_after: i64,
    fingerprint: String,
}

/// A service's certificate and whom it believes.
pub struct MeshTls {
    files: TlsFiles,
    domain: TrustDomain,
    own: Peer,
    provider: Arc<CryptoProvider>,
    loaded: ArcSwap<Loaded>,
}

impl MeshTls {
    /// Loads and checks the files: the key fits, the certificate is of `own` in this trust domain, valid now, and
    /// signed by the authority.
    ///
    /// # Errors
    /// Naming the file and what is wrong with it.
    pub fn load(files: TlsFiles, domain: TrustDomain, own: Peer) -> anyhow::Result<Arc<Self>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let loaded = load(&files, &domain, &own, &provider)?;
        Ok(Arc::new(Self { files, domain, own, provider, loaded: ArcSwap::from_pointee(loaded) }))
    }

    /// The trust domain.
    #[must_use]
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The server's side, as it is now.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        self.loaded.load().server.clone()
    }

    /// The client's side towards one service, as it is now.
    ///
    /// # Errors
    /// When the pair is refused by the TLS library; [`MeshTls::load`] has checked that it is not.
    pub fn client(&self, to: Service) -> anyhow::Result<Arc<ClientConfig>> {
        let loaded = self.loaded.load();
        let verifier = ExpectService {
            roots: loaded.roots.clone(),
            domain: self.domain.clone(),
            expected: to,
            provider: self.provider.clone(),
        };
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(loaded.chain.clone(), loaded.key.clone_key())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    /// Looks at the files again and says whether they are new. A set that does not hold is refused and the one before
    /// stays in use. Connections that stand are not touched; new ones, to and from here, show the new certificate.
    ///
    /// # Errors
    /// Naming the file and what is wrong with it.
    pub fn reload(&self) -> anyhow::Result<bool> {
        let fresh = load(&self.files, &self.domain, &self.own, &self.provider)?;
        if fresh.fingerprint == self.loaded.load().fingerprint {
            return Ok(false);
        }
        self.loaded.store(Arc::new(fresh));
        Ok(true)
    }

    /// When the certificate in use ends, seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.loaded.load().not_after
    }

    /// Checks the files every few seconds until shutdown, and reports when the certificate expires.
    pub async fn keep_reloaded(self: Arc<Self>, every: Duration, shutdown: Shutdown) {
        let (mut failed, mut warned) = (0_u32, false);
        self.gauge();
        while shutdown.sleep(every).await.is_ok() {
            match self.reload() {
                Ok(fresh) => {
                    failed = 0;
                    if fresh {
                        tracing::info!(certificate = %self.files.certificate.display(), "certificate replaced");
                        warned = false;
                    }
                }
                Err(error) => {
                    failed = failed.saturating_add(1);
                    // The first time it may be that only one of the files has been replaced yet.
                    if failed == 2 {
                        tracing::error!(
                            error = format!("{error:#}"),
                            "the new certificate is refused; the old one stays in use"
                        );
                    }
                }
            }
            self.gauge();
            let left = Duration::from_secs(u64::try_from(self.not_after() - now()).unwrap_or_default());
            if left < EXPIRES_SOON && !warned {
                warned = true;
                tracing::warn!(
                    certificate = %self.files.certificate.display(),
                    left = %humantime(left),
                    "the certificate ends soon and has not been replaced"
                );
            }
        }
    }

    fn gauge(&self) {
        // Whole seconds are exact in an f64 for the next 285 million years.
        metrics::gauge!("runwarden_certificate_expiry_seconds", "service" => self.own.name().to_owned())
            .set(self.not_after() as f64);
    }
}

fn now() -> i64 {
    SystemClock.now().seconds()
}

/// Hours are fine enough.
fn humantime(left: Duration) -> String {
    format!("{} h", left.as_secs() / 3600)
}

fn load(files: &TlsFiles, domain: &TrustDomain, own: &Peer, provider: &Arc<CryptoProvider>) -> anyhow::Result<Loaded> {
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| path.display().to_string());
    let (certificate_pem, key_pem, ca_pem) = (read(&files.certificate)?, read(&files.key)?, read(&files.ca)?);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificate_pem)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} contains no certificates", files.certificate.display()))?;
    let leaf = chain.first().with_context(|| format!("{} contains no certificate", files.certificate.display()))?;
    let key =
        PrivateKeyDer::from_pem_slice(&key_pem).with_context(|| format!("{} contains no key", files.key.display()))?;
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(&ca_pem) {
        roots.add(ca.with_context(|| format!("{} contains no certificates", files.ca.display()))?)?;
    }
    ensure!(!roots.is_empty(), "{} contains no certificate authority", files.ca.display());
    let roots = Arc::new(roots);

    let identity = Peer::of_certificate(leaf, domain).with_context(|| files.certificate.display().to_string())?;
    ensure!(identity == *own, "{} is the certificate of {identity:?}, not of {own:?}", files.certificate.display());
    let intermediates = chain.get(1..).unwrap_or_default();
    let refused = || format!("{} does not verify against {}", files.certificate.display(), files.ca.display());
    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
    clients.verify_client_cert(leaf, intermediates, UnixTime::now()).with_context(refused)?;
    if matches!(own, Peer::Service(service) if Service::WITH_GRPC.contains(service)) {
        verify_server(leaf, intermediates, &roots, UnixTime::now(), provider)
            .with_context(refused)
            .context("as the certificate of a server")?;
    }
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.clone(), key.clone_key())
        .with_context(|| format!("{} does not belong to {}", files.key.display(), files.certificate.display()))?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    // Every connection authenticates again: a resumed session would carry a certificate past its expiry.
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});

    let (_, parsed) = X509Certificate::from_der(leaf)?;
    let not_after = parsed.validity().not_after.timestamp();
    let fingerprint = crate::json::sha256_hex(&[certificate_pem, key_pem, ca_pem].concat());
    Ok(Loaded { server: Arc::new(server), roots, chain, key, not_after, fingerprint })
}

fn verify_server(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: UnixTime,
    provider: &CryptoProvider,
) -> Result<(), rustls::Error> {
    rustls::client::verify_server_cert_signed_by_trust_anchor(
        &rustls::server::ParsedCertificate::try_from(leaf)?,
        roots,
        intermediates,
        now,
        provider.signature_verification_algorithms.all,
    )
}

/// Believes a server that the authority vouches for and that is the very service we meant to call. Names and
/// addresses do not matter: in a SPIFFE mesh the id is the identity.
#[derive(Debug)]
struct ExpectService {
    roots: Arc<RootCertStore>,
    domain: TrustDomain,
    expected: Service,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ExpectService {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        verify_server(end_entity, intermediates, &self.roots, now, &self.provider)?;
        match Peer::of_certificate(end_entity, &self.domain) {
            Ok(Peer::Service(service)) if service == self.expected => Ok(ServerCertVerified::assertion()),
            Ok(other) => Err(rustls::Error::General(format!("expected {}, found {other:?}", self.expected))),
            Err(error) => Err(rustls::Error::General(format!("{error:#}"))),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("the mesh speaks TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
