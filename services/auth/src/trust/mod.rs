//! What every other service judges callers by: published keys, what was revoked, and which tenants there are.
//!
//! May use `store` and `key`. The project service is a port here ([`scopes`]), implemented in `rpc`.

mod ledger;
pub(crate) mod revocation;
pub(crate) mod scopes;
pub(crate) mod state;
pub(crate) mod tenants;
