//! The service through its gRPC handlers, on a real store, with stand-ins for the two services it calls.

mod controllers;
mod fakes;
mod limits;
mod projects;
mod races;
mod repeats;
mod templates;
mod tenants;

use std::sync::Arc;

use runwarden_engines::catalog;
use runwarden_engines::config::ConfigStore;
use runwarden_engines::idempotency::{Idempotency, Pepper};
use runwarden_engines::outbox::ConfigOutbox;
use runwarden_engines::sqlite::SqliteConfigStore;
use runwarden_kit::audit::{Entry, Outbox};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::{HeldClock, Moment};
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, permission};
use runwarden_proto::project::v1 as wire;
use runwarden_proto::project::v1::controller_service_server::ControllerService;
use runwarden_proto::project::v1::project_service_server::ProjectService;
use runwarden_proto::project::v1::template_service_server::TemplateService;
use runwarden_proto::project::v1::tenant_service_server::TenantService;
use tonic::{Request, Response, Status};

use crate::rpc::Services;
use crate::store::Catalog;
use fakes::{FakeAccess, FakeSecrets};

pub(crate) struct World {
    _dir: tempfile::TempDir,
    pub(crate) store: Arc<dyn ConfigStore>,
    pub(crate) services: Services,
    pub(crate) access: Arc<FakeAccess>,
    pub(crate) secrets: Arc<FakeSecrets>,
    pub(crate) clock: HeldClock,
}

/// A world with the tenants `acme` and `other`, each with a project `web`.
pub(crate) async fn world() -> World {
    let world = empty_world().await;
    for tenant in ["acme", "other"] {
        world.create_tenant(tenant).await.unwrap();
        world.create_project(&admin(tenant), "web").await.unwrap();
    }
    world
}

pub(crate) async fn empty_world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn ConfigStore> = Arc::new(SqliteConfigStore::open(&dir.path().join("project.db")).await.unwrap());
    let clock = HeldClock::at(Moment::from_micros(1_700_000_000_000_000));
    let idempotency = Idempotency::new(Arc::clone(&store), Pepper::new([7; 32]));
    let outbox = Outbox::undrained(Arc::new(ConfigOutbox::new(Arc::clone(&store))));
    let catalog = Catalog::new(catalog::Catalog::new(Arc::clone(&store), outbox), idempotency, Arc::new(clock.clone()));
    let (access, secrets) = (FakeAccess::new(), FakeSecrets::new());
    let services = Services::new(catalog, access.clone(), secrets.clone(), false);
    World { _dir: dir, store, services, access, secrets, clock }
}

/// A platform admin who acts for a tenant.
pub(crate) fn platform_for(tenant: Option<&str>) -> Caller {
    let mut caller = with_role("platform-admin", Scope::platform());
    caller.acting_tenant = tenant.map(TenantId::trusted);
    caller
}

/// An admin of a tenant.
pub(crate) fn admin(tenant: &str) -> Caller {
    with_role("tenant-admin", Scope::tenant(&TenantId::trusted(tenant)))
}

pub(crate) fn with_role(role: &str, scope: Scope) -> Caller {
    Caller::example(permission::built_in_role(role).unwrap().permissions, scope)
}

/// A request as the gate hands it on.
pub(crate) fn by<T>(caller: &Caller, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Arc::new(caller.clone()));
    request
}

/// Runs a call as the request of a caller, perhaps with an idempotency key.
pub(crate) async fn within<F: Future>(caller: &Caller, key: Option<&str>, call: F) -> F::Output {
    let context = RequestContext {
        request_id: "req_test".to_owned(),
        caller: Some(Arc::new(caller.clone())),
        idempotency_key: key.map(str::to_owned),
        ..RequestContext::default()
    };
    context::scope(context, call).await
}

pub(crate) fn reason(status: &Status) -> ErrorReason {
    Error::from_status(status).reason()
}

pub(crate) fn pointers(status: &Status) -> Vec<String> {
    Error::from_status(status).fields().iter().map(|field| field.pointer.clone()).collect()
}

/// What a refusal must be.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, want: ErrorReason) -> Status {
    let status = outcome.unwrap_err();
    assert_eq!(reason(&status), want, "{status:?}");
    status
}

fn body<T>(outcome: Result<Response<T>, Status>) -> Result<T, Status> {
    outcome.map(Response::into_inner)
}

