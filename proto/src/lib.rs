//! `runwarden-proto`.
