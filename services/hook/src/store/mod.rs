//! Where hooks are kept.

pub(crate) mod key;
