//! The first administrator: made at the first start, its credentials are left in a file for the operator.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use runwarden_engines::config::Change;
use runwarden_kit::{ExposeSecret as _, SecretString, id, private_file};
use serde_json::json;
use zeroize::Zeroizing;

use crate::client::clients::{Draft, NewClient};
use crate::client::secret;
use crate::ids;
use crate::role::administrators::PlatformHead;
use crate::role::record::{PLATFORM_ADMIN, Roles};
use crate::shared::Shared;
use crate::store::{self, TRIES, keys};

/// The name of the first administrator.
const NAME: &str = "bootstrap-admin";
/// No file of credentials is longer, in bytes.
const LARGEST_FILE: usize = 16 * 1024;

/// What the file holds.
struct Credentials {
    client_id: String,
    client_secret: SecretString,
}

impl Credentials {
    fn generate() -> anyhow::Result<Self> {
        Ok(Self { client_id: id::new(ids::CLIENT), client_secret: secret::generate()? })
    }

    /// Reads the bootstrap file; `None` if there is none or it is something else.
    fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let Some(content) = private_file::read(path, LARGEST_FILE)? else {
            return Ok(None);
        };
        Ok(Self::parse(&content))
    }

    fn parse(content: &[u8]) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_slice(content).ok()?;
        let client_id = value.get("client_id")?.as_str()?;
        let secret = value.get("client_secret")?.as_str()?;
        let whole =
            id::is_valid(ids::CLIENT, client_id) && URL_SAFE_NO_PAD.decode(secret).is_ok_and(|bytes| bytes.len() == 32);
        whole.then(|| Self { client_id: client_id.to_owned(), client_secret: SecretString::from(secret) })
    }

    fn content(&self) -> Zeroizing<String> {
        let content = json!({
            "client_id": self.client_id,
            "client_secret": self.client_secret.expose_secret(),
        });
        Zeroizing::new(format!("{content:#}\n"))
    }
}

/// Makes the first administrator if there never was one.
///
/// The file comes first and the client second. After a crash in between, the file contains credentials that do not work
/// yet, and the next start creates the client they belong to: they are never lost.
pub(crate) async fn ensure_administrator(shared: &Shared, path: &Path) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        if head(shared).await?.is_some() {
            return Ok(());
        }
        let shown = path.display();
        let credentials = take_or_make(path).with_context(|| format!("cannot write {shown}"))?;
        if make(shared, &credentials).await? {
            tracing::info!(file = %shown, client_id = credentials.client_id, "created the first administrator");
            return Ok(());
        }
        if let Some(head) = head(shared).await?
            && head.bootstrap_client != credentials.client_id
        {
            // Another replica was first, and its file counts: ours would lead nowhere.
            std::fs::remove_file(path).with_context(|| format!("cannot remove {shown}"))?;
        }
    }
    anyhow::bail!("the first administrator could not be created: other processes keep changing the store")
}

async fn head(shared: &Shared) -> anyhow::Result<Option<PlatformHead>> {
    let found = shared.store.get::<PlatformHead>(keys::PLATFORM_HEAD).await?;
    Ok(found.map(|stored| stored.value))
}

fn take_or_make(path: &Path) -> anyhow::Result<Credentials> {
    if let Some(found) = Credentials::read(path)? {
        return Ok(found);
    }
    let made = Credentials::generate()?;
    if private_file::write_new(path, made.content().as_bytes())? {
        return Ok(made);
    }
    // There is a file: either another replica's, written a moment ago, or nothing of ours.
    if let Some(found) = Credentials::read(path)? {
        return Ok(found);
    }
    private_file::write(path, made.content().as_bytes())?;
    Ok(made)
}

async fn make(shared: &Shared, credentials: &Credentials) -> anyhow::Result<bool> {
    let new =
        NewClient { name: NAME.to_owned(), project: None, roles: vec![PLATFORM_ADMIN.to_owned()], expires_at: None };
    let draft = Draft {
        client_id: &credentials.client_id,
        secret: &credentials.client_secret,
        tenant: None,
        new: &new,
        now: shared.now(),
    };
    let head = PlatformHead { bootstrap_client: credentials.client_id.clone() };
    let mut change = Change::new();
    change.absent(keys::PLATFORM_HEAD);
    store::put(&mut change, keys::PLATFORM_HEAD, &head)?;
    draft.put(&mut change, &shared.pepper, &Roles::default())?;
    let entry = shared
        .entry("client.create", "client", &credentials.client_id)
        .details(&json!({ "name": NAME, "roles": new.roles, "first_start": true }));
    Ok(shared.store.commit(change, &entry.build()).await?.is_done())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_credentials_are_taken_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bootstrap.json");
        let made = Credentials::generate().unwrap();
        private_file::write(&path, made.content().as_bytes()).unwrap();
        let read = Credentials::read(&path).unwrap().unwrap();
        assert_eq!(read.client_id, made.client_id);
        for broken in ["", "{}", "[1]", r#"{"client_id":"client_1","client_secret":"x"}"#] {
            assert!(Credentials::parse(broken.as_bytes()).is_none(), "{broken}");
        }
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bootstrap.json");
        private_file::write(&path, b"half").unwrap();
        let made = take_or_make(&path).unwrap();
        let read = Credentials::read(&path).unwrap().unwrap();
        assert_eq!(read.client_id, made.client_id);
    }
}
