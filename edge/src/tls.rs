//! The edge's own certificate: checked before it is used, replaced when its files change, the old one kept when the new
//! one is bad.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use runwarden_kit::lifecycle::Shutdown;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A certificate in files.
pub struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    loaded: ArcSwap<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    digest: String,
}

impl Certificates {
    /// Loads the files.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, is not PEM, or the key does not match the certificate.
    pub fn load(certificate: &Path, key: &Path) -> anyhow::Result<Arc<Self>> {
        let loaded = load(certificate, key)?;
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Ok(Arc::new(Self { certificate, key, loaded: ArcSwap::from_pointee(loaded) }))
    }

    /// What new connections use.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        self.loaded.load().config.clone()
    }

    /// Looks at the files again. Says whether there was something new.
    ///
    /// # Errors
    ///
    /// If the new files cannot be used; the current certificate stays in use.
    pub fn reload(&self) -> anyhow::Result<bool> {
        let fresh = load(&self.certificate, &self.key)?;
        if fresh.digest == self.loaded.load().digest {
            return Ok(false);
        }
        self.loaded.store(Arc::new(fresh));
        Ok(true)
    }

    /// Looks at the files every few seconds and on SIGHUP, until shutdown.
    pub async fn keep_reloaded(self: Arc<Self>, shutdown: Shutdown) {
        let mut complained = false;
        let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
        loop {
            let asked = async {
                match &mut hangup {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.begun() => return,
                () = tokio::time::sleep(LOOK) => {}
                _ = asked => complained = false,
            }
            match self.reload() {
                Ok(true) => {
                    tracing::info!(certificate = %self.certificate.display(), "the certificate was reloaded");
                    complained = false;
                }
                Ok(false) => complained = false,
                Err(error) if !complained => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the new certificate cannot be used; the old one stays in use"
                    );
                    complained = true;
                }
                Err(_) => {}
            }
        }
    }
}

fn load(certificate: &Path, key: &Path) -> anyhow::Result<Loaded> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (certificate_pem, key_pem) = (read(certificate)?, read(key)?);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificate_pem)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is not a PEM certificate chain", certificate.display()))?;
    anyhow::ensure!(!chain.is_empty(), "{} contains no certificate", certificate.display());
    let private = PrivateKeyDer::from_pem_slice(&key_pem)
        .with_context(|| format!("{} contains no private key", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("certificate {} and key {} do not match", certificate.display(), key.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let digest = runwarden_kit::json::sha256_hex(&[certificate_pem, key_pem].concat());
    Ok(Loaded { config: Arc::new(config), digest })
}

#[cfg(test)]
mod tests {
    use super::Certificates;
    use std::path::Path;
    use std::sync::Arc;

    fn write(folder: &Path, name: &str) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_new_certificate_is_taken_and_a_bad_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "one.example");
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let certificates = Certificates::load(&cert, &key).unwrap();
        let first = certificates.current();
        assert!(!certificates.reload().unwrap());

        write(folder.path(), "two.example");
        assert!(certificates.reload().unwrap());
        let second = certificates.current();
        assert!(!Arc::ptr_eq(&first, &second));

        let other = rcgen::generate_simple_self_signed(vec!["three.example".to_owned()]).unwrap();
        std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
        assert!(certificates.reload().is_err());
        assert!(Arc::ptr_eq(&second, &certificates.current()));
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("cert.pem");
        let Err(error) = Certificates::load(&missing, &missing) else { panic!("there is no such file") };
        assert!(error.to_string().contains("cert.pem"));
    }
}
