//! What is read from files and standard input because the command line names them.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, ensure};
use runwarden_kit::SecretString;

/// The largest that is read, in bytes: more than a request may hold.
const LARGEST: u64 = 1 << 20;

/// Whether standard input was read: there is one for the whole process, and what was read from it is gone.
static INPUT_TAKEN: AtomicBool = AtomicBool::new(false);

/// All of a file, or of standard input for `-`, which can be read once. It may be a secret.
///
/// # Errors
/// When it cannot be read, is too large or is not UTF-8; the path is named.
pub(super) async fn read(path: &Path) -> anyhow::Result<SecretString> {
    let path = path.to_owned();
    let is_input = path == Path::new("-");
    ensure!(!is_input || !INPUT_TAKEN.swap(true, Ordering::Relaxed), "standard input can be read for one thing only");
    // A pipe may keep its reader waiting, and Ctrl-C must not wait with it.
    let reading = tokio::task::spawn_blocking(move || {
        if is_input {
            return text(std::io::stdin().lock()).context("standard input");
        }
        File::open(&path).map_err(Into::into).and_then(text).with_context(|| path.display().to_string())
    });
    reading.await?
}

fn text(from: impl Read) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    from.take(LARGEST + 1).read_to_string(&mut text)?;
    ensure!(u64::try_from(text.len()).is_ok_and(|length| length <= LARGEST), "is larger than {LARGEST} bytes");
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use runwarden_kit::ExposeSecret as _;

    #[tokio::test]
    async fn a_file_is_read_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let largest = usize::try_from(LARGEST).unwrap();
        std::fs::write(&file, "x".repeat(largest)).unwrap();
        assert_eq!(read(&file).await.unwrap().expose_secret().len(), largest);
        std::fs::write(&file, "x".repeat(largest + 1)).unwrap();
        let why = format!("{:#}", read(&file).await.err().unwrap());
        assert!(why.contains("larger than") && why.contains("file"), "{why}");
        assert!(read(&folder.path().join("gone")).await.is_err());
    }
}
