//! Every key of the auth service's config store, in one place.
//!
//! Input reaches these functions only after it has been checked to be a slug or an id.

use runwarden_kit::tenant::TenantId;

/// The segment that stands where a tenant's name would; no slug begins with an underscore.
const PLATFORM: &str = "_platform";

/// What serialises changes that could leave the platform without an administrator; its existence says that
/// the first administrator was made.
pub(crate) const PLATFORM_HEAD: &str = "platform-head";
/// What serialises changes that could leave a tenant without an administrator.
pub(crate) fn tenant_head(tenant: &TenantId) -> String {
    format!("tenant-heads/{tenant}")
}
/// What serialises the making of signing keys.
pub(crate) const SIGNING_HEAD: &str = "signing-key-head";
/// All signing keys.
pub(crate) const SIGNING_KEYS: &str = "signing-keys/";
/// All revocations.
pub(crate) const REVOCATIONS: &str = "revocations/";

fn owner(tenant: Option<&TenantId>) -> &str {
    tenant.map_or(PLATFORM, TenantId::as_str)
}

/// All clients of a tenant or of the platform.
pub(crate) fn clients(tenant: Option<&TenantId>) -> String {
    format!("clients/{}/", owner(tenant))
}

/// A client.
pub(crate) fn client(tenant: Option<&TenantId>, client_id: &str) -> String {
    format!("clients/{}/{client_id}", owner(tenant))
}

/// The tenant of a client, for lookups by id alone.
pub(crate) fn client_id(client_id: &str) -> String {
    format!("client-ids/{client_id}")
}

/// A client's name, so that no other gets it.
pub(crate) fn client_name(tenant: Option<&TenantId>, name: &str) -> String {
    format!("client-names/{}/{name}", owner(tenant))
}

/// All principals of a tenant or of the platform.
pub(crate) fn principals(tenant: Option<&TenantId>) -> String {
    format!("principals/{}/", owner(tenant))
}

/// A principal with its bindings.
pub(crate) fn principal(tenant: Option<&TenantId>, principal: &str) -> String {
    format!("principals/{}/{principal}", owner(tenant))
}

/// Whose a binding is.
pub(crate) fn binding_id(binding_id: &str) -> String {
    format!("binding-ids/{binding_id}")
}

/// All of a tenant's own roles.
pub(crate) fn roles(tenant: &TenantId) -> String {
    format!("roles/{tenant}/")
}

/// One of a tenant's own roles.
pub(crate) fn role(tenant: &TenantId, name: &str) -> String {
    format!("roles/{tenant}/{name}")
}

/// When a client's secrets were last used.
pub(crate) fn secret_uses(client_id: &str) -> String {
    format!("secret-uses/{client_id}")
}

/// The end of all tokens of a principal that were issued up to a moment.
pub(crate) fn principal_revocation(principal: &str) -> String {
    format!("revocations/principal/{principal}")
}

/// How far the tokens that a principal was given are dated.
pub(crate) fn issued_until(principal: &str) -> String {
    format!("issued-until/{principal}")
}

/// The ends of a principal's tokens, one by one.
pub(crate) fn token_revocations(principal: &str) -> String {
    format!("revocations/token/{principal}/")
}

/// The end of one token.
pub(crate) fn token_revocation(principal: &str, token_id: &str) -> String {
    format!("revocations/token/{principal}/{token_id}")
}

/// A signing key.
pub(crate) fn signing_key(key_id: &str) -> String {
    format!("{SIGNING_KEYS}{key_id}")
}

/// How to recognise a key file.
pub(crate) fn key_file_mark(purpose: &str) -> String {
    format!("key-files/{purpose}")
}
