//! `runwarden-edge`.
