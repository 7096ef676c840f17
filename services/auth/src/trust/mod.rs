//! What every other service needs to judge callers: published keys, revocations, and the tenants that exist.
//!
//! May use `store` and `key`. The project service is a port here ([`scopes`]), implemented in `rpc`.

mod ledger;
pub(crate) mod revocation;
pub(crate) mod scopes;
pub(crate) mod state;
pub(crate) mod tenants;
