//! A master key, and the one line its file holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::envelope::{CryptoFailed, Key};

const FORMAT: &str = "runwarden-master-key-1";

/// The key that wraps tenant keys and nothing else.
pub(super) struct MasterKey {
    /// `mkey_…`, also the name of its file.
    pub(super) id: String,
    /// When it was made, in microseconds since 1970. A later key is the newer one.
    pub(super) created_at: i64,
    pub(super) key: Key,
}

impl MasterKey {
    /// Makes a new one.
    pub(super) fn generate(created_at: i64) -> Result<Self, CryptoFailed> {
        Ok(Self { id: runwarden_kit::id::new("mkey"), created_at, key: Key::generate()? })
    }

    /// Its file's content: format, id, time, key.
    pub(super) fn encode(&self) -> Zeroizing<String> {
        let key = Zeroizing::new(STANDARD.encode(self.key.expose()));
        Zeroizing::new(format!("{FORMAT} {} {} {}\n", self.id, self.created_at, key.as_str()))
    }

    /// Reads a file's content back.
    pub(super) fn parse(content: &str) -> Result<Self, &'static str> {
        let line = content.strip_suffix('\n').ok_or("it does not end with a line break")?;
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or("it is too short");
        if word()? != FORMAT {
            return Err("it does not begin with `runwarden-master-key-1`");
        }
        let id = word()?.to_owned();
        let created_at = word()?.parse().map_err(|_| "its time is not a number")?;
        let key = Zeroizing::new(STANDARD.decode(word()?).map_err(|_| "its key is not base64")?);
        if words.next().is_some() {
            return Err("it is too long");
        }
        // It names a file, so nothing else may pass.
        if !runwarden_kit::id::is_valid("mkey", &id) {
            return Err("its id does not have the form `mkey_…`");
        }
        let key = Key::from_bytes(&key).ok_or("its key is not 32 bytes")?;
        Ok(Self { id, created_at, key })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::MasterKey;

    #[test]
    fn a_key_file_reads_back() {
        let key = MasterKey::generate(1_795_000_000_000_000).unwrap();
        let back = MasterKey::parse(&key.encode()).ok().unwrap();
        assert_eq!(back.id, key.id);
        assert_eq!(back.created_at, key.created_at);
        assert_eq!(back.key.expose(), key.key.expose());
    }

    #[test]
    fn a_truncated_key_file_is_refused() {
        let content = MasterKey::generate(7).unwrap().encode();
        for end in 0..content.len() {
            assert!(MasterKey::parse(&content[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn an_id_that_would_leave_the_folder_is_refused() {
        let content = MasterKey::generate(7).unwrap().encode();
        let id = content.split(' ').nth(1).unwrap();
        for bad in ["mkey_../../x", "mkey_", "../x", "mkey_A"] {
            assert!(MasterKey::parse(&content.replace(id, bad)).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn noise_is_refused_without_panicking(noise in ".*") {
            prop_assert!(MasterKey::parse(&noise).is_err());
        }

        #[test]
        fn noise_after_the_format_is_refused_without_panicking(noise in ".*") {
            let content = format!("runwarden-master-key-1 {noise}\n");
            prop_assert!(MasterKey::parse(&content).is_err());
        }
    }
}
