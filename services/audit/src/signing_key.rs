//! The file of the key that signs all logs: made once, readable by its owner only, and never made again behind the
//! back of logs that were signed with an earlier one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use runwarden_kit::private_file;
use zeroize::Zeroizing;

use crate::note::SigningKey;

/// Its name in the data folder: Ed25519 in PKCS #8, DER.
const FILE_NAME: &str = "audit-signing.key";
/// It is not longer, in bytes.
const LARGEST_FILE: usize = 1024;

/// Where the key is, in this folder.
#[must_use]
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// Reads the key.
///
/// # Errors
/// When there is none, or it is not one.
pub fn read(data_dir: &Path) -> anyhow::Result<SigningKey> {
    let path = path(data_dir);
    let pkcs8 =
        private_file::read(&path, LARGEST_FILE)?.with_context(|| format!("{} does not exist", path.display()))?;
    SigningKey::from_pkcs8(&pkcs8).with_context(|| path.display().to_string())
}

/// Reads the key, or makes it when there are no logs yet.
///
/// # Errors
/// When it cannot be read or made, or is missing although there are logs.
pub fn read_or_make(data_dir: &Path, logs_exist: bool) -> anyhow::Result<SigningKey> {
    let path = path(data_dir);
    if path.try_exists()? {
        return read(data_dir);
    }
    ensure!(
        !logs_exist,
        "{} is missing, and there are logs that were signed with it. Bring it back: with a new key they could not be \
         told from forged ones",
        path.display()
    );
    let (key, pkcs8) = SigningKey::generate()?;
    private_file::write(&path, &Zeroizing::new(pkcs8))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let made = read_or_make(dir.path(), false).unwrap().verifier("a").unwrap();
        let again = read_or_make(dir.path(), true).unwrap().verifier("a").unwrap();
        assert_eq!(made, again);
        let mode = std::fs::metadata(path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn no_new_key_is_made_behind_the_back_of_old_logs() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_or_make(dir.path(), true).unwrap_err().to_string();
        assert!(error.contains("audit-signing.key is missing"), "{error}");
        assert!(!path(dir.path()).exists());
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        private_file::write(&path(dir.path()), b"no key").unwrap();
        assert!(read_or_make(dir.path(), false).is_err());
    }
}
