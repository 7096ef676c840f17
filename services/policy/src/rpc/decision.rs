//! `DecisionService`: deciding for a principal that is not there to ask.

use std::sync::Arc;

use async_trait::async_trait;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use runwarden_proto::policy::v1 as wire;
use runwarden_proto::policy::v1::decision_service_server::DecisionService;
use runwarden_rego::principal::Principal;
use runwarden_rego::set::{ModuleText, Named, Owner, Set};
use tonic::{Request, Response, Status};

use crate::decision::Decider;

use super::policy::{answer_of, question_of};

/// Serves decisions for principals.
pub(crate) struct DecisionRpc(pub(crate) Arc<Decider>);

#[async_trait]
impl DecisionService for DecisionRpc {
    async fn decide_for(
        &self,
        request: Request<wire::DecideForRequest>,
    ) -> Result<Response<wire::DecideForResponse>, Status> {
        let wire::DecideForRequest { principal, question } = request.into_inner();
        let question = question.ok_or_else(|| Error::invalid("/question", "is missing"))?;
        let question = question_of(question)?;
        let caller = self::principal(principal.unwrap_or_default()).as_caller_in(&question.tenant)?;
        let decision = self.0.decide(&caller, &question).await?;
        let failed = decision.failed;
        Ok(Response::new(wire::DecideForResponse { decision: Some(answer_of(decision)), failed }))
    }

    async fn get_policy_set(
        &self,
        request: Request<wire::GetPolicySetRequest>,
    ) -> Result<Response<wire::GetPolicySetResponse>, Status> {
        let tenant = request.into_inner().tenant;
        let owner = match tenant.as_str() {
            "" => Owner::Platform,
            tenant => Owner::Tenant(TenantId::named("/tenant", tenant)?),
        };
        Ok(Response::new(set_of(self.0.vetted(&owner).await?.as_deref())))
    }
}

/// Modules as they are handed out.
fn set_of(set: Option<&Set>) -> wire::GetPolicySetResponse {
    let module = |(named, text): (&Named, &ModuleText)| wire::Module {
        name: named.name.clone(),
        digest: named.digest.clone(),
        rego: text.rego.clone(),
        ..wire::Module::default()
    };
    let modules = set.map(|set| set.named.iter().zip(&set.texts).map(module).collect());
    wire::GetPolicySetResponse { vetted: set.is_some(), modules: modules.unwrap_or_default() }
}

/// The principal of a request.
fn principal(principal: wire::Principal) -> Principal {
    Principal {
        id: principal.id,
        name: principal.name,
        client_id: principal.client_id,
        tenant: principal.tenant,
        authenticated_by: principal.authenticated_by,
        grants: principal.grants.into_iter().map(Into::into).collect(),
    }
}

#[cfg(test)]
mod tests {
    use runwarden_kit::caller::{Caller, Grant, Scope};
    use runwarden_kit::clock::Moment;
    use runwarden_kit::permission::Permission;
    use runwarden_kit::{ErrorReason, json};
    use runwarden_proto::policy::v1::policy_service_server::PolicyService as _;
    use serde_json::Value;

    use super::super::policy::tests::{decide, handlers, handlers_handing_out, put, put_of_the_platform};
    use super::*;
    use crate::InProcess;
    use crate::worker::Trouble;
    use runwarden_rego::Verdict;

    /// Whom [`decide`] is asked by.
    fn principal() -> wire::Principal {
        let caller = Caller::example(
            &[Permission::JobsSubmit, Permission::PoliciesRead, Permission::PoliciesWrite],
            Scope::tenant(&TenantId::trusted("acme")),
        );
        wire::Principal {
            id: caller.principal,
            name: caller.name,
            client_id: caller.client_id,
            tenant: "acme".into(),
            authenticated_by: caller.authenticated_by,
            grants: caller.grants.into_iter().map(Into::into).collect(),
        }
    }

    async fn ask(
        service: &DecisionRpc,
        principal: wire::Principal,
    ) -> Result<(wire::DecideResponse, bool), ErrorReason> {
        let request = wire::DecideForRequest { principal: Some(principal), question: Some(decide().into_inner()) };
        let answer = service.decide_for(Request::new(request)).await;
        let answer = answer.map_err(|status| Error::from_status(&status).reason())?.into_inner();
        Ok((answer.decision.unwrap(), answer.failed))
    }

    #[tokio::test]
    async fn a_principal_gets_the_decision_that_it_would_get_as_a_caller() {
        let folder = tempfile::tempdir().unwrap();
        let handlers = handlers(&folder, Vec::new()).await;
        handlers.put_module(put("m")).await.unwrap();
        let as_caller = handlers.decide(decide()).await.unwrap().into_inner();
        let service = DecisionRpc(Arc::clone(&handlers.decider));
        let (decision, failed) = ask(&service, principal()).await.unwrap();
        assert!(decision.allowed && !failed);
        assert_eq!(decision.policy_digest, as_caller.policy_digest);
        assert_ne!(decision.decision_id, as_caller.decision_id, "each decision is one of its own");
        // What policies see is the same but for the time.
        let question = question_of(decide().into_inner()).unwrap();
        let seen = |caller: &Caller| question.input(caller, Moment::from_micros(0));
        let request = decide();
        let real = request.extensions().get::<Arc<Caller>>().unwrap();
        assert_eq!(seen(real), seen(&super::principal(principal()).as_caller_in(&TenantId::trusted("acme")).unwrap()));
        assert_ne!(json::digest(&seen(real)), json::digest(&Value::Null));
    }

