//! The service behind the real mesh: certificates, gate, its own tokens. Only `project` and `audit` are played.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use runwarden_auth::{Config, build};
use runwarden_kit::audit::MemoryRecorder;
use runwarden_kit::caller::Scope;
use runwarden_kit::clock::SystemClock;
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::lifecycle::{Shutdown, Tasks};
use runwarden_kit::mesh::pki::DevCa;
use runwarden_kit::mesh::{self, MeshChannel, MeshTls, Peer, Peers, Service, TrustDomain};
use runwarden_kit::permission::Permission;
use runwarden_kit::service::{self, Parts, ServiceKit};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::token::Verifier;
use runwarden_kit::trust::Trust;
use runwarden_kit::{Error, ErrorReason, SecretString};
use runwarden_proto::auth::v1 as wire;
use runwarden_proto::auth::v1::client_service_client::ClientServiceClient;
use runwarden_proto::auth::v1::role_service_client::RoleServiceClient;
use runwarden_proto::auth::v1::token_service_client::TokenServiceClient;
use runwarden_proto::project::v1::project_service_server::{ProjectService, ProjectServiceServer};
use runwarden_proto::project::v1::tenant_service_server::{TenantService, TenantServiceServer};
use runwarden_proto::project::v1::{
    CheckScopeRequest, CheckScopeResponse, CreateProjectRequest, CreateProjectResponse, CreateTenantRequest,
    CreateTenantResponse, DeleteProjectRequest, DeleteProjectResponse, GetProjectRequest, GetProjectResponse,
    GetTenantRequest, GetTenantResponse, ListProjectsRequest, ListProjectsResponse, ListTenantStatesRequest,
    ListTenantStatesResponse, ListTenantsRequest, ListTenantsResponse, TenantState, UpdateTenantRequest,
    UpdateTenantResponse,
};
use tempfile::TempDir;
use tonic::{Request, Response, Status};

/// How long a revocation may take to hold everywhere.
const EVERYWHERE: Duration = Duration::from_secs(5);

/// Knows the tenant `acme` with the project `web`, and whether it is disabled.
#[derive(Clone, Default)]
struct Places(Arc<AtomicBool>);

#[tonic::async_trait]
impl ProjectService for Places {
    async fn check_scope(&self, request: Request<CheckScopeRequest>) -> Result<Response<CheckScopeResponse>, Status> {
        let request = request.into_inner();
        Ok(Response::new(CheckScopeResponse {
            tenant_exists: request.tenant == "acme",
            tenant_disabled: self.0.load(Ordering::SeqCst),
            project_exists: ["", "web"].contains(&request.project.as_str()),
        }))
    }

    async fn create_project(
        &self,
        _: Request<CreateProjectRequest>,
    ) -> Result<Response<CreateProjectResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn get_project(&self, _: Request<GetProjectRequest>) -> Result<Response<GetProjectResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn list_projects(&self, _: Request<ListProjectsRequest>) -> Result<Response<ListProjectsResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn delete_project(
        &self,
        _: Request<DeleteProjectRequest>,
    ) -> Result<Response<DeleteProjectResponse>, Status> {
        Err(Status::unimplemented("played"))
    }
}

#[tonic::async_trait]
impl TenantService for Places {
    async fn list_tenant_states(
        &self,
        _: Request<ListTenantStatesRequest>,
    ) -> Result<Response<ListTenantStatesResponse>, Status> {
        let disabled = self.0.load(Ordering::SeqCst);
        Ok(Response::new(ListTenantStatesResponse {
            tenants: vec![TenantState { name: "acme".to_owned(), disabled }],
            ..Default::default()
        }))
    }

    async fn create_tenant(&self, _: Request<CreateTenantRequest>) -> Result<Response<CreateTenantResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn get_tenant(&self, _: Request<GetTenantRequest>) -> Result<Response<GetTenantResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn list_tenants(&self, _: Request<ListTenantsRequest>) -> Result<Response<ListTenantsResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn update_tenant(&self, _: Request<UpdateTenantRequest>) -> Result<Response<UpdateTenantResponse>, Status> {
        Err(Status::unimplemented("played"))
    }
}

/// A mesh of the service, a fake project service, and any caller a test needs.
struct House {
    temp: TempDir,
    domain: TrustDomain,
    ca: DevCa,
    addresses: BTreeMap<Service, String>,
    tasks: Tasks,
    recorder: Arc<MemoryRecorder>,
    places: Places,
}

