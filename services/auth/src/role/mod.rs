//! Who may do what: principals, the roles they hold and where, and the rules that keep anybody from giving what they
//! do not hold or from locking everybody out.
//!
//! May use `store`, `trust` (taking a role ends tokens), and of `client` the record of a client only.

pub(crate) mod administrators;
pub(crate) mod authority;
pub(crate) mod binding;
pub(crate) mod bindings;
pub(crate) mod grants;
pub(crate) mod principal;
pub(crate) mod record;
pub(crate) mod roles;
