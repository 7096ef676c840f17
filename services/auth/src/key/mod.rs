//! Keys: the ones that sign tokens, their rotation and their seal, and the key files that never enter the store.
//!
//! May use `store` and no other room.

pub(crate) mod key_file;
pub(crate) mod keyring;
pub(crate) mod sealing;
mod signing_key;
