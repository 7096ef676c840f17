//! The mesh: gRPC over TLS 1.3 with client certificates between all services, also within one process.

mod channel;
mod client;
mod connection;
mod gate;
mod identity;
pub mod pki;
mod revocable;
mod server;
mod timely;
mod tls;

pub use channel::MeshChannel;
pub use client::Peers;
pub use gate::{Gate, GateLayer};
pub use identity::{Peer, Service, TrustDomain};
pub use server::{DRAIN_LIMIT, MAX_STREAMS, bind, serve};
pub use tls::{MeshTls, TlsFiles};
