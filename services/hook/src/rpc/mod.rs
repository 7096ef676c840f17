//! gRPC in and out: the generated servers on one side, the ports to other services on the other.

mod callback;
pub(crate) mod callback_ports;
mod delivery;
mod hook;
mod inbox;
mod ports;

use std::sync::Arc;

use runwarden_kit::clock::Clock;
use runwarden_kit::service::Parts;
use runwarden_proto::hook::v1::callback_service_server::CallbackServiceServer;
use runwarden_proto::hook::v1::delivery_service_server::DeliveryServiceServer;
use runwarden_proto::hook::v1::hook_service_server::HookServiceServer;
use runwarden_proto::hook::v1::inbox_service_server::InboxServiceServer;

pub use callback::CallbackRpc;
pub use delivery::DeliveryRpc;
pub use hook::HookRpc;
pub use inbox::InboxRpc;
pub(crate) use ports::{MeshIdentities, MeshJobs, MeshKeys, MeshModules, MeshProjects};

use crate::callback::manage::Callbacks;
use crate::hook::Hooks;
use crate::inbox::look::Deliveries;
use crate::inbox::receive::Inbox;

/// The largest message: a body of the full size with its headers, or a delivery as it is shown.
const MAX_MESSAGE: usize = 4 << 20;

/// What the service serves.
#[derive(Clone)]
pub struct Services {
    /// Hooks.
    pub hooks: HookRpc,
    /// Foreign senders.
    pub inbox: InboxRpc,
    /// Deliveries.
    pub deliveries: DeliveryRpc,
    /// Callbacks.
    pub callbacks: CallbackRpc,
}

impl Services {
    /// All services over their domain.
    pub fn new(
        hooks: Hooks,
        inbox: Arc<Inbox>,
        deliveries: Arc<Deliveries>,
        callbacks: Callbacks,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            hooks: HookRpc { hooks },
            inbox: InboxRpc { inbox, clock },
            deliveries: DeliveryRpc { deliveries },
            callbacks: CallbackRpc { callbacks },
        }
    }

    /// As the parts of the service.
    pub fn into_parts(self) -> Parts {
        Parts::new()
            .with(HookServiceServer::new(self.hooks))
            .with(InboxServiceServer::new(self.inbox).max_decoding_message_size(MAX_MESSAGE))
            .with(DeliveryServiceServer::new(self.deliveries).max_encoding_message_size(MAX_MESSAGE))
            .with(CallbackServiceServer::new(self.callbacks))
    }
}
