//! Profiles: who one is where, in a file that only its owner may read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use runwarden_kit::{ExposeSecret as _, SecretString, private_file};
use serde_json::{Map, Value, json};

/// The form of the file.
const VERSION: u64 = 1;
/// The largest file that is read, in bytes.
const LARGEST_FILE: usize = 1 << 20;

/// All profiles.
pub(super) struct Profiles {
    path: PathBuf,
    current: Option<String>,
    profiles: BTreeMap<String, Profile>,
}

/// Who one is somewhere.
#[derive(Clone)]
pub(super) struct Profile {
    pub(super) url: String,
    pub(super) client_id: String,
    pub(super) client_secret: SecretString,
    pub(super) tenant: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) allow_plain_http: bool,
}

impl Profiles {
    /// Reads this user's profiles; there are none if the file is not there.
    ///
    /// # Errors
    /// When others can read the file, or it is not one of ours.
    pub(super) fn open() -> anyhow::Result<Self> {
        Self::open_at(path(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))?)
    }

    fn open_at(path: PathBuf) -> anyhow::Result<Self> {
        let Some(text) = private_file::read(&path, LARGEST_FILE)? else {
            return Ok(Self { path, current: None, profiles: BTreeMap::new() });
        };
        let stored = serde_json::from_slice(&text).ok();
        let (current, profiles) = stored.as_ref().and_then(read).with_context(|| {
            format!("{} is not a profiles file of this version: remove it, and log in again", path.display())
        })?;
        Ok(Self { path, current, profiles })
    }

    /// Writes them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn save(&self) -> anyhow::Result<()> {
        let profiles: Map<String, Value> =
            self.profiles.iter().map(|(name, profile)| (name.clone(), profile.stored())).collect();
        let content = json!({"version": VERSION, "current": self.current, "profiles": profiles});
        Ok(private_file::write(&self.path, format!("{content:#}\n").as_bytes())?)
    }

    /// Where they are.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the current one.
    pub(super) fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Profile)> {
        self.profiles.iter().map(|(name, profile)| (name.as_str(), profile))
    }

    /// Keeps one and makes it the current one.
    pub(super) fn put(&mut self, name: &str, profile: Profile) {
        self.profiles.insert(name.to_owned(), profile);
        self.current = Some(name.to_owned());
    }

    /// Makes one the current one; false if there is none of this name.
    pub(super) fn choose(&mut self, name: &str) -> bool {
        let is_there = self.profiles.contains_key(name);
        if is_there {
            self.current = Some(name.to_owned());
        }
        is_there
    }

    /// Removes one; false if there is none of this name. If one is left it is the current one.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let was_there = self.profiles.remove(name).is_some();
        if self.current.as_deref() == Some(name) {
            let mut left = self.profiles.keys();
            self.current = left.next().filter(|_| left.next().is_none()).cloned();
        }
        was_there
    }

    /// Removes all of them.
    pub(super) fn clear(&mut self) {
        self.profiles.clear();
        self.current = None;
    }
}

impl Profile {
    fn stored(&self) -> Value {
        json!({
            "url": self.url, "client_id": self.client_id, "client_secret": self.client_secret.expose_secret(),
            "tenant": self.tenant, "ca_file": self.ca_file, "allow_plain_http": self.allow_plain_http,
        })
    }

    fn read(stored: &Value) -> Option<Self> {
        let text = |key: &str| stored.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            url: text("url")?,
            client_id: text("client_id")?,
            client_secret: text("client_secret")?.into(),
            tenant: text("tenant"),
            ca_file: text("ca_file").map(PathBuf::from),
            allow_plain_http: stored.get("allow_plain_http").and_then(Value::as_bool).unwrap_or_default(),
        })
    }
}

fn read(stored: &Value) -> Option<(Option<String>, BTreeMap<String, Profile>)> {
    if stored.get("version")?.as_u64()? != VERSION {
        return None;
    }
    let profiles = stored.get("profiles")?.as_object()?.iter();
    let profiles =
        profiles.map(|(name, profile)| Some((name.clone(), Profile::read(profile)?))).collect::<Option<_>>()?;
    Some((stored.get("current").and_then(Value::as_str).map(str::to_owned), profiles))
}

/// Where a user's profiles are.
fn path(variable: impl Fn(&str) -> Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(file) = variable("RUNWARDEN_PROFILES") {
        return Ok(file);
    }
    let folder = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    let folder = folder.context("HOME is not set: say where profiles are kept with RUNWARDEN_PROFILES")?;
    Ok(folder.join("runwarden").join("profiles.json"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn profile(url: &str) -> Profile {
        Profile {
            url: url.to_owned(),
            client_id: "client_1".to_owned(),
            client_secret: "hunter2".to_owned().into(),
            tenant: Some("acme".to_owned()),
            ca_file: None,
            allow_plain_http: false,
        }
    }

    #[test]
    fn profiles_are_kept_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("profiles.json");
        let mut profiles = Profiles::open_at(path.clone()).unwrap();
        profiles.put("one", profile("https://one.example"));
        profiles.put("two", profile("https://two.example"));
        profiles.save().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let mut again = Profiles::open_at(path).unwrap();
        assert_eq!((again.current(), again.get("one").unwrap().url.as_str()), (Some("two"), "https://one.example"));
        assert_eq!(again.get("two").unwrap().client_secret.expose_secret(), "hunter2");
        assert!(again.choose("one") && !again.choose("three") && again.remove("one") && !again.remove("one"));
        assert_eq!(again.current(), Some("two"), "the only one that is left");
    }

    #[test]
    fn a_file_that_others_can_reach_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profiles.json");
        let mut profiles = Profiles::open_at(path.clone()).unwrap();
        profiles.put("one", profile("https://one.example"));
        profiles.save().unwrap();
        for mode in [0o644, 0o640, 0o620, 0o604, 0o610] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let why = Profiles::open_at(path.clone()).err().unwrap().to_string();
            assert!(why.contains("chmod 600") && why.contains(&format!("{mode:o}")), "{why}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(Profiles::open_at(path).is_ok());
    }

    #[test]
    fn a_file_that_is_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profiles.json");
        for content in
            ["", "{}", "hello", r#"{"version": 2, "profiles": {}}"#, r#"{"version": 1, "profiles": {"a": {}}}"#]
        {
            private_file::write(&path, content.as_bytes()).unwrap();
            assert!(Profiles::open_at(path.clone()).err().unwrap().to_string().contains("log in again"), "{content}");
        }
    }

    #[test]
    fn they_are_where_the_user_keeps_configuration() {
        let with = |set: &'static [(&str, &str)]| {
            path(move |name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value)))
        };
        assert_eq!(with(&[("HOME", "/h")]).unwrap(), Path::new("/h/.config/runwarden/profiles.json"));
        assert_eq!(
            with(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]).unwrap(),
            Path::new("/x/runwarden/profiles.json")
        );
        assert_eq!(with(&[("HOME", "/h"), ("RUNWARDEN_PROFILES", "/p")]).unwrap(), Path::new("/p"));
        assert!(with(&[]).is_err());
    }
}
