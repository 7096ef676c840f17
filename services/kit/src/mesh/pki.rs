//! The certificate authority that `runwarden up` makes for itself. Real deployments bring certificates from elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use time::OffsetDateTime;

use super::identity::{Peer, Service, TrustDomain};
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
        let (_, pem) = x509_parser::pem::parse_x509_pem(read(&ca_path)?.as_bytes())
            .with_context(|| format!("{} holds no certificate", ca_path.display()))?;
        let certificate = pem.parse_x509().with_context(|| format!("{} holds no certificate", ca_path.display()))?;
        let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        ensure!(
            name == Some(&common_name(&domain)),
            "{} was made for another trust domain than {domain}",
            ca_path.display()
        );
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
        write_private(&files.key, key.serialize_pem().as_bytes())?;
        write_private(&files.certificate, certificate.pem().as_bytes())?;
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

/// Makes a folder that only its owner can enter. One that is there already is left as it is.
///
/// # Errors
/// When it cannot be made.
pub fn make_private_folder(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| folder.display().to_string())
}

/// Writes a file that only its owner can read, all of it or nothing, durably; what was there before is replaced.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    through_draft(path, content, |draft| std::fs::rename(draft, path))
}

/// As [`write_private`], but leaves alone what is there already. False if something was.
///
/// # Errors
/// When it cannot be written.
pub fn write_private_new(path: &Path, content: &[u8]) -> anyhow::Result<bool> {
    let mut made = true;
    through_draft(path, content, |draft| {
        // Unlike a rename, a link never takes the place of another file.
        match std::fs::hard_link(draft, path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => made = false,
            other => other?,
        }
        std::fs::remove_file(draft)
    })?;
    Ok(made)
}

fn through_draft(
    path: &Path,
    content: &[u8],
    publish: impl FnOnce(&Path) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut name = path.file_name().with_context(|| format!("{} names no file", path.display()))?.to_owned();
    name.push(format!(".{}", crate::id::new("draft")));
    let draft = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        publish(&draft)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder)?.sync_all()
    };
    write()
        .inspect_err(|_| {
            let _nothing_left_behind = std::fs::remove_file(&draft);
        })
        .with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_private_file_is_whole_private_and_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!write_private_new(&path, b"three").unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert!(write_private(&folder.path().join("no/such"), b"x").is_err());
        assert_eq!(names(folder.path()), ["key"]);
    }

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
