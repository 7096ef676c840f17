//! Files that only this service may read: key files and the bootstrap credentials.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Whether a file that is there already may be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Leave it and say so.
    Keep,
    /// Put the new content in its place.
    Replace,
}

/// Writes `content` to `path` with mode 0600, all of it or nothing, durable when this returns.
///
/// Answers `false` when a file was there already and `existing` says to keep it.
pub(crate) fn write_private(path: &Path, content: &[u8], existing: Existing) -> io::Result<bool> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&dir)?;
    let draft = draft_path(path);
    let outcome = write_draft(&draft, content).and_then(|()| match existing {
        Existing::Replace => fs::rename(&draft, path).map(|()| true),
        // A link fails when the name is taken, which a rename would not.
        Existing::Keep => match fs::hard_link(&draft, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        },
    });
    match fs::remove_file(&draft) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return outcome.and(Err(error)),
    }
    let written = outcome?;
    fs::File::open(&dir)?.sync_all()?;
    Ok(written)
}

fn draft_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.draft", uuid::Uuid::new_v4().simple()));
    path.with_file_name(name)
}

fn write_draft(draft: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Reads a private file; `None` when there is none. Refuses one that everybody on the machine may read.
pub(crate) fn read_private(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "everybody may read it; take that right away (chmod 600)",
        ));
    }
    fs::read(path).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_for_its_owner_alone_and_leaves_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/file");
        assert!(write_private(&path, b"one", Existing::Keep).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_kept_keeps_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(write_private(&path, b"one", Existing::Keep).unwrap());
        assert!(!write_private(&path, b"two", Existing::Keep).unwrap());
        assert_eq!(read_private(&path).unwrap().unwrap(), b"one");
        assert!(write_private(&path, b"three", Existing::Replace).unwrap());
        assert_eq!(read_private(&path).unwrap().unwrap(), b"three");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_everybody_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_private(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(read_private(&dir.path().join("none")).unwrap().is_none());
    }
}
