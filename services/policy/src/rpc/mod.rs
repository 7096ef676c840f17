//! The service as gRPC: the only place that knows tonic. One file for each service of the contract.

mod decision;
mod hook;
mod policy;

pub(crate) use decision::DecisionRpc;
pub(crate) use hook::HookModuleRpc;
pub(crate) use policy::PolicyRpc;
