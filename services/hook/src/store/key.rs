//! Where everything is in the config store. Names are slugs, so none can hold the separator.

use runwarden_kit::tenant::TenantId;

pub(crate) fn hooks(tenant: &TenantId) -> String {
    format!("hooks/{tenant}/")
}

pub(crate) fn hook(tenant: &TenantId, hook: &str) -> String {
    format!("hooks/{tenant}/{hook}")
}

pub(crate) fn callbacks(tenant: &TenantId) -> String {
    format!("callbacks/{tenant}/")
}

pub(crate) fn callback(tenant: &TenantId, name: &str) -> String {
    format!("callbacks/{tenant}/{name}")
}

/// Where the name of the callback with an id is.
pub(crate) fn callback_id(tenant: &TenantId, id: &str) -> String {
    format!("callback-ids/{tenant}/{id}")
}