impl World {
    /// The audit entries that were written, oldest first.
    pub(crate) async fn entries(&self) -> Vec<Entry> {
        ConfigOutbox::new(Arc::clone(&self.store)).pending_of_all().await.unwrap()
    }

    /// The actions of the audit entries about something.
    pub(crate) async fn actions(&self, object_id: &str) -> Vec<String> {
        self.entries()
            .await
            .into_iter()
            .filter(|entry| entry.object_id == object_id)
            .map(|entry| entry.action)
            .collect()
    }

    pub(crate) async fn create_tenant(&self, name: &str) -> Result<wire::Tenant, Status> {
        let caller = platform_for(None);
        let request = wire::CreateTenantRequest { name: name.to_owned(), ..Default::default() };
        let made = within(&caller, None, self.services.tenants.create_tenant(by(&caller, request))).await;
        Ok(body(made)?.tenant.unwrap())
    }

    pub(crate) async fn create_project(&self, caller: &Caller, name: &str) -> Result<wire::Project, Status> {
        let request = wire::CreateProjectRequest { name: name.to_owned(), ..Default::default() };
        let made = within(caller, None, self.services.projects.create_project(by(caller, request))).await;
        Ok(body(made)?.project.unwrap())
    }

    pub(crate) async fn create_controller(&self, caller: &Caller, name: &str) -> Result<wire::Controller, Status> {
        self.create_controller_as(caller, None, new_controller(name)).await
    }

    pub(crate) async fn create_controller_as(
        &self,
        caller: &Caller,
        key: Option<&str>,
        request: wire::CreateControllerRequest,
    ) -> Result<wire::Controller, Status> {
        let made = within(caller, key, self.services.controllers.create_controller(by(caller, request))).await;
        Ok(body(made)?.controller.unwrap())
    }

    pub(crate) async fn create_template(
        &self,
        caller: &Caller,
        request: wire::CreateTemplateRequest,
    ) -> Result<wire::Template, Status> {
        self.create_template_as(caller, None, request).await
    }

    pub(crate) async fn create_template_as(
        &self,
        caller: &Caller,
        key: Option<&str>,
        request: wire::CreateTemplateRequest,
    ) -> Result<wire::Template, Status> {
        let made = within(caller, key, self.services.templates.create_template(by(caller, request))).await;
        Ok(body(made)?.template.unwrap())
    }

    pub(crate) async fn delete_controller(&self, caller: &Caller, name: &str) -> Result<(), Status> {
        let request = wire::DeleteControllerRequest { name: name.to_owned() };
        within(caller, None, self.services.controllers.delete_controller(by(caller, request))).await.map(drop)
    }

    pub(crate) async fn delete_project(&self, caller: &Caller, name: &str) -> Result<(), Status> {
        let request = wire::DeleteProjectRequest { name: name.to_owned() };
        within(caller, None, self.services.projects.delete_project(by(caller, request))).await.map(drop)
    }

    pub(crate) async fn resolve_controller(
        &self,
        tenant: &str,
        name: &str,
    ) -> Result<wire::ResolveControllerResponse, Status> {
        let request = wire::ResolveControllerRequest { tenant: tenant.to_owned(), name: name.to_owned() };
        body(self.services.controllers.resolve_controller(Request::new(request)).await)
    }

    pub(crate) async fn resolve_template(
        &self,
        tenant: &str,
        name: &str,
    ) -> Result<wire::ResolveTemplateResponse, Status> {
        let request = wire::ResolveTemplateRequest { tenant: tenant.to_owned(), name: name.to_owned() };
        body(self.services.templates.resolve_template(Request::new(request)).await)
    }
}

pub(crate) fn new_controller(name: &str) -> wire::CreateControllerRequest {
    wire::CreateControllerRequest {
        name: name.to_owned(),
        url: "https://AWX.example/".to_owned(),
        credential: Some(token("t0ken")),
        ..wire::CreateControllerRequest::default()
    }
}

pub(crate) fn token(token: &str) -> wire::Credential {
    wire::Credential { token: token.to_owned(), ..wire::Credential::default() }
}

pub(crate) fn new_template(name: &str) -> wire::CreateTemplateRequest {
    wire::CreateTemplateRequest {
        name: name.to_owned(),
        project: "web".to_owned(),
        controller: "awx".to_owned(),
        kind: wire::TemplateKind::Job.into(),
        controller_template_id: 7,
        ..wire::CreateTemplateRequest::default()
    }
}
