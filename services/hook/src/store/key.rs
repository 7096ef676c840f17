//! Where everything is in the config store. Names are slugs, so none can hold the separator.

use runwarden_kit::tenant::TenantId;

pub(crate) fn hooks(tenant: &TenantId) -> String {
    format!("hooks/{tenant}/")
}

pub(crate) fn hook(tenant: &TenantId, hook: &str) -> String {
    format!("hooks/{tenant}/{hook}")
}
