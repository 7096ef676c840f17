//! `runwarden-audit`: what happened, provably.

pub mod merkle;
pub mod note;
pub mod record;
pub mod verify;
