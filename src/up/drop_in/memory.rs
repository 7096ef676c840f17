//! What was taken over from the environment, as salted digests: a secret cannot be read back to compare it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use runwarden_kit::{id, json, private_file};
use serde_json::{Map, Value};

/// The file is never larger.
const MOST: usize = 64 * 1024;
const SALT: &str = "salt";

/// What was taken over.
pub(super) struct Memory {
    path: PathBuf,
    salt: String,
    known: Map<String, Value>,
}

impl Memory {
    /// Reads the file. One that is not there, or cannot be understood, knows nothing: all is taken over again.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let read = private_file::read(path, MOST).with_context(|| path.display().to_string())?;
        let known: Map<String, Value> = read.and_then(|file| serde_json::from_slice(&file).ok()).unwrap_or_default();
        let salt = known.get(SALT).and_then(Value::as_str).map(str::to_owned);
        // Ids are random enough: the file is as private as the keys beside it.
        let salt = salt.unwrap_or_else(|| format!("{}{}", id::new("salt"), id::new("salt")));
        Ok(Self { path: path.to_owned(), salt, known })
    }

    /// Whether this value is the one that was taken over under this name.
    pub(super) fn knows(&self, name: &str, value: &str) -> bool {
        self.known.get(name).and_then(Value::as_str) == Some(&self.digest(name, value))
    }

    /// This value was taken over.
    pub(super) fn keep(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        let digest = self.digest(name, value);
        self.known.insert(SALT.to_owned(), self.salt.clone().into());
        self.known.insert(name.to_owned(), digest.into());
        let content = serde_json::to_vec_pretty(&self.known)?;
        private_file::write(&self.path, &content).with_context(|| self.path.display().to_string())
    }

    fn digest(&self, name: &str, value: &str) -> String {
        json::sha256_hex(format!("{}\n{name}\n{value}", self.salt).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_over_is_known_again_and_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("drop-in.json");
        let mut memory = Memory::open(&path).unwrap();
        assert!(!memory.knows("HMAC_KEY", "hunter2"));
        memory.keep("HMAC_KEY", "hunter2").unwrap();
        let again = Memory::open(&path).unwrap();
        assert!(again.knows("HMAC_KEY", "hunter2") && !again.knows("HMAC_KEY", "hunter3"));
        assert!(!again.knows("AAP_AUTH", "hunter2"));
        assert!(!std::fs::read_to_string(&path).unwrap().contains("hunter2"));
    }
}
