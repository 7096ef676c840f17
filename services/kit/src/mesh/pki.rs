//! The certificate authority that `runwarden up` makes for itself. Real deployments bring certificates from elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use time::OffsetDateTime;

use super::identity::{Service, TrustDomain};
use super::tls::TlsFiles;

/// How long a leaf certificate lives.
const LEAF_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// It is replaced when less than this is left.
const LEAF_RENEWAL: Duration = Duration::from_secs(10 * 24 * 3600);
/// How long the authority lives.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A certificate authority in a folder: `ca.pem`, `ca.key`, and a pair for each service and operator.
pub struct DevCa {
    folder: PathBuf,
    domain: TrustDomain,
    key_pem: String,
}

impl DevCa {
    /// Opens the authority in a folder, or makes one there.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or holds half an authority.
    pub fn open(folder: &Path, domain: TrustDomain) -> anyhow::Result<Self> {
        make_private_folder(folder)?;
        let (ca_path, key_path) = (folder.join("ca.pem"), folder.join("ca.key"));
        if !key_path.exists() {
            let key = KeyPair::generate()?;
            let certificate = ca_params(&domain)?.self_signed(&key)?;
            write_private(&ca_path, certificate.pem().as_bytes())?;
            // The key last: a folder with a key has its certificate.
            write_private(&key_path, key.serialize_pem().as_bytes())?;
        }
        let read = |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
        Ok(Self { key_pem: read(&key_path)?, folder: folder.to_owned(), domain })
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
        if time_left(&files.certificate).is_some_and(|left| left > LEAF_RENEWAL) && files.key.exists() {
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
        write_private(&files.key, key.serialize_pem().as_bytes())?;
        write_private(&files.certificate, certificate.pem().as_bytes())?;
        Ok(files)
    }
}

/// What the authority's certificate says.
fn ca_params(domain: &TrustDomain) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, format!("Runwarden CA {domain}"));
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

/// How long the certificate in a file is still valid; `None` if there is none or it is not.
fn time_left(path: &Path) -> Option<Duration> {
    let pem = std::fs::read(path).ok()?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    certificate.validity().time_to_expiration().and_then(|left| Duration::try_from(left).ok())
}

/// Makes a folder that only its owner can enter.
///
/// # Errors
/// When it cannot be made.
pub fn make_private_folder(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| folder.display().to_string())
}

/// Writes a file that only its owner can read, all of it or nothing, durably.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let draft = path.with_extension(format!("tmp{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        if let Some(folder) = path.parent() {
            std::fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    write().with_context(|| path.display().to_string())
}
