//! Runwarden.
fn main() {}
