//! Controllers: AWX or AAP installations, their credentials apart.

mod address;
mod authority;
mod credential;
mod limits;
mod manage;
mod orphan;

use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Result, slug};
use serde::{Deserialize, Serialize};

pub use credential::Credential;
pub use limits::{ControllerLimits, ControllerLimitsUpdate};
pub use manage::{ControllerUpdate, Controllers, NewController};

use crate::store::{Catalog, Stored, key};

/// One installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controller {
    /// A slug, unique in its tenant.
    pub name: String,
    /// Its tenant.
    pub tenant: TenantId,
    /// Scheme, host and port.
    pub url: String,
    /// Where its API begins.
    pub api_root: String,
    /// The certificate authority to trust for it, PEM; empty for the system's.
    pub ca_pem: String,
    /// What it calls itself.
    pub product: String,
    /// Its version, as last reported.
    pub version: String,
    /// Our user's id there.
    pub account_id: i64,
    /// Our user's name there.
    pub account_name: String,
    /// How much may run on it.
    #[serde(flatten)]
    pub limits: ControllerLimits,
    /// When it was mapped.
    pub created_at: Moment,
    /// Grows with every change, and continues the count of a removed one with this name.
    pub revision: i64,
    /// The name of its credential in the secret service. Every new credential gets a new name, so that it and the
    /// address it is for change in one commit.
    pub secret_name: String,
    /// The name of the previous credential: kept for launches that resolved the controller just before the change.
    pub retired_secret: Option<String>,
}

pub(crate) async fn find(catalog: &Catalog, tenant: &TenantId, name: &str) -> Result<Option<Stored<Controller>>> {
    if !slug::is_slug(name) {
        return Ok(None);
    }
    catalog.get(&key::controller(tenant, name)).await
}
