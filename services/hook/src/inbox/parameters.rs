//! Parameters that a mapping made: what the template calls write-only is sealed before anything is kept of it, and is
//! shown to nobody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ExposeSecret as _, Result, SecretString};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::delivery::{Asked, Delivery};
use crate::ports::{Jobs, Keys};

/// Parameters without what is write-only.
pub(super) struct Divided {
    /// As they may be kept and shown: of a write-only one, that it is there.
    pub(super) shown: Map<String, Value>,
    /// The write-only ones.
    write_only: Map<String, Value>,
}

/// Takes out what a template calls write-only. Asked as whoever the context of the request being served says.
pub(super) async fn divided(jobs: &dyn Jobs, template: &str, parameters: Map<String, Value>) -> Result<Divided> {
    let mut divided = Divided { shown: parameters, write_only: Map::new() };
    if divided.shown.is_empty() {
        return Ok(divided);
    }
    for name in jobs.write_only(template, divided.shown.keys().cloned().collect()).await? {
        if let Some(value) = divided.shown.get_mut(&name) {
            // As the executor shows it.
            divided.write_only.insert(name, std::mem::replace(value, json!({ "set": true })));
        }
    }
    Ok(divided)
}

impl Divided {
    /// Seals what is write-only for a delivery: nothing if there is nothing.
    pub(super) async fn seal(&self, keys: &dyn Keys, tenant: &TenantId, delivery: &str) -> Result<Option<String>> {
        if self.write_only.is_empty() {
            return Ok(None);
        }
        let text = SecretString::from(serde_json::to_string(&self.write_only).map_err(Error::internal)?);
        Ok(Some(STANDARD.encode(keys.seal(tenant, delivery, &text).await?)))
    }
}

/// All parameters that a delivery asks for.
pub(super) async fn whole(keys: &dyn Keys, delivery: &Delivery, asked: &Asked) -> Result<Map<String, Value>> {
    let mut all = asked.parameters.clone();
    if let Some(sealed) = &asked.sealed {
        let sealed = STANDARD.decode(sealed).map_err(Error::internal)?;
        let opened = keys.open(&delivery.tenant, &delivery.id, &sealed).await?;
        let text = Zeroizing::new(opened.expose_secret().to_owned());
        let write_only: Map<String, Value> = serde_json::from_str(&text).map_err(Error::internal)?;
        all.extend(write_only);
    }
    Ok(all)
}
