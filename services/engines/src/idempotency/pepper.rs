//! A service's pepper: 32 random bytes beside its store, never in it.

use std::io::{Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::{Result, StoreError};

const LENGTH: usize = 32;

/// 32 random bytes that never leave the service.
pub struct Pepper(Zeroizing<[u8; LENGTH]>);

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pepper(…)")
    }
}

impl Pepper {
    /// Takes given bytes.
    pub fn new(bytes: [u8; LENGTH]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Makes new ones.
    pub fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice())
            .map_err(|_| StoreError::failed("the system gave no random bytes"))?;
        Ok(Self(bytes))
    }

    /// Reads the file (which must be for the owner's eyes only), or makes it on first start.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        if !path.try_exists()? {
            create(path, &Self::generate()?)?;
        }
        read(path)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Writes the file so that it is either whole or not there, and never replaces one.
fn create(path: &Path, pepper: &Pepper) -> Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = Path::new(&draft);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(draft)?;
    file.write_all(pepper.bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(draft, path);
    std::fs::remove_file(draft)?;
    match linked {
        // Another process was faster: its pepper counts.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => Ok(other?),
    }
}

fn read(path: &Path) -> Result<Pepper> {
    let mut file = std::fs::File::open(path)?;
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&file.metadata()?.permissions()) & 0o077 != 0 {
        return Err(StoreError::Corrupt(format!("{}: others may read it; it must have mode 0600", path.display())));
    }
    let mut bytes = Zeroizing::new([0; LENGTH]);
    let whole = file.read_exact(bytes.as_mut_slice()).is_ok() && file.read(&mut [0])? == 0;
    if !whole {
        return Err(StoreError::Corrupt(format!("{}: it must have {LENGTH} bytes", path.display())));
    }
    Ok(Pepper(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_pepper_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pepper");
        let first = Pepper::load_or_create(&path).unwrap();
        let second = Pepper::load_or_create(&path).unwrap();
        assert_eq!(first.bytes(), second.bytes());
        assert_ne!(first.bytes(), [0; LENGTH]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left behind");
        assert_eq!(format!("{first:?}"), "Pepper(…)");
    }

    #[test]
    fn a_damaged_or_readable_pepper_is_refused_rather_than_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pepper");
        for bytes in [&[1_u8; 31][..], &[1; 33]] {
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(Pepper::load_or_create(&path), Err(StoreError::Corrupt(_))));
        }
        std::fs::write(&path, [1; 32]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Pepper::load_or_create(&path), Err(StoreError::Corrupt(_))));
    }
}
