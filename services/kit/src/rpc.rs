//! What a handler asks of its request: who calls, and through which service.

use std::sync::Arc;

use tonic::{Request, Status};

use crate::caller::Caller;
use crate::error::Error;
use crate::mesh::Peer;

/// The verified caller of a request. The gate put it there for every RPC that names a permission.
///
/// # Errors
/// `INTERNAL` if the handler serves an RPC without a caller: a mistake in the code, not in the request.
pub fn caller<T>(request: &Request<T>) -> Result<Arc<Caller>, Status> {
    request
        .extensions()
        .get::<Arc<Caller>>()
        .cloned()
        .ok_or_else(|| Error::internal(anyhow::anyhow!("a handler wants a caller where the gate demands none")).into())
}

/// The service at the other end of the mesh connection.
///
/// # Errors
/// `INTERNAL` if the request did not come through the gate.
pub fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    request
        .extensions()
        .get::<Peer>()
        .cloned()
        .ok_or_else(|| Error::internal(anyhow::anyhow!("a request came past the gate")).into())
}
