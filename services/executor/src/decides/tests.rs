//! What is decided here and what is not, with the policy service's answers marked as such.

use std::sync::Mutex;

use runwarden_kit::Error;
use runwarden_kit::caller::Scope;
use runwarden_kit::clock::SystemClock;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_rego::set::ModuleText;
use serde_json::json;

use super::*;

/// The modules of owners, by key. An owner that has none listed cannot be heard.
#[derive(Default)]
struct Modules(Mutex<Vec<(&'static str, Option<Set>)>>);

#[async_trait]
impl PolicySets for Modules {
    async fn vetted(&self, owner: &Owner) -> Result<Option<Arc<Set>>> {
        let modules = self.0.lock().unwrap();
        let found = modules.iter().find(|(key, _)| *key == owner.key());
        found.map(|(_, set)| set.clone().map(Arc::new)).ok_or_else(|| Error::unavailable("gone"))
    }
}

/// The policy service. It says no, so that a yes was decided here.
struct Elsewhere;

fn no() -> Decision {
    Decision { reasons: vec!["said elsewhere".into()], ..Decision::default() }
}

#[async_trait]
impl Policies for Elsewhere {
    async fn decide(&self, _: &Caller, _: Question) -> Result<Decision> {
        Ok(no())
    }

    async fn decide_for(&self, _: &Principal, _: Question) -> Result<Evaluation> {
        Ok(Evaluation::Failed(no()))
    }
}

fn acme() -> TenantId {
    TenantId::trusted("acme")
}

fn question() -> Question {
    Question {
        tenant: acme(),
        project: "web".into(),
        template: "deploy".into(),
        controller: "awx".into(),
        parameters: json!({"environment": "dev"}),
    }
}

fn caller() -> Caller {
    Caller::example(&[Permission::JobsSubmit], Scope::tenant(&acme()))
}

fn set(rules: &str) -> Option<Set> {
    let rego = format!("package runwarden.authz\n{rules}\n");
    Some(Set::of(vec![ModuleText { name: "m".into(), rego }]))
}

fn none() -> Option<Set> {
    Some(Set::of(Vec::new()))
}

fn decides(modules: Vec<(&'static str, Option<Set>)>) -> (Decides, Arc<Modules>) {
    let sets = Arc::new(Modules(Mutex::new(modules)));
    let local = Local::new(Arc::new(SystemClock));
    (Decides { local, sets: sets.clone(), elsewhere: Arc::new(Elsewhere) }, sets)
}

async fn here(modules: Vec<(&'static str, Option<Set>)>) -> bool {
    let decision = decides(modules).0.decide(&caller(), question()).await.unwrap();
    assert_eq!(decision.allowed, decision.reasons.is_empty());
    decision.allowed
}

#[tokio::test]
async fn a_yes_is_decided_here_and_nothing_else() {
    let dev = || set("allow if input.parameters.environment == \"dev\"");
    assert!(here(vec![("_platform", none()), ("acme", none())]).await);
    assert!(here(vec![("_platform", dev()), ("acme", dev())]).await);
    for (what, modules) in [
        ("the platform says no", vec![("_platform", set("allow := false")), ("acme", dev())]),
        ("the tenant says no", vec![("_platform", dev()), ("acme", set("allow := false"))]),
        ("the platform's are not vetted", vec![("_platform", None), ("acme", dev())]),
        ("the tenant's are not vetted", vec![("_platform", none()), ("acme", None)]),
        ("the platform's are not known", vec![("acme", dev())]),
        ("the tenant's are not known", vec![("_platform", none())]),
        ("one that should not be vetted", vec![("_platform", none()), ("acme", set("allow if numbers.range(1, 2)"))]),
    ] {
        assert!(!here(modules).await, "{what}");
    }
}

#[tokio::test]
async fn a_policy_that_changed_decides_the_next_question() {
    let (decides, modules) = decides(vec![("_platform", none()), ("acme", set("allow := true"))]);
    assert!(decides.decide(&caller(), question()).await.unwrap().allowed);
    modules.0.lock().unwrap()[1].1 = set("allow := false");
    assert!(!decides.decide(&caller(), question()).await.unwrap().allowed);
    modules.0.lock().unwrap()[1].1 = set("allow := true");
    assert!(decides.decide(&caller(), question()).await.unwrap().allowed);
}

#[tokio::test]
async fn a_principal_that_waited_is_decided_on_alike() {
    let (decides, modules) = decides(vec![("_platform", none()), ("acme", set("allow := true"))]);
    let caller = caller();
    let principal = Principal {
        id: caller.principal.clone(),
        name: caller.name.clone(),
        client_id: caller.client_id.clone(),
        tenant: Some(acme()),
        authenticated_by: caller.authenticated_by.clone(),
        grants: caller.grants.clone(),
    };
    let as_caller = decides.decide(&caller, question()).await.unwrap();
    let Evaluation::Decided(decision) = decides.decide_for(&principal, question()).await.unwrap() else {
        panic!("decided elsewhere");
    };
    assert!(decision.allowed && decision.id != as_caller.id);
    assert_eq!(decision.policy_digest, as_caller.policy_digest);

    let elsewhere = async |principal: &Principal| {
        matches!(decides.decide_for(principal, question()).await.unwrap(), Evaluation::Failed(_))
    };
    assert!(elsewhere(&Principal { tenant: Some(TenantId::trusted("beta")), ..principal.clone() }).await);
    assert!(elsewhere(&Principal { grants: Vec::new(), ..principal.clone() }).await);
    modules.0.lock().unwrap()[0].1 = None;
    assert!(elsewhere(&principal).await);
}
