//! `runwarden-engines`.
