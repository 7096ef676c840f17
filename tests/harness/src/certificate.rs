//! Certificates for servers of a test on this machine.

use std::sync::Arc;

use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

/// A certificate for this machine that nobody but itself has signed.
pub(crate) struct SelfSigned {
    /// PEM.
    pub(crate) pem: String,
    /// Its key, PEM.
    pub(crate) key_pem: String,
    /// Serves with it.
    pub(crate) tls: TlsAcceptor,
}

impl SelfSigned {
    pub(crate) fn make() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("the key fits the certificate");
        Self {
            pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
            tls: TlsAcceptor::from(Arc::new(config)),
        }
    }
}
