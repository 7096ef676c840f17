//! The prefixes of this service's ids. Ids become part of store keys, so whatever comes from outside passes
//! `runwarden_kit::id::is_valid` before a key is made of it.

/// OAuth clients.
pub(crate) const CLIENT: &str = "client";
/// Service accounts' principals.
pub(crate) const PRINCIPAL: &str = "sa";
/// Bindings.
pub(crate) const BINDING: &str = "bind";
/// Secrets: what can be told of them.
pub(crate) const SECRET: &str = "sec";
/// Tokens (`jti`).
pub(crate) const TOKEN: &str = "tok";
