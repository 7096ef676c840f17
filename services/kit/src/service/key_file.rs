//! Secret keys that a service makes for itself.

use std::path::Path;

use anyhow::Context as _;
use zeroize::Zeroize as _;

use crate::mesh::pki::write_private_new;

/// Reads a secret key file, or makes one with `length` random bytes at the first start; only its owner can read it.
/// What is there is never replaced, and of several who make it at once all get the same key.
///
/// # Errors
/// When it cannot be read or made, or has another length.
pub fn key_file(path: &Path, length: usize) -> anyhow::Result<Vec<u8>> {
    if !path.try_exists().with_context(|| path.display().to_string())? {
        let mut bytes = vec![0; length];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("no randomness"))?;
        let made = write_private_new(path, &bytes);
        bytes.zeroize();
        made?;
    }
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    anyhow::ensure!(bytes.len() == length, "{} has {} bytes instead of {length}", path.display(), bytes.len());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_make_a_key_at_once_get_the_same_and_nobody_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pepper");
        let keys: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| key_file(&path, 32).unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_ne!(keys[0], [0; 32]);
        assert!(key_file(&path, 16).is_err());
        std::fs::write(&path, b"").unwrap();
        assert!(key_file(&path, 32).is_err(), "an emptied key must not be made anew");
    }
}
