//! The prefixes of this service's ids. Ids become part of store keys, so input passes `runwarden_kit::id::is_valid`
//! before a key is made of it.

/// OAuth clients.
pub(crate) const CLIENT: &str = "client";
/// Service accounts' principals.
pub(crate) const PRINCIPAL: &str = "sa";
/// Bindings.
pub(crate) const BINDING: &str = "bind";
/// Secrets: the part that may be shown.
pub(crate) const SECRET: &str = "sec";
/// Tokens (`jti`).
pub(crate) const TOKEN: &str = "tok";
