//! What any Runwarden service needs to be one: who is calling and what they may, errors that say what to do, the mesh
//! between services, audit entries, lifecycle and telemetry. No business of any service lives here.

pub mod access;
pub mod audit;
pub mod caller;
pub mod clock;
pub mod context;
pub mod contract;
pub mod error;
pub mod failpoint;
pub mod id;
pub mod idempotency;
pub mod json;
pub mod launch_field;
pub mod lifecycle;
pub mod limits;
pub mod mesh;
pub mod mirror;
pub mod page;
pub mod permission;
pub mod private_file;
pub mod reason;
pub mod request_info;
pub mod revoked;
pub mod rpc;
pub mod schema;
pub mod seats;
pub mod service;
pub mod slug;
pub mod stdio;
pub mod telemetry;
pub mod tenant;
pub mod text;
pub mod token;
pub mod trust;
pub mod watched;

pub use error::{Error, FieldError, Result};
pub use reason::ErrorReason;
pub use secrecy::{ExposeSecret, SecretBox, SecretString};
