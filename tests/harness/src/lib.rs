//! Starts Runwarden as real processes beside a sandbox controller, and calls it like anybody would.
//!
//! Everything here fails by panicking, with what came back: it is for tests.
#![expect(clippy::expect_used, clippy::panic, reason = "a test harness fails by panicking")]

pub mod apart;
pub mod api;
mod balancer;
mod certificate;
pub mod controller;
pub mod events;
pub mod fleet;
pub mod jobs;
mod layout;
pub mod log;
pub mod ports;
pub mod process;
pub mod reach;
pub mod receiver;
mod recipe;
pub mod system;
pub mod tenant;
pub mod terraform;
pub mod tls_front;
pub mod wait;

pub use apart::Apart;
pub use api::{Answer, Api, Credentials};
pub use controller::Controller;
pub use events::{Event, Events};
pub use fleet::Fleet;
pub use process::Signal;
pub use reach::Reach;
pub use receiver::Receiver;
pub use system::{Settings, System};
pub use tenant::Tenant;
pub use terraform::{Task, Terraform};
pub use tls_front::TlsFront;
pub use wait::{until, until_within};
