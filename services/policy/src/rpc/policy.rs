//! `PolicyService`.

use std::sync::Arc;

use async_trait::async_trait;
use runwarden_kit::rpc::caller;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::trust::Trust;
use runwarden_kit::{Error, permission};
use runwarden_proto::policy::v1::policy_service_server::PolicyService;
use runwarden_proto::policy::v1::{
    self as wire, DecideRequest, DecideResponse, DeleteModuleRequest, DeleteModuleResponse, GetModuleRequest,
    GetModuleResponse, ListModulesRequest, ListModulesResponse, PutModuleRequest, PutModuleResponse,
};
use tonic::{Request, Response, Status};

use crate::decision::Decider;
use crate::library::Library;
use crate::module::Module;
use runwarden_rego::decision::Decision;
use runwarden_rego::question::{self, Question};

/// Serves modules and decisions.
pub(crate) struct PolicyRpc {
    pub(crate) library: Arc<Library>,
    pub(crate) decider: Arc<Decider>,
    pub(crate) trust: Arc<Trust>,
}

#[async_trait]
impl PolicyService for PolicyRpc {
    async fn put_module(&self, request: Request<PutModuleRequest>) -> Result<Response<PutModuleResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let stored = self.library.put(&caller, &asked.name, &asked.rego, asked.expected_revision).await?;
        Ok(Response::new(PutModuleResponse {
            module: Some(stored.module.into()),
            created: stored.created,
            warnings: stored.warnings,
        }))
    }

    async fn get_module(&self, request: Request<GetModuleRequest>) -> Result<Response<GetModuleResponse>, Status> {
        let caller = caller(&request)?;
        let module = self.library.get(&caller, &request.into_inner().name).await?;
        Ok(Response::new(GetModuleResponse { module: Some(module.into()) }))
    }

    async fn list_modules(
        &self,
        request: Request<ListModulesRequest>,
    ) -> Result<Response<ListModulesResponse>, Status> {
        let caller = caller(&request)?;
        let modules = self
            .library
            .list(&caller)
            .await?
            .into_iter()
            .map(|module| wire::Module { rego: String::new(), ..module.into() })
            .collect();
        Ok(Response::new(ListModulesResponse { modules }))
    }

    async fn delete_module(
        &self,
        request: Request<DeleteModuleRequest>,
    ) -> Result<Response<DeleteModuleResponse>, Status> {
        let caller = caller(&request)?;
        self.library.delete(&caller, &request.into_inner().name).await?;
        Ok(Response::new(DeleteModuleResponse {}))
    }

    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        let caller = caller(&request)?;
        let question = question_of(request.into_inner())?;
        // The tenant asked about may be another than the one the caller acts for, if it is the platform's.
        self.trust.require_tenant(&question.tenant).await?;
        let decision = self.decider.decide(&caller, &question).await?;
        Ok(Response::new(answer_of(decision)))
    }
}

impl From<Module> for wire::Module {
    fn from(module: Module) -> Self {
        Self {
            name: module.name,
            rego: module.rego,
            digest: module.digest,
            revision: module.revision,
            updated_at: Some(module.updated_at.to_proto()),
            updated_by: module.updated_by,
        }
    }
}

/// The question of a request.
pub(super) fn question_of(asked: DecideRequest) -> Result<Question, Error> {
    let question = Question {
        parameters: question::parameters(&asked.parameters_json)?,
        tenant: TenantId::named("/tenant", &asked.tenant)?,
        project: asked.project,
        action: permission::named("/action", &asked.action)?,
        template: asked.template,
        controller: asked.controller,
    };
    question.check()?;
    Ok(question)
}

