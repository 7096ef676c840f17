//! `runwarden-policy`.
