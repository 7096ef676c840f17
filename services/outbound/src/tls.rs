//! Whom we trust, and why TLS failed.

use std::sync::Arc;

use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::SettingsProblem;

/// The system's authorities and those given. A machine without any authorities trusts nobody, which is said when it
/// matters: with every `https` request.
pub(crate) fn config(ca_pem: &str) -> Result<Arc<ClientConfig>, SettingsProblem> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if !ca_pem.trim().is_empty() {
        let given: Vec<_> = CertificateDer::pem_slice_iter(ca_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| SettingsProblem::Authorities)?;
        if given.is_empty() {
            return Err(SettingsProblem::Authorities);
        }
        for certificate in given {
            roots.add(certificate).map_err(|_| SettingsProblem::Authorities)?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| SettingsProblem::Authorities)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Why a handshake failed. Names in certificates are not passed on: they are those of whatever answers there.
pub(crate) fn why(error: &std::io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is not for this host name"
            }
            CertificateError::UnknownIssuer => "its certificate has an issuer that is not trusted",
            _ => "its certificate is not valid",
        },
        Some(rustls::Error::InvalidMessage(_)) => "the server does not speak TLS",
        Some(_) => "the TLS handshake failed",
        None => "the connection was closed during the TLS handshake",
    }
}
