//! The service as its callers know it, on a real store and real workers.

#![cfg(test)]

mod deciding;
mod hooks;
mod house;
mod keeping;
mod page;
mod people;
mod starting;
