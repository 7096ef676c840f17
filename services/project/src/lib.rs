//! `runwarden-project`.
