//! What is made again under an old name goes on counting where the old one stopped: whoever remembers something by name
//! and revision never takes the new thing for the old one.
//!
//! The last revision of what is removed stays behind. Whoever makes or removes something of the name demands in the
//! same commit that this is unchanged.

use runwarden_engines::config::Change;
use runwarden_kit::Result;
use serde::{Deserialize, Serialize};

use super::{Catalog, put};

/// What stays of something that was removed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Removed {
    last_revision: i64,
}

impl Catalog {
    /// The revision that something new begins with, if `removed_key` is where its predecessor's would be.
    pub(crate) async fn first_revision(&self, change: &mut Change, removed_key: &str) -> Result<i64> {
        Ok(match self.get::<Removed>(removed_key).await? {
            Some(removed) => {
                change.at(removed_key, removed.revision);
                removed.value.last_revision.saturating_add(1)
            }
            None => {
                change.absent(removed_key);
                1
            }
        })
    }
}

/// Keeps the last revision of something that is removed.
pub(crate) fn retire_revision(change: &mut Change, removed_key: &str, last_revision: i64) -> Result<()> {
    put(change, removed_key, &Removed { last_revision })
}
