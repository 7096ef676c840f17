//! Caller tokens: issuing, introspecting and revoking them.
//!
//! May use every other room; no other room uses this one.

pub(crate) mod hook;
mod narrow;
mod scope;
pub(crate) mod tokens;
