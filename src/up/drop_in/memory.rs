//! What was taken over from the environment, as keyed hashes: a secret cannot be read back to compare it. Whoever has the
//! file alone cannot find a password by trying, for the key is in a file of its own.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aws_lc_rs::{hmac, rand};
use runwarden_kit::private_file;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The file that remembers, in the data folder.
pub(super) const FILE: &str = "drop-in.json";
/// The key of its hashes, beside it.
pub(super) const KEY_FILE: &str = "drop-in.key";
/// The file is never larger.
const MOST: usize = 64 * 1024;
const KEY_BYTES: usize = 32;

/// What was taken over.
pub(super) struct Memory {
    path: PathBuf,
    key: hmac::Key,
    known: Map<String, Value>,
}

impl Memory {
    /// Reads the files. If one is not there, or cannot be understood, nothing is known: all is taken over again.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let (path, key_path) = (folder.join(FILE), folder.join(KEY_FILE));
        let read = private_file::read(&path, MOST).with_context(|| path.display().to_string())?;
        let known: Map<String, Value> = read.and_then(|file| serde_json::from_slice(&file).ok()).unwrap_or_default();
        let key = private_file::read(&key_path, KEY_BYTES).with_context(|| key_path.display().to_string())?;
        let (key, known) = match key.filter(|key| key.len() == KEY_BYTES) {
            Some(key) => (key, known),
            None => {
                let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
                rand::fill(&mut key).ok().context("the system did not provide random bytes")?;
                private_file::write(&key_path, &key).with_context(|| key_path.display().to_string())?;
                (key, Map::new())
            }
        };
        Ok(Self { path, key: hmac::Key::new(hmac::HMAC_SHA256, &key), known })
    }

    /// Whether something was taken over under this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// Whether this value is the one that was taken over under this name.
    pub(super) fn knows(&self, name: &str, value: &str) -> bool {
        self.known.get(name).and_then(Value::as_str) == Some(&self.hash(name, value))
    }

    /// This value was taken over.
    pub(super) fn keep(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        let hash = self.hash(name, value);
        self.known.insert(name.to_owned(), hash.into());
        self.write()
    }

    /// The number that was noted under this name.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.known.get(name).and_then(Value::as_i64)
    }

    /// Notes a number, as it is.
    pub(super) fn note(&mut self, name: &str, number: i64) -> anyhow::Result<()> {
        self.known.insert(name.to_owned(), number.into());
        self.write()
    }

    /// Nothing was taken over under this name any more.
    pub(super) fn forget(&mut self, name: &str) -> anyhow::Result<()> {
        if self.known.remove(name).is_some() { self.write() } else { Ok(()) }
    }

    fn write(&self) -> anyhow::Result<()> {
        let content = serde_json::to_vec_pretty(&self.known)?;
        private_file::write(&self.path, &content).with_context(|| self.path.display().to_string())
    }

    fn hash(&self, name: &str, value: &str) -> String {
        let tag = hmac::sign(&self.key, format!("{name}\n{value}").as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_was_taken_over_is_known_again_and_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(folder.path()).unwrap();
        assert!(!memory.has("HMAC_KEY"));
        memory.keep("HMAC_KEY", "hunter2").unwrap();
        let mut again = Memory::open(folder.path()).unwrap();
        assert!(again.knows("HMAC_KEY", "hunter2") && !again.knows("HMAC_KEY", "hunter3"));
        assert!(!again.knows("AAP_AUTH", "hunter2"));
        for name in [FILE, KEY_FILE] {
            let path = folder.path().join(name);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
        again.forget("HMAC_KEY").unwrap();
        assert!(!Memory::open(folder.path()).unwrap().has("HMAC_KEY"));
    }

    #[test]
    fn nobody_who_has_the_file_alone_can_try_values() {
        let made = || {
            let folder = tempfile::tempdir().unwrap();
            Memory::open(folder.path()).unwrap().keep("HMAC_KEY", "hunter2").unwrap();
            folder
        };
        let (one, other) = (made(), made());
        let read = |folder: &tempfile::TempDir| std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert_ne!(read(&one), read(&other), "it takes the key");
        assert!(!read(&one).contains("hunter2"));
        // Without the key nothing is known, and nothing is mistaken.
        std::fs::remove_file(one.path().join(KEY_FILE)).unwrap();
        assert!(!Memory::open(one.path()).unwrap().has("HMAC_KEY"));
    }
}
