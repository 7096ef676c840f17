//! Files that hold secrets: keys, credentials, peppers.
//!
//! One rule for all of them, PostgreSQL's for its server key: a file of the user who runs this has mode 0600 or less; one
//! of root's, as orchestrators mount secrets for other users, 0640 or less. Anything else is refused, and the refusal says what to do.
//! Files are written whole and durable, or not at all.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// What the name of a draft ends with begins so.
const DRAFT: &str = "draft";

/// Makes a folder that only its owner can enter. One that is there already is left as it is.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| naming(folder, error))
}

/// Demands that only its owner can enter a folder.
///
/// # Errors
/// `PermissionDenied` if others can, or it belongs to another user.
pub fn check_folder(folder: &Path) -> io::Result<()> {
    let about = std::fs::metadata(folder).map_err(|error| naming(folder, error))?;
    check(folder, &about, 0o700)
}

/// Writes a file with mode 0600, durably, and its folder if need be; what was there before is replaced.
///
/// # Errors
/// When it cannot be written; then what was there before is still there.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    through_draft(path, content, |draft| std::fs::rename(draft, path))
}

/// As [`write`], but leaves alone what is there already: false if something was.
///
/// # Errors
/// When it cannot be written.
pub fn write_new(path: &Path, content: &[u8]) -> io::Result<bool> {
    let mut made = true;
    through_draft(path, content, |draft| {
        // Unlike a rename, a link never takes the place of another file.
        match std::fs::hard_link(draft, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => made = false,
            other => other?,
        }
        std::fs::remove_file(draft)
    })?;
    Ok(made)
}

/// Reads a file that no other user can access; `None` if there is none.
///
/// # Errors
/// `PermissionDenied` if others can read or change it, `InvalidData` if it is longer than `most` bytes, or is not a file.
pub fn read(path: &Path, most: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // What is checked is what was opened. Opening a pipe would otherwise wait for its writer.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(naming(path, error)),
    };
    let about = file.metadata().map_err(|error| naming(path, error))?;
    if !about.is_file() {
        return Err(invalid(path, "is not a regular file"));
    }
    check(path, &about, 0o600)?;
    let mut content = Zeroizing::new(Vec::with_capacity(most.saturating_add(1)));
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut content).map_err(|error| naming(path, error))?;
    if content.len() > most {
        return Err(invalid(path, &format!("is longer than {most} bytes")));
    }
    Ok(Some(content))
}

/// `own` is the most that the user's own may be.
fn check(path: &Path, about: &Metadata, own: u32) -> io::Result<()> {
    let user = rustix::process::geteuid().as_raw();
    judge(path, about.permissions().mode() & 0o777, about.uid(), user, own)
}

fn judge(path: &Path, mode: u32, owner: u32, user: u32, own: u32) -> io::Result<()> {
    let (shown, most) = (path.display(), if owner == user { own } else { own | 0o040 });
    if owner != user && owner != 0 {
        return Err(denied(format!(
            "{shown} belongs to user {owner}, and this runs as user {user}: it is not used. Run this as its owner, or, \
             if you trust what is in it, give it to this user: chown {user} {shown}"
        )));
    }
    if mode & !most & 0o077 != 0 {
        return Err(denied(format!(
            "{shown} has mode {mode:04o}, so other users may have read or changed it: it is not used. \
             Replace its secrets if others use this machine, then run: chmod {most:o} {shown}"
        )));
    }
    Ok(())
}

fn through_draft(path: &Path, content: &[u8], publish: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut name = path.file_name().ok_or_else(|| invalid(path, "does not name a file"))?.to_owned();
    name.push(format!(".{}", crate::id::new(DRAFT)));
    let draft = path.with_file_name(name);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(folder)?;
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        publish(&draft)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        let _nothing_left_behind = std::fs::remove_file(&draft);
        naming(path, error)
    })
}

/// Whether a file is a draft of another that an interrupted write left behind.
#[must_use]
pub fn is_draft(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| crate::id::is_valid(DRAFT, extension))
}

fn naming(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn invalid(path: &Path, what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{} {what}", path.display()))
}

fn denied(why: String) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::path::PathBuf;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(folder: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| PathBuf::from(entry.unwrap().file_name())).collect()
    }

    #[test]
    fn a_file_is_whole_private_and_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!((read(&path, 3).unwrap().unwrap().as_slice(), mode(&path)), (&b"two"[..], 0o600));
        assert!(!write_new(&path, b"three").unwrap());
        assert_eq!(read(&path, 3).unwrap().unwrap().as_slice(), b"two");
        assert_eq!(names(folder.path()), [Path::new("key")]);
        write(&folder.path().join("new/key"), b"x").unwrap();
        assert_eq!(mode(&folder.path().join("new")), 0o700);
    }

    #[test]
    fn of_several_who_make_a_file_at_once_one_does_and_none_is_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let makers: Vec<bool> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8_u8)
                .map(|i| {
                    scope.spawn({
                        let path = &path;
                        move || write_new(path, &[i; 64]).unwrap()
                    })
                })
                .collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert_eq!(makers.iter().filter(|made| **made).count(), 1);
        let content = read(&path, 64).unwrap().unwrap();
        assert!(content.len() == 64 && content.iter().all(|byte| makers[usize::from(*byte)]));
        assert_eq!(names(folder.path()), [Path::new("key")]);
    }

    #[test]
    fn a_file_that_others_can_reach_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write(&path, b"x").unwrap();
        for (bits, fits) in
            [(0o600, true), (0o400, true), (0o604, false), (0o644, false), (0o602, false), (0o660, false)]
        {
            std::fs::set_permissions(&path, Permissions::from_mode(bits)).unwrap();
            let read = read(&path, 1);
            assert_eq!(read.is_ok(), fits, "{bits:o}");
            if let Err(error) = read {
                assert_eq!(error.kind(), ErrorKind::PermissionDenied);
                let (shown, text) = (path.display().to_string(), error.to_string());
                assert!(
                    text.contains(&format!("{bits:04o}")) && text.contains("chmod 6") && text.contains(&shown),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_file_of_another_user_is_refused_and_only_roots_may_be_read_by_a_group() {
        let judged =
            |mode, owner, user| judge(Path::new("key"), mode, owner, user, 0o600).map_err(|error| error.to_string());
        judged(0o600, 7, 7).unwrap();
        assert!(judged(0o640, 7, 7).unwrap_err().contains("chmod 600 key"));
        judged(0o440, 0, 7).unwrap();
        assert!(judged(0o660, 0, 7).unwrap_err().contains("chmod 640 key"));
        assert!(judged(0o644, 0, 7).is_err() && judged(0o640, 0, 0).is_err());
        let error = judged(0o600, 8, 7).unwrap_err();
        assert!(error.contains("belongs to user 8") && error.contains("chown 7 key"), "{error}");
    }

    #[test]
    fn what_is_missing_too_long_or_no_file_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read(&path, 1).unwrap().is_none());
        write(&path, b"xx").unwrap();
        assert_eq!(read(&path, 1).unwrap_err().kind(), ErrorKind::InvalidData);
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        assert_eq!(read(&pipe, 1).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_folder_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        make_folder(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700);
        check_folder(&deep).unwrap();
        std::fs::set_permissions(&deep, Permissions::from_mode(0o755)).unwrap();
        let error = check_folder(&deep).unwrap_err().to_string();
        assert!(error.contains("0755") && error.contains("chmod 700"), "{error}");
    }
}
