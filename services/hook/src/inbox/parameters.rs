//! Parameters that a mapping made: what the template calls write-only is sealed before anything is kept of it, and is
//! shown to nobody.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// All of them as if they were write-only: for when that cannot be found out.
    pub(super) fn all(parameters: &Map<String, Value>) -> Self {
        let shown = parameters.keys().map(|name| (name.clone(), json!({ "set": true }))).collect();
        Self { shown, write_only: parameters.clone() }
    }

    /// Seals what is write-only for a delivery: nothing if there is nothing.
    pub(super) async fn seal(&self, keys: &dyn Keys, tenant: &TenantId, delivery: &str) -> Result<Option<String>> {
        if self.write_only.is_empty() {
            return Ok(None);
        }
        let text = SecretString::from(serde_json::to_string(&self.write_only).map_err(Error::internal)?);
        Ok(Some(STANDARD.encode(keys.seal(tenant, delivery, &text).await?)))
    }
}

/// The most that is remembered, in bytes of JSON.
const MOST_REMEMBERED: usize = 16 << 20;

/// Parameters of deliveries that are tried again: what is sealed is not opened, on the record, for every try.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<Texts>);

#[derive(Default)]
struct Texts {
    by_delivery: HashMap<String, SecretString>,
    bytes: usize,
}

impl Texts {
    fn take(&mut self, delivery: &str) -> Option<SecretString> {
        let text = self.by_delivery.remove(delivery)?;
        self.bytes = self.bytes.saturating_sub(text.expose_secret().len());
        Some(text)
    }
}

impl Remembered {
    /// Keeps the parameters of a delivery, if there is room.
    pub(super) fn keep(&self, delivery: &str, parameters: &Map<String, Value>) {
        let Ok(text) = serde_json::to_string(parameters).map(SecretString::from) else { return };
        let mut texts = self.lock();
        texts.take(delivery);
        let bytes = texts.bytes.saturating_add(text.expose_secret().len());
        if bytes <= MOST_REMEMBERED {
            texts.bytes = bytes;
            texts.by_delivery.insert(delivery.to_owned(), text);
        }
    }

    /// Takes the parameters of a delivery out.
    pub(super) fn take(&self, delivery: &str) -> Option<Map<String, Value>> {
        let text = self.lock().take(delivery)?;
        serde_json::from_str(text.expose_secret()).ok()
    }

    fn lock(&self) -> MutexGuard<'_, Texts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let remembered = Remembered::default();
        let large = Map::from_iter([("a".to_owned(), json!("x".repeat(MOST_REMEMBERED / 2)))]);
        let small = Map::from_iter([("a".to_owned(), json!(1))]);
        remembered.keep("first", &large);
        remembered.keep("second", &large);
        remembered.keep("third", &small);
        assert!(remembered.take("second").is_none());
        assert_eq!((remembered.take("third"), remembered.take("third")), (Some(small), None));
        assert_eq!(remembered.take("first"), Some(large.clone()));
        remembered.keep("second", &large);
        assert_eq!(remembered.take("second"), Some(large));
        assert_eq!(remembered.lock().bytes, 0);
    }
}
