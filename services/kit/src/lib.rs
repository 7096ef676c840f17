//! `runwarden-kit`.
