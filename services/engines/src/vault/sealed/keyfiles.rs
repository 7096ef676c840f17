//! The folder of master key files: `<id>.key`, mode 0600, in a folder of mode 0700.
//!
//! A key is durable (file and folder synced) before anything is wrapped by it. Whoever backs up the store must back up
//! this folder too, and keep the two apart: either alone is worthless.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use runwarden_kit::private_file;

use super::error::OpenError;
use super::master::MasterKey;

/// No key file is longer; what is longer is not read.
const MAX_LEN: usize = 1024;

/// Where master keys are kept.
#[derive(Clone, Debug)]
pub(super) struct KeyFiles {
    dir: PathBuf,
}

impl KeyFiles {
    /// Opens the folder, makes it if need be, and removes what an interrupted write left behind.
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        private_file::make_folder(dir).map_err(OpenError::File)?;
        private_file::check_folder(dir).map_err(OpenError::File)?;
        let files = Self { dir: dir.to_owned() };
        for path in files.paths(private_file::is_draft)? {
            // It was never renamed, so nothing was ever wrapped by it.
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
        Ok(files)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.key"))
    }

    /// All keys, the newest last.
    pub(super) fn load(&self) -> Result<Vec<MasterKey>, OpenError> {
        let mut keys = Vec::new();
        for path in self.paths(|path| path.extension().is_some_and(|extension| extension == "key"))? {
            let Some(key) = read(&path)? else { continue };
            if path != self.path(&key.id) {
                return Err(OpenError::Malformed { path, why: "its name is not the id inside" });
            }
            keys.push(key);
        }
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(keys)
    }

    /// Writes a new key's file. When this returns, the key survives a power cut.
    pub(super) fn write(&self, key: &MasterKey) -> Result<(), OpenError> {
        let path = self.path(&key.id);
        private_file::write(&path, key.encode().as_bytes()).map_err(OpenError::File)
    }

    /// Removes a key that wraps nothing any more.
    pub(super) fn remove(&self, id: &str) -> Result<(), OpenError> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => self.sync(),
        }
    }

    fn sync(&self) -> Result<(), OpenError> {
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", &self.dir))
    }

    fn paths(&self, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, OpenError> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(io_error("list", &self.dir))? {
            let path = entry.map_err(io_error("list", &self.dir))?.path();
            if wanted(&path) {
                paths.push(path);
            }
        }
        Ok(paths)
    }
}

/// Reads one key; `None` when a rotation removed it since the folder was listed.
fn read(path: &Path) -> Result<Option<MasterKey>, OpenError> {
    let Some(content) = private_file::read(path, MAX_LEN).map_err(OpenError::File)? else { return Ok(None) };
    let malformed = |why| OpenError::Malformed { path: path.to_owned(), why };
    let content = std::str::from_utf8(&content).map_err(|_| malformed("it is not text"))?;
    MasterKey::parse(content).map(Some).map_err(malformed)
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::{KeyFiles, MasterKey, OpenError};

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn key_files_belong_to_their_owner_alone() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("deep/master-keys");
        let files = KeyFiles::open(&dir).unwrap();
        let key = MasterKey::generate(1).unwrap();
        files.write(&key).unwrap();
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&files.path(&key.id)), 0o600);
    }

    #[test]
    fn a_key_that_others_may_read_is_not_used() {
        let temp = tempfile::tempdir().unwrap();
        let files = KeyFiles::open(&temp.path().join("keys")).unwrap();
        let key = MasterKey::generate(1).unwrap();
        files.write(&key).unwrap();
        fs::set_permissions(files.path(&key.id), Permissions::from_mode(0o640)).unwrap();
        let error = files.load().err().unwrap();
        assert!(matches!(error, OpenError::File(_)) && error.to_string().contains("mode 0640"), "{error}");
        fs::set_permissions(files.dir(), Permissions::from_mode(0o755)).unwrap();
        let error = KeyFiles::open(files.dir()).err().unwrap();
        assert!(matches!(error, OpenError::File(_)) && error.to_string().contains("mode 0755"), "{error}");
    }

    #[test]
    fn keys_are_loaded_oldest_first_and_removed_ones_are_gone() {
        let temp = tempfile::tempdir().unwrap();
        let files = KeyFiles::open(&temp.path().join("keys")).unwrap();
        let keys: Vec<_> = [30, 10, 20].map(|at| MasterKey::generate(at).unwrap()).into();
        for key in &keys {
            files.write(key).unwrap();
        }
        let times = |files: &KeyFiles| files.load().unwrap().iter().map(|k| k.created_at).collect::<Vec<_>>();
        assert_eq!(times(&files), [10, 20, 30]);
        files.remove(&keys[0].id).unwrap();
        files.remove(&keys[0].id).unwrap();
        assert_eq!(times(&files), [10, 20]);
    }

    #[test]
    fn what_an_interrupted_write_left_is_cleared_away_and_never_a_key() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("keys");
        KeyFiles::open(&dir).unwrap();
        let half = dir.join("mkey_1.key.draft_01a21f8bfa8274e9a510631fcf686df7");
        fs::write(&half, "runwarden-master-key-1 mkey_1").unwrap();
        assert!(KeyFiles::open(&dir).unwrap().load().unwrap().is_empty());
        assert!(!half.exists());
    }

    #[test]
    fn a_damaged_or_renamed_key_file_is_named_in_the_error() {
        let temp = tempfile::tempdir().unwrap();
        let files = KeyFiles::open(&temp.path().join("keys")).unwrap();
        let key = MasterKey::generate(1).unwrap();
        files.write(&key).unwrap();
        fs::rename(files.path(&key.id), files.path("mkey_other")).unwrap();
        let error = files.load().err().unwrap().to_string();
        assert!(error.contains("mkey_other.key") && error.contains("name"), "{error}");
        fs::write(files.path("mkey_other"), "hello\n").unwrap();
        let error = files.load().err().unwrap().to_string();
        assert!(error.contains("mkey_other.key"), "{error}");
    }
}
