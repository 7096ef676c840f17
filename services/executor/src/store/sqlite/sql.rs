//! Statements and what they answer.

pub(super) use runwarden_engines::sqlite::sql::{Assembled, FEW, all, at_length, failed, get, one, run, text, the};