    #[tokio::test]
    async fn whoever_holds_nothing_there_any_more_is_refused_before_any_policy() {
        let folder = tempfile::tempdir().unwrap();
        let service = DecisionRpc(Arc::clone(&handlers(&folder, vec![Err(Trouble::TimedOut)]).await.decider));
        let (decision, failed) = ask(&service, wire::Principal { grants: Vec::new(), ..principal() }).await.unwrap();
        assert!(!decision.allowed && !failed && !decision.reasons.is_empty());
        // Rights outside of its tenant are none, as in a token.
        let everywhere = Grant { scope: Scope::platform().into(), ..principal().grants.remove(0).into() };
        let (decision, _) =
            ask(&service, wire::Principal { grants: vec![everywhere.into()], ..principal() }).await.unwrap();
        assert!(!decision.allowed);
        for bad in [
            wire::Principal { id: String::new(), ..principal() },
            wire::Principal { tenant: "other".into(), ..principal() },
        ] {
            assert_eq!(ask(&service, bad).await, Err(ErrorReason::ValidationFailed));
        }
    }

    #[tokio::test]
    async fn policies_that_cannot_be_evaluated_are_a_no_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let denied = Verdict::Denied { reasons: vec!["never".into()] };
        // The last is the first answer.
        let script = vec![Ok(denied), Err(Trouble::Busy), Err(Trouble::TimedOut)];
        let handlers = handlers(&folder, script).await;
        handlers.put_module(put("m")).await.unwrap();
        let service = DecisionRpc(Arc::clone(&handlers.decider));
        let (decision, failed) = ask(&service, principal()).await.unwrap();
        assert!(!decision.allowed && failed);
        assert_eq!(ask(&service, principal()).await, Err(ErrorReason::Unavailable));
        let (decision, failed) = ask(&service, principal()).await.unwrap();
        assert!(!decision.allowed && !failed);
        assert_eq!(decision.reasons, ["never"]);
    }

    #[tokio::test]
    async fn modules_are_handed_out_of_those_that_the_setting_names() {
        for (in_process, of_the_platform, of_the_tenant) in [
            (InProcess::default(), true, false),
            (InProcess::None, false, false),
            (InProcess::Platform, true, false),
            (InProcess::All, true, true),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let handlers = handlers_handing_out(&folder, Vec::new(), in_process).await;
            let service = DecisionRpc(Arc::clone(&handlers.decider));
            let get = async |tenant: &str| {
                let request = wire::GetPolicySetRequest { tenant: tenant.into() };
                let set = service.get_policy_set(Request::new(request)).await.unwrap().into_inner();
                (set.vetted, set.modules.len())
            };
            // Where there is nothing to evaluate, nobody is asked to.
            assert_eq!((get("").await, get("acme").await), ((true, 0), (true, 0)), "{in_process:?}");
            handlers.put_module(put("m")).await.unwrap();
            handlers.put_module(put_of_the_platform("m")).await.unwrap();
            let expected = |handed_out: bool| (handed_out, usize::from(handed_out));
            assert_eq!(get("").await, expected(of_the_platform), "{in_process:?}");
            assert_eq!(get("acme").await, expected(of_the_tenant), "{in_process:?}");
            assert_eq!(get("other").await, (true, 0), "{in_process:?}");
        }
    }

    #[tokio::test]
    async fn only_vetted_modules_are_handed_out() {
        let folder = tempfile::tempdir().unwrap();
        let handlers = handlers_handing_out(&folder, Vec::new(), InProcess::All).await;
        let service = DecisionRpc(Arc::clone(&handlers.decider));
        let get = async |tenant: &str| {
            let request = wire::GetPolicySetRequest { tenant: tenant.into() };
            service.get_policy_set(Request::new(request)).await.map(Response::into_inner)
        };
        let none = wire::GetPolicySetResponse { vetted: true, modules: Vec::new() };
        assert_eq!(get("acme").await.unwrap(), none);
        let stored = handlers.put_module(put("m")).await.unwrap().into_inner().module.unwrap();
        let set = get("acme").await.unwrap();
        assert!(set.vetted);
        let [module] = set.modules.as_slice() else { panic!("{set:?}") };
        assert_eq!((&module.name, &module.digest), (&stored.name, &stored.digest));
        assert_eq!(json::sha256_hex(module.rego.as_bytes()), stored.digest);
        assert_eq!(get("").await.unwrap(), none);
        assert_eq!(get("other").await.unwrap(), none);
        get("_platform").await.unwrap_err();

        let mut large = put("large");
        large.get_mut().rego = "package runwarden.authz\nallow if numbers.range(1, 2)".to_owned();
        handlers.put_module(large).await.unwrap();
        assert_eq!(get("acme").await.unwrap(), wire::GetPolicySetResponse { vetted: false, modules: Vec::new() });
    }
}
