//! gRPC in and out: the generated servers on one side, the ports to other services on the other.

mod hook;

use runwarden_kit::service::Parts;
use runwarden_proto::hook::v1::hook_service_server::HookServiceServer;

pub use hook::HookRpc;

use crate::hook::Hooks;

/// What the service serves.
#[derive(Clone)]
pub struct Services {
    /// Hooks.
    pub hooks: HookRpc,
}

impl Services {
    /// All services over their domain.
    pub fn new(hooks: Hooks) -> Self {
        Self { hooks: HookRpc { hooks } }
    }

    /// As the parts of the service.
    pub fn into_parts(self) -> Parts {
        Parts::new().with(HookServiceServer::new(self.hooks))
    }
}