/// A decision as it is answered.
pub(super) fn answer_of(decision: Decision) -> DecideResponse {
    DecideResponse {
        allowed: decision.allowed,
        reasons: decision.reasons,
        policy_digest: decision.policy_digest,
        input_digest: decision.input_digest,
        decision_id: decision.id,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use runwarden_kit::permission::Permission;
    use std::sync::Mutex;

    use runwarden_engines::catalog::Catalog;
    use runwarden_engines::config::ConfigStore;
    use runwarden_engines::outbox::ConfigOutbox;
    use runwarden_engines::sqlite::SqliteConfigStore;
    use runwarden_kit::ErrorReason;
    use runwarden_kit::audit::Outbox;
    use runwarden_kit::caller::{Caller, Scope};
    use runwarden_kit::clock::{Clock, SystemClock};
    use runwarden_kit::token::Verifier;

    use super::*;
    use crate::InProcess;
    use crate::judge::Judge;
    use crate::store::{ConfigModules, ModuleStore};
    use crate::worker::{ModuleText, Tried, Trouble};
    use runwarden_rego::text::Problem;
    use runwarden_rego::{Advice, Verdict};

    /// Answers each call with the next of what it was given.
    struct Scripted(Mutex<Vec<Result<Verdict, Trouble>>>);

    #[async_trait]
    impl Judge for Scripted {
        async fn decide(
            &self,
            _tenant: &TenantId,
            _key: &str,
            _modules: &[ModuleText],
            _input: &str,
        ) -> Result<Verdict, Trouble> {
            self.0.lock().unwrap().pop().unwrap_or(Ok(Verdict::Allowed))
        }

        async fn check(&self, _: &[ModuleText], _: &str) -> Result<Tried, Trouble> {
            Ok(Ok(Advice::default()))
        }

        async fn vet(&self, modules: &[ModuleText], _: &str) -> Result<bool, Trouble> {
            Ok(modules.iter().all(|module| !module.rego.contains("numbers.range")))
        }
    }

    pub(in crate::rpc) async fn handlers(
        folder: &tempfile::TempDir,
        script: Vec<Result<Verdict, Trouble>>,
    ) -> PolicyRpc {
        handlers_handing_out(folder, script, InProcess::default()).await
    }

    pub(in crate::rpc) async fn handlers_handing_out(
        folder: &tempfile::TempDir,
        script: Vec<Result<Verdict, Trouble>>,
        in_process: InProcess,
    ) -> PolicyRpc {
        let path = folder.path().join("config.db");
        let store: Arc<dyn ConfigStore> = Arc::new(SqliteConfigStore::open(&path).await.unwrap());
        let outbox = Outbox::undrained(Arc::new(ConfigOutbox::new(Arc::clone(&store))));
        let modules: Arc<dyn ModuleStore> = Arc::new(ConfigModules::new(Catalog::new(store, outbox.clone())));
        let judge: Arc<dyn Judge> = Arc::new(Scripted(Mutex::new(script)));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let library = Library::new(Arc::clone(&modules), Arc::clone(&judge), outbox, Arc::clone(&clock));
        let trust = Trust::fixed(Verifier::default());
        let decider = Arc::new(Decider::new(modules, judge, clock).handing_out(in_process));
        PolicyRpc { library: Arc::new(library), decider, trust }
    }

    fn from<T>(scope: Scope, message: T) -> Request<T> {
        let permissions = [Permission::JobsSubmit, Permission::PoliciesRead, Permission::PoliciesWrite];
        let mut request = Request::new(message);
        request.extensions_mut().insert(Arc::new(Caller::example(&permissions, scope)));
        request
    }

    fn from_admin<T>(message: T) -> Request<T> {
        from(Scope::tenant(&TenantId::trusted("acme")), message)
    }

    fn module(name: &str) -> PutModuleRequest {
        PutModuleRequest {
            name: name.to_owned(),
            rego: "package runwarden.authz\nallow := true\n".to_owned(),
            expected_revision: 0,
        }
    }

    pub(in crate::rpc) fn put(name: &str) -> Request<PutModuleRequest> {
        from_admin(module(name))
    }

    pub(in crate::rpc) fn put_of_the_platform(name: &str) -> Request<PutModuleRequest> {
        from(Scope::platform(), module(name))
    }

    pub(in crate::rpc) fn decide() -> Request<DecideRequest> {
        from_admin(DecideRequest {
            tenant: "acme".to_owned(),
            project: "web".to_owned(),
            action: "jobs.submit".to_owned(),
            template: "deploy".to_owned(),
            controller: "awx".to_owned(),
            parameters_json: "{}".to_owned(),
        })
    }

    #[tokio::test]
    async fn modules_go_in_and_come_out() {
        let folder = tempfile::tempdir().unwrap();
        let handlers = handlers(&folder, Vec::new()).await;
        let stored = handlers.put_module(put("m")).await.unwrap().into_inner();
        assert!(stored.created);
        let stored = stored.module.unwrap();
        assert!(stored.updated_at.is_some() && stored.revision > 0 && stored.digest.len() == 64);

        let get = GetModuleRequest { name: "m".to_owned() };
        let got = handlers.get_module(from_admin(get)).await.unwrap();
        assert_eq!(got.into_inner().module.unwrap(), stored);
        let list = handlers.list_modules(from_admin(ListModulesRequest {})).await.unwrap();
        let listed = list.into_inner().modules.remove(0);
        assert_eq!(listed.rego, "", "lists carry no source");
        assert_eq!(listed.digest, stored.digest);

        let delete = |name: &str| from_admin(DeleteModuleRequest { name: name.to_owned() });
        handlers.delete_module(delete("m")).await.unwrap();
        let status = handlers.delete_module(delete("m")).await.unwrap_err();
        assert_eq!(Error::from_status(&status).reason(), ErrorReason::NotFound);
        let misspelt = GetModuleRequest { name: "My_Module".to_owned() };
        for status in [
            handlers.delete_module(delete("My_Module")).await.unwrap_err(),
            handlers.get_module(from_admin(misspelt)).await.unwrap_err(),
        ] {
            assert_eq!(Error::from_status(&status).reason(), ErrorReason::ValidationFailed);
        }
    }

    #[tokio::test]
    async fn without_a_caller_nothing_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let handlers = handlers(&folder, Vec::new()).await;
        let request = Request::new(decide().into_inner());
        handlers.decide(request).await.unwrap_err();
        let request = Request::new(put("m").into_inner());
        handlers.put_module(request).await.unwrap_err();
    }

    #[tokio::test]
    async fn an_action_that_is_not_a_permission_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let handlers = handlers(&folder, Vec::new()).await;
        for action in ["jobs.destroy", "", "JOBS.SUBMIT"] {
            let mut request = decide();
            action.clone_into(&mut request.get_mut().action);
            let error = Error::from_status(&handlers.decide(request).await.unwrap_err());
            assert_eq!(error.reason(), ErrorReason::ValidationFailed, "{action:?}");
            assert_eq!(error.fields()[0].pointer, "/action", "{action:?}");
        }
    }

    #[tokio::test]
    async fn whatever_happens_to_a_worker_is_no_yes() {
        let folder = tempfile::tempdir().unwrap();
        let gone = || std::io::Error::other("gone");
        let failed = Verdict::Failed { problem: Problem::of_set("internal words") };
        let script = vec![Err(Trouble::Died(gone())), Err(Trouble::TimedOut), Err(Trouble::OutOfTurn), Ok(failed)];
        let noes = script.len();
        let handlers = handlers(&folder, script).await;
        handlers.put_module(put("m")).await.unwrap();
        for _ in 0..noes {
            let answer = handlers.decide(decide()).await.unwrap().into_inner();
            assert!(!answer.allowed);
            assert_eq!(answer.reasons.len(), 1);
            assert!(!answer.reasons.concat().contains("internal words"));
            assert!(answer.decision_id.starts_with("dec_"));
        }
        let answer = handlers.decide(decide()).await.unwrap().into_inner();
        assert!(answer.allowed && answer.reasons.is_empty());
    }

    #[tokio::test]
    async fn without_workers_the_answer_is_not_now() {
        let folder = tempfile::tempdir().unwrap();
        let script = vec![Err(Trouble::Busy), Err(Trouble::Start(std::io::Error::other("gone")))];
        let handlers = handlers(&folder, script).await;
        handlers.put_module(put("m")).await.unwrap();
        for _ in 0..2 {
            let status = handlers.decide(decide()).await.unwrap_err();
            assert_eq!(Error::from_status(&status).reason(), ErrorReason::Unavailable);
        }
    }
}
