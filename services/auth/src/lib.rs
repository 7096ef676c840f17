//! `runwarden-auth`.
