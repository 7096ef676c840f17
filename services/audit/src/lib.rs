//! `runwarden-audit`.
