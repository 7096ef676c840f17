//! Certificates as nobody should have them, signed by the house's own authority.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use runwarden_kit::mesh::{TlsFiles, TrustDomain};
use time::OffsetDateTime;

/// What a forged certificate says.
pub(crate) struct Forged {
    pub(crate) uris: Vec<String>,
    pub(crate) from: OffsetDateTime,
    pub(crate) until: OffsetDateTime,
    pub(crate) purposes: Vec<ExtendedKeyUsagePurpose>,
}

impl Forged {
    /// A good one with this name.
    pub(crate) fn of(uri: &str) -> Self {
        let now = OffsetDateTime::now_utc();
        Self {
            uris: vec![uri.to_owned()],
            from: now - Duration::from_secs(3600),
            until: now + Duration::from_secs(3600),
            purposes: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        }
    }

    pub(crate) fn and(mut self, uri: &str) -> Self {
        self.uris.push(uri.to_owned());
        self
    }

    pub(crate) fn expired(mut self) -> Self {
        self.until = OffsetDateTime::now_utc() - Duration::from_secs(60);
        self
    }

    pub(crate) fn for_later(mut self) -> Self {
        self.from = OffsetDateTime::now_utc() + Duration::from_secs(600);
        self
    }

    pub(crate) fn only(mut self, purpose: ExtendedKeyUsagePurpose) -> Self {
        self.purposes = vec![purpose];
        self
    }

    /// Certificate and key, PEM.
    pub(crate) fn signed_by(&self, ca_folder: &Path, domain: &TrustDomain) -> Result<(String, String)> {
        let mut authority = CertificateParams::new(Vec::<String>::new())?;
        authority.distinguished_name.push(DnType::CommonName, format!("Runwarden CA {domain}"));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = Issuer::new(authority, KeyPair::from_pem(&std::fs::read_to_string(ca_folder.join("ca.key"))?)?);
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.subject_alt_names =
            self.uris.iter().map(|uri| Ok(SanType::URI(uri.as_str().try_into()?))).collect::<Result<_>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = self.purposes.clone();
        (params.not_before, params.not_after) = (self.from, self.until);
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
    }

    /// The same in files.
    pub(crate) fn files(&self, ca_folder: &Path, domain: &TrustDomain, to: &Path) -> Result<TlsFiles> {
        std::fs::create_dir_all(to)?;
        let (certificate, key) = self.signed_by(ca_folder, domain)?;
        let file = |name: &str, text: &str| -> Result<PathBuf> {
            std::fs::write(to.join(name), text)?;
            Ok(to.join(name))
        };
        Ok(TlsFiles {
            certificate: file("tls.pem", &certificate)?,
            key: file("tls.key", &key)?,
            ca: ca_folder.join("ca.pem"),
        })
    }
}
