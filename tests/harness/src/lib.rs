//! `runwarden-harness`.
