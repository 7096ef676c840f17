//! The modules that decide, from the policy service, kept for as long as it vouches for them.

use std::sync::Arc;

use async_trait::async_trait;
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_kit::watched::Watched;
use runwarden_kit::{Error, Result};
use runwarden_proto::policy::v1::decision_service_client::DecisionServiceClient;
use runwarden_proto::policy::v1::{GetPolicySetRequest, GetPolicySetResponse, Module};
use runwarden_rego::set::{ModuleText, Owner, Set};

use crate::ports::PolicySets;

/// Of so many owners the modules are kept; at most 32 KiB each.
const MOST_OWNERS: usize = 1024;
/// There is one set for each owner.
const KEY: &str = "";

/// An owner's modules; `None` if they are not vetted.
type Vetted = Option<Arc<Set>>;

/// Asks the policy service over the mesh, and keeps its answers.
pub(crate) struct WatchedPolicySets {
    client: DecisionServiceClient<MeshChannel>,
    kept: Arc<Watched<Vetted>>,
}

impl WatchedPolicySets {
    /// Over a channel to the policy service, with what follows its changes.
    pub(crate) fn new(channel: MeshChannel) -> (Self, Arc<Watched<Vetted>>) {
        let kept = Watched::new("policies", MOST_OWNERS);
        (Self { client: DecisionServiceClient::new(channel), kept: Arc::clone(&kept) }, kept)
    }

    async fn ask(&self, owner: &Owner) -> Result<Vetted> {
        let request = GetPolicySetRequest { tenant: owner.tenant().to_owned() };
        let answer = self.client.clone().get_policy_set(request).await;
        read(answer.map_err(|status| Error::from_peer(Service::Policy, &status))?.into_inner())
    }
}

#[async_trait]
impl PolicySets for WatchedPolicySets {
    async fn vetted(&self, owner: &Owner) -> Result<Vetted> {
        let answer = self.kept.get_or_ask(owner.key(), KEY, || async { self.ask(owner).await.map(Some) }).await?;
        Ok(answer.flatten())
    }
}

/// The set of an answer. What decides is what the digests name.
fn read(answer: GetPolicySetResponse) -> Result<Vetted> {
    if !answer.vetted {
        return Ok(None);
    }
    let named: Vec<(String, String)> =
        answer.modules.iter().map(|module| (module.name.clone(), module.digest.clone())).collect();
    let text = |module: Module| ModuleText { name: module.name, rego: module.rego };
    let set = Set::of(answer.modules.into_iter().map(text).collect());
    if !set
        .named
        .iter()
        .map(|module| (&module.name, &module.digest))
        .eq(named.iter().map(|(name, digest)| (name, digest)))
    {
        return Err(Error::internal(anyhow::anyhow!("the policy service's modules are not those their digests name")));
    }
    Ok(Some(Arc::new(set)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, rego: &str) -> Module {
        let digest = runwarden_kit::json::sha256_hex(rego.as_bytes());
        Module { name: name.into(), rego: rego.into(), digest, ..Module::default() }
    }

    #[test]
    fn a_set_is_what_its_digests_name_or_none() {
        let modules = vec![module("a", "package a"), module("b", "package b")];
        let answer = |vetted, modules| GetPolicySetResponse { vetted, modules };
        let set = read(answer(true, modules.clone())).unwrap().unwrap();
        assert_eq!(set.named.len(), 2);
        assert!(read(answer(true, Vec::new())).unwrap().unwrap().texts.is_empty());
        assert!(read(answer(false, modules.clone())).unwrap().is_none());
        let mut tampered = modules.clone();
        tampered[0].rego.push(' ');
        read(answer(true, tampered)).unwrap_err();
        let [a, b] = modules.try_into().unwrap();
        read(answer(true, vec![b, a])).unwrap_err();
    }
}
