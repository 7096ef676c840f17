//! `runwarden-sandbox`.
