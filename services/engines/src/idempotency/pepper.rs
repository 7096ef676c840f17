//! A service's pepper: 32 random bytes beside its store, never in it.

use std::io::ErrorKind;
use std::path::Path;

use runwarden_kit::private_file;
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
            .map_err(|_| StoreError::failed("the system did not provide random bytes"))?;
        Ok(Self(bytes))
    }

    /// Reads the file (which must be for the owner's eyes only), or makes it on first start.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        if let Some(pepper) = read(path)? {
            return Ok(pepper);
        }
        let made = Self::generate()?;
        // Where another process was faster, its pepper counts.
        if private_file::write_new(path, made.bytes())? {
            return Ok(made);
        }
        read(path)?.ok_or_else(|| StoreError::failed("the pepper appeared and went away again"))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

fn read(path: &Path) -> Result<Option<Pepper>> {
    let found = private_file::read(path, LENGTH).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::InvalidData => StoreError::Corrupt(error.to_string()),
        _ => error.into(),
    })?;
    let Some(found) = found else { return Ok(None) };
    let mut bytes = Zeroizing::new([0; LENGTH]);
    if found.len() != LENGTH {
        return Err(StoreError::Corrupt(format!("{}: it must have {LENGTH} bytes", path.display())));
    }
    bytes.copy_from_slice(&found);
    Ok(Some(Pepper(bytes)))
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
