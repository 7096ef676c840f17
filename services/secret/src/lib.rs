//! `runwarden-secret`.