impl House {
    async fn start() -> Result<Self> {
        let temp = tempfile::tempdir()?;
        let domain: TrustDomain = "test.internal".parse()?;
        let ca = DevCa::open(&temp.path().join("ca"), domain.clone())?;
        let (auth, project) = (listen().await?, listen().await?);
        let addresses = BTreeMap::from([
            (Service::Auth, auth.local_addr()?.to_string()),
            (Service::Project, project.local_addr()?.to_string()),
        ]);
        let tasks = Tasks::new(Shutdown::new());
        let recorder = MemoryRecorder::new();
        let house = Self { temp, domain, ca, addresses, tasks, recorder, places: Places::default() };
        let kit = house.kit(Service::Project, Trust::fixed(Verifier::default()))?;
        let parts = Parts::new()
            .with(ProjectServiceServer::new(house.places.clone()))
            .with(TenantServiceServer::new(house.places.clone()));
        service::serve(&kit, project, parts).await?;
        let trust = house.trust(Service::Auth)?;
        let kit = house.kit(Service::Auth, trust)?;
        let parts = build(Config::default(), &kit).await?;
        service::serve(&kit, auth, parts).await?;
        Ok(house)
    }

    fn peers(&self, own: Service) -> Result<Peers> {
        let tls = MeshTls::load(self.ca.service(own)?, self.domain.clone(), Peer::Service(own))?;
        Ok(Peers::new(tls, self.addresses.clone()))
    }

    fn kit(&self, own: Service, trust: Arc<Trust>) -> Result<ServiceKit> {
        let data_dir = self.temp.path().join(own.name());
        runwarden_kit::private_file::make_folder(&data_dir)?;
        Ok(ServiceKit {
            service: own,
            peers: self.peers(own)?,
            trust,
            recorder: self.recorder.clone(),
            tasks: self.tasks.clone(),
            data_dir,
            clock: Arc::new(SystemClock),
            notes: runwarden_kit::service::Notes::default(),
        })
    }

    /// What a service verifies callers with.
    fn trust(&self, own: Service) -> Result<Arc<Trust>> {
        let trust = Trust::from_auth(self.channel(own)?);
        self.tasks.spawn("trust", trust.clone().keep_renewed(self.tasks.shutdown().clone()));
        Ok(trust)
    }

    fn channel(&self, own: Service) -> Result<MeshChannel> {
        self.peers(own)?.channel(Service::Auth)
    }

    fn bootstrap(&self) -> Result<(String, String)> {
        let text = std::fs::read(self.temp.path().join("auth/bootstrap.json"))?;
        let value: serde_json::Value = serde_json::from_slice(&text)?;
        let field = |name: &str| value.get(name).and_then(|text| text.as_str()).map(str::to_owned);
        field("client_id").zip(field("client_secret")).context("no credentials")
    }

    async fn token(&self, client_id: &str, client_secret: &str) -> Result<String, Status> {
        let request = wire::IssueTokenRequest {
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            ..Default::default()
        };
        let channel = self.channel(Service::Edge).map_err(|error| Status::internal(error.to_string()))?;
        let issued = TokenServiceClient::new(channel).issue_token(request).await?;
        Ok(issued.into_inner().access_token)
    }

    async fn stop(self) -> Result<()> {
        self.tasks.shutdown().begin();
        ensure!(self.tasks.join(Duration::from_secs(20)).await, "tasks did not end");
        Ok(())
    }
}

async fn listen() -> Result<tokio::net::TcpListener> {
    mesh::bind(([127, 0, 0, 1], 0).into()).await
}

/// Within a request with this token, acting for `acme`.
async fn acting<F: Future>(token: &str, call: F) -> F::Output {
    let context = RequestContext {
        token: Some(SecretString::from(token)),
        tenant: Some("acme".to_owned()),
        ..RequestContext::default()
    };
    context::scope(context, call).await
}

/// Waits for a condition that must hold everywhere within the limit.
async fn until(what: &str, condition: impl AsyncFn() -> bool) -> Result<()> {
    let look = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(EVERYWHERE, look).await.with_context(|| format!("waited in vain for {what}"))
}

