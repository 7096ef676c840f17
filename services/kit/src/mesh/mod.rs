//! The mesh: gRPC over TLS 1.3 with client certificates between all services, also within one process.

mod client;
mod gate;
mod identity;
pub mod pki;
mod server;
mod tls;

pub use client::{MeshChannel, Peers};
pub use gate::{Gate, GateLayer};
pub use identity::{Peer, Service, TrustDomain};
pub use server::{bind, serve};
pub use tls::{MeshTls, TlsFiles};
