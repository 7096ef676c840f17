//! The mesh over real TLS on loopback: who gets through, what travels along, what a restart, a new certificate or a
//! slow peer does to calls. Only the executor's handlers are played.

mod support;

mod calls;
mod certificates;
mod doors;
mod ending;
mod faces;
mod tokens;