fn reason<T>(answer: Result<T, Status>) -> Option<ErrorReason> {
    answer.err().map(|status| Error::from_status(&status).reason())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_made_over_the_mesh_works_until_it_is_disabled_and_then_nowhere_within_five_seconds() -> Result<()> {
    let house = House::start().await?;
    let (id, secret) = house.bootstrap()?;
    let admin = house.token(&id, &secret).await?;
    let mut clients = ClientServiceClient::new(house.channel(Service::Edge)?);
    let create = |name: &str, project: &str| wire::CreateClientRequest {
        name: name.to_owned(),
        project: project.to_owned(),
        roles: vec!["launcher".to_owned()],
        expires_at: None,
    };
    let made = acting(&admin, clients.create_client(create("ci", "web"))).await?.into_inner();
    let client = made.client.context("no client")?;
    let nowhere = acting(&admin, clients.create_client(create("x", "nowhere"))).await;
    ensure!(reason(nowhere) == Some(ErrorReason::ValidationFailed));

    let token = house.token(&client.client_id, &made.client_secret).await?;
    let executor = house.trust(Service::Executor)?;
    executor.renew().await?;
    ensure!(executor.is_ready());
    let caller = executor.verify(&token).await?;
    ensure!(caller.holds(Permission::JobsSubmit, &Scope::project(&TenantId::trusted("acme"), "web")));
    // A launcher may not list clients, and the gate refuses it.
    let list = acting(&token, clients.list_clients(wire::ListClientsRequest::default())).await;
    ensure!(reason(list) == Some(ErrorReason::PermissionDenied));

    let disable =
        wire::UpdateClientRequest { client_id: client.client_id.clone(), disabled: Some(true), ..Default::default() };
    acting(&admin, clients.update_client(disable)).await?;
    let ended = tokio::time::timeout(EVERYWHERE, executor.ended(&caller)).await;
    ensure!(ended.context("a disabled client's token still holds")?.reason() == ErrorReason::TokenRevoked);
    let refused = executor.verify(&token).await.err().map(|error| error.reason());
    ensure!(refused == Some(ErrorReason::TokenRevoked));
    ensure!(reason(house.token(&client.client_id, &made.client_secret).await) == Some(ErrorReason::InvalidClient));

    // What happened reaches the audit service through the outbox.
    let wanted = ["client.create", "token.issue", "client.disable", "token.refuse"];
    let recorder = Arc::clone(&house.recorder);
    let recorded = |action: &str| recorder.entries().iter().any(|entry| entry.action == action);
    until("everything to be recorded", async || wanted.iter().all(|action| recorded(action))).await?;
    house.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_is_disabled_with_project_is_closed_in_every_service_within_five_seconds() -> Result<()> {
    let house = House::start().await?;
    let (id, secret) = house.bootstrap()?;
    let admin = house.token(&id, &secret).await?;
    let mut clients = ClientServiceClient::new(house.channel(Service::Edge)?);
    let create = wire::CreateClientRequest {
        name: "admin".to_owned(),
        roles: vec!["tenant-admin".to_owned()],
        ..Default::default()
    };
    let made = acting(&admin, clients.create_client(create)).await?.into_inner();
    let token = house.token(&made.client.context("no client")?.client_id, &made.client_secret).await?;
    let list = async || acting(&token, clients.clone().list_clients(wire::ListClientsRequest::default())).await;
    list().await?;
    let executor = house.trust(Service::Executor)?;
    until("the tenants to be known", async || executor.knows_tenants()).await?;
    let caller = executor.verify(&token).await?;
    executor.admit(&caller, false).await?;

    house.places.0.store(true, Ordering::SeqCst);
    let ended = tokio::time::timeout(EVERYWHERE, executor.ended(&caller)).await;
    ensure!(ended.context("a disabled tenant's token still holds")?.reason() == ErrorReason::TenantDisabled);
    ensure!(executor.admit(&caller, true).await.is_err());
    until("auth to refuse it too", async || reason(list().await) == Some(ErrorReason::TenantDisabled)).await?;
    ensure!(executor.has_revoked(&caller));
    // The platform may still read and revoke there, but not grant.
    acting(&admin, clients.list_clients(wire::ListClientsRequest::default())).await?;
    let create = wire::CreateClientRequest { name: "late".to_owned(), ..Default::default() };
    ensure!(reason(acting(&admin, clients.create_client(create)).await) == Some(ErrorReason::TenantDisabled));
    house.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mesh_decides_which_service_may_call_and_a_token_who_may() -> Result<()> {
    let house = House::start().await?;
    let (id, secret) = house.bootstrap()?;
    let token = house.token(&id, &secret).await?;
    // The executor may not manage clients, with any token.
    let mut foreign = ClientServiceClient::new(house.channel(Service::Executor)?);
    let list = acting(&token, foreign.list_clients(wire::ListClientsRequest::default())).await;
    ensure!(reason(list) == Some(ErrorReason::PermissionDenied));
    // And the edge none without a token.
    let mut edge = RoleServiceClient::new(house.channel(Service::Edge)?);
    ensure!(reason(edge.list_roles(wire::ListRolesRequest {}).await) == Some(ErrorReason::Unauthenticated));
    let roles = acting(&token, edge.list_roles(wire::ListRolesRequest {})).await?.into_inner().roles;
    ensure!(roles.len() == 7);
    // Every service may ask what tokens to trust.
    let mut any = TokenServiceClient::new(house.channel(Service::Audit)?);
    let state = any.get_trust_state(wire::GetTrustStateRequest::default()).await?.into_inner();
    ensure!(!state.jwks_json.is_empty() && !state.unchanged);
    house.stop().await
}
