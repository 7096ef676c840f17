//! Key files: 256 random bits that never enter the store, so that a copy of the store alone opens nothing.

use std::path::Path;

use anyhow::Context;
use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use runwarden_kit::private_file;

/// No key file is longer, in bytes.
const LARGEST_FILE: usize = 1024;

/// The content of a key file. Has no `Debug`: it must never be printed.
pub(crate) struct KeyFile {
    bytes: Zeroizing<[u8; 32]>,
}

impl KeyFile {
    /// Reads the key file, or makes it when there is none and nothing depends on a lost one.
    ///
    /// `known_mark` is what [`KeyFile::mark`] answered when the file was first used. A file that does not
    /// fit it is refused, because with it every stored secret would silently stop working.
    pub(crate) fn open(path: &Path, purpose: &str, known_mark: Option<&str>) -> anyhow::Result<Self> {
        let shown = path.display();
        let found = Self::read(path).with_context(|| format!("cannot use the key file {shown}"))?;
        let file = match (found, known_mark) {
            (Some(file), _) => file,
            (None, Some(_)) => anyhow::bail!(
                "the key file {shown} is missing, and the store was written with it: restore it from a backup"
            ),
            (None, None) => Self::create(path).with_context(|| format!("cannot create the key file {shown}"))?,
        };
        if let Some(mark) = known_mark
            && mark != file.mark(purpose)
        {
            anyhow::bail!(
                "the key file {shown} is not the one the store was written with: restore that one from a backup"
            );
        }
        Ok(file)
    }

    /// Tells this key from others without telling the key.
    pub(crate) fn mark(&self, purpose: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.bytes.as_slice());
        hex::encode(hmac::sign(&key, format!("runwarden key file mark: {purpose}").as_bytes()))
    }

    /// A key derived for another purpose; this one cannot be computed from it.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.bytes.as_slice());
        let mut derived = [0_u8; 32];
        let tag = hmac::sign(&key, format!("runwarden derived key: {purpose}").as_bytes());
        derived.copy_from_slice(tag.as_ref());
        derived
    }

    /// The key itself.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let Some(content) = private_file::read(path, LARGEST_FILE)? else {
            return Ok(None);
        };
        let mut bytes = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(content.trim_ascii(), bytes.as_mut_slice())
            .map_err(|_| anyhow::anyhow!("it must hold 64 hexadecimal digits"))?;
        Ok(Some(Self { bytes }))
    }

    fn create(path: &Path) -> anyhow::Result<Self> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rand::fill(bytes.as_mut_slice()).context("no randomness")?;
        let text = Zeroizing::new(format!("{}\n", hex::encode(bytes.as_slice())));
        if private_file::write_new(path, text.as_bytes())? {
            return Ok(Self { bytes });
        }
        // Another process was first: its key counts.
        Self::read(path)?.context("it was created and then removed while it was read")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_read_ever_after() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pepper");
        let first = KeyFile::open(&path, "pepper", None).unwrap();
        let mark = first.mark("pepper");
        let second = KeyFile::open(&path, "pepper", Some(&mark)).unwrap();
        assert_eq!(first.bytes(), second.bytes());
        assert_ne!(mark, first.mark("seal"));
    }

    #[test]
    fn a_lost_or_foreign_key_file_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pepper");
        let lost = KeyFile::open(&path, "pepper", Some("aa")).err().unwrap();
        assert!(lost.to_string().contains("is missing"), "{lost}");
        assert!(!path.exists());
        KeyFile::open(&path, "pepper", None).unwrap();
        let foreign = KeyFile::open(&path, "pepper", Some("aa")).err().unwrap();
        assert!(foreign.to_string().contains("is not the one"), "{foreign}");
    }

    #[test]
    fn a_key_file_with_anything_else_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pepper");
        private_file::write(&path, b"secret").unwrap();
        assert!(KeyFile::open(&path, "pepper", None).is_err());
    }
}
