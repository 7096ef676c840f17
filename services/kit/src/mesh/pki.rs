//! The certificate authority that `runwarden up` makes for itself. Real deployments bring certificates from elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::identity::{Peer, Service, TrustDomain};
use super::tls::TlsFiles;
use crate::private_file;

/// How long a leaf certificate lives.
const LEAF_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// It is replaced when less than this is left.
const LEAF_RENEWAL: Duration = Duration::from_secs(10 * 24 * 3600);
/// How long the authority lives.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// No key file is longer, in bytes.
const LARGEST_KEY: usize = 16 * 1024;

/// A certificate authority in a folder: `ca.pem`, `ca.key`, and a pair for each service and operator.
pub struct DevCa {
    folder: PathBuf,
    domain: TrustDomain,
    key_pem: Zeroizing<String>,
}

impl DevCa {
    /// Opens the authority in a folder, or makes one there.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or holds half an authority.
    pub fn open(folder: &Path, domain: TrustDomain) -> anyhow::Result<Self> {
        private_file::make_folder(folder)?;
        let (ca_path, key_path) = (folder.join("ca.pem"), folder.join("ca.key"));
        if !key_path.exists() {
            let key = KeyPair::generate()?;
            let certificate = ca_params(&domain)?.self_signed(&key)?;
            private_file::write(&ca_path, certificate.pem().as_bytes())?;
            // The key last: a folder with a key has its certificate.
            private_file::write(&key_path, key.serialize_pem().as_bytes())?;
        }
        let read = |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
        let (_, pem) = x509_parser::pem::parse_x509_pem(read(&ca_path)?.as_bytes())
            .with_context(|| format!("{} contains no certificate", ca_path.display()))?;
        let certificate = pem.parse_x509().with_context(|| format!("{} contains no certificate", ca_path.display()))?;
        let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        ensure!(
            name == Some(&common_name(&domain)),
            "{} was made for another trust domain than {domain}",
            ca_path.display()
        );
        let key =
            private_file::read(&key_path, LARGEST_KEY)?.with_context(|| format!("{} is gone", key_path.display()))?;
        Ok(Self { key_pem: Zeroizing::new(String::from_utf8(key.to_vec())?), folder: folder.to_owned(), domain })
    }

    /// The path of the authority's certificate.
    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The files of a service's pair, made or replaced if that is due.
    ///
    /// # Errors
    /// When they cannot be made or written.
    pub fn service(&self, service: Service) -> anyhow::Result<TlsFiles> {
        self.pair(service.name(), &self.domain.service_id(service))
    }

    /// The files of an operator's pair, made or replaced if that is due.
    ///
    /// # Errors
    /// When they cannot be made or written.
    pub fn operator(&self, name: &str) -> anyhow::Result<TlsFiles> {
        self.pair(&format!("operator-{name}"), &self.domain.operator_id(name))
    }

    fn pair(&self, file: &str, spiffe_id: &str) -> anyhow::Result<TlsFiles> {
        let files = TlsFiles {
            certificate: self.folder.join(format!("{file}.pem")),
            key: self.folder.join(format!("{file}.key")),
            ca: self.ca_path(),
        };
        if self.is_of(&files.certificate, spiffe_id) && files.key.exists() {
            return Ok(files);
        }
        // Leaves name their issuer by subject and key, and both are the same as in the authority's certificate.
        let issuer = Issuer::new(ca_params(&self.domain)?, KeyPair::from_pem(&self.key_pem)?);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, file);
        params.subject_alt_names = vec![
            SanType::URI(spiffe_id.try_into()?),
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()),
            SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()),
        ];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(LEAF_LIFETIME);
        let certificate = params.signed_by(&key, &issuer)?;
        private_file::write(&files.key, key.serialize_pem().as_bytes())?;
        private_file::write(&files.certificate, certificate.pem().as_bytes())?;
        Ok(files)
    }

    /// Whether the certificate in a file is of this identity and lasts a while.
    fn is_of(&self, path: &Path, spiffe_id: &str) -> bool {
        let Ok(pem) = std::fs::read(path) else { return false };
        let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(&pem) else { return false };
        let Ok(certificate) = pem.parse_x509() else { return false };
        let left = certificate.validity().time_to_expiration().and_then(|left| Duration::try_from(left).ok());
        left.is_some_and(|left| left > LEAF_RENEWAL)
            && Peer::of_certificate(&pem.contents, &self.domain).is_ok_and(|peer| peer.id(&self.domain) == spiffe_id)
    }
}

fn common_name(domain: &TrustDomain) -> String {
    format!("Runwarden CA {domain}")
}

/// What the authority's certificate says.
fn ca_params(domain: &TrustDomain) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, common_name(domain));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = validity(CA_LIFETIME);
    Ok(params)
}

/// From five minutes ago, for clocks that differ, to the end of the lifetime.
fn validity(lifetime: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - time::Duration::minutes(5), now + lifetime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_kept_while_it_holds_and_made_again_for_another_identity() {
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::open(folder.path(), "one.test".parse().unwrap()).unwrap();
        let first = std::fs::read(ca.service(Service::Auth).unwrap().certificate).unwrap();
        let again = DevCa::open(folder.path(), "one.test".parse().unwrap()).unwrap();
        assert_eq!(std::fs::read(again.service(Service::Auth).unwrap().certificate).unwrap(), first);
        std::fs::write(folder.path().join("auth.pem"), b"garbage").unwrap();
        assert_ne!(std::fs::read(again.service(Service::Auth).unwrap().certificate).unwrap(), first);
        let error = DevCa::open(folder.path(), "two.test".parse().unwrap()).err().unwrap();
        assert!(format!("{error:#}").contains("another trust domain"), "{error:#}");
    }
}
