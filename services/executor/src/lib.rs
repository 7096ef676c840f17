//! `runwarden-executor`.
