//! What keeps one caller from taking the door from the others.

pub mod address;
pub mod rate;
pub mod refusals;
pub mod room;
