//! The service through its handlers, on a real embedded store.

mod binding;
mod bootstrap;
mod client;
mod hook;
mod key;
mod role;
mod standing;
mod token;
mod trust;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use runwarden_engines::config::ConfigStore;
use runwarden_engines::outbox::ConfigOutbox;
use runwarden_engines::sqlite::SqliteConfigStore;
use runwarden_kit::audit::{Entry, Outbox};
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::{Clock, HeldClock, SystemClock};
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::trust::{Trust, TrustSource};
use runwarden_kit::{Error, ErrorReason};
use runwarden_proto::auth::v1 as wire;
use runwarden_proto::auth::v1::client_service_server::ClientService as _;
use runwarden_proto::auth::v1::role_service_server::RoleService as _;
use runwarden_proto::auth::v1::token_service_server::TokenService as _;
use tempfile::TempDir;
use tonic::{Request, Response, Status};

use crate::Config;
use crate::assemble::{Assembled, Ground, assemble};
use crate::trust::scopes::{ScopeStatus, Scopes, TenantList};

/// Tenants `acme` and `other` with the projects `web` and `db`; `closed` is disabled, and `other` on request.
#[derive(Clone, Default)]
struct Places {
    other_is_disabled: Arc<AtomicBool>,
}

#[async_trait]
impl Scopes for Places {
    async fn check(&self, tenant: &TenantId, project: Option<&str>) -> runwarden_kit::Result<ScopeStatus> {
        Ok(ScopeStatus {
            tenant_exists: ["acme", "other", "closed"].contains(&tenant.as_str()),
            tenant_disabled: tenant.as_str() == "closed"
                || (tenant.as_str() == "other" && self.other_is_disabled.load(Ordering::SeqCst)),
            project_exists: project.is_none_or(|name| ["web", "db"].contains(&name)),
        })
    }

    async fn tenants(&self, _: &str) -> runwarden_kit::Result<TenantList> {
        let mut tenants = Vec::new();
        for name in ["acme", "other", "closed"] {
            tenants.push((name.to_owned(), self.check(&TenantId::trusted(name), None).await?.tenant_disabled));
        }
        Ok(TenantList { version: String::new(), only_changes: false, tenants })
    }
}

/// A trust state, as a service received it.
struct Told(wire::GetTrustStateResponse);

#[async_trait]
impl TrustSource for Told {
    async fn trust_state(&self, _: wire::GetTrustStateRequest) -> runwarden_kit::Result<wire::GetTrustStateResponse> {
        Ok(self.0.clone())
    }
}

/// A folder that outlives the process.
struct Place {
    dir: TempDir,
    clock: HeldClock,
    /// How much steady time has passed, in milliseconds.
    passed: Arc<AtomicU64>,
    config: Config,
}

impl Place {
    fn new() -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), HeldClock::at(SystemClock.now()));
        Self { dir, clock, passed: Arc::default(), config: Config::default() }
    }

    async fn try_start(&self) -> anyhow::Result<World> {
        let path = self.dir.path().join("auth.db");
        let store: Arc<dyn ConfigStore> = Arc::new(SqliteConfigStore::open(&path).await?);
        let places = Places::default();
        let (begun, passed) = (Instant::now(), Arc::clone(&self.passed));
        let ground = Ground {
            config_store: Arc::clone(&store),
            outbox: Outbox::undrained(Arc::new(ConfigOutbox::new(Arc::clone(&store)))),
            clock: Arc::new(self.clock.clone()),
            ticks: Arc::new(move || begun + Duration::from_millis(passed.load(Ordering::SeqCst))),
            scopes: Arc::new(places.clone()),
            data_dir: self.dir.path(),
        };
        let service = assemble(&self.config, ground).await?;
        service.tenants.refresh().await?;
        Ok(World { service, store, clock: self.clock.clone(), passed: Arc::clone(&self.passed), places })
    }

    async fn start(&self) -> World {
        self.try_start().await.unwrap()
    }

    /// The credentials the first start left.
    fn bootstrap(&self) -> Credentials {
        let text = std::fs::read_to_string(self.dir.path().join("bootstrap.json")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        Credentials {
            id: value["client_id"].as_str().unwrap().to_owned(),
            secret: value["client_secret"].as_str().unwrap().to_owned(),
        }
    }

    /// The service with its first administrator.
    async fn with_admin(&self) -> (World, Caller) {
        let world = self.start().await;
        let admin = world.login(&self.bootstrap()).await;
        (world, admin)
    }
}

/// What a client proves itself with.
#[derive(Clone, Debug)]
struct Credentials {
    id: String,
    secret: String,
}

/// A running service.
struct World {
    service: Assembled,
    store: Arc<dyn ConfigStore>,
    clock: HeldClock,
    passed: Arc<AtomicU64>,
    places: Places,
}

impl World {
    /// Lets time pass, by the clock and steadily.
    fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.passed.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    async fn issue(&self, who: &Credentials, scope: &str) -> Result<wire::IssueTokenResponse, Error> {
        let request = wire::IssueTokenRequest {
            client_id: who.id.clone(),
            client_secret: who.secret.clone(),
            scope: scope.to_owned(),
            source_address: "192.0.2.7".to_owned(),
        };
        answer(self.service.tokens.issue_token(Request::new(request)).await)
    }

    async fn trust(&self) -> wire::GetTrustStateResponse {
        let request = Request::new(wire::GetTrustStateRequest::default());
        self.service.tokens.get_trust_state(request).await.unwrap().into_inner()
    }

    /// What has changed since the state of this version.
    async fn trust_since(&self, version: &str) -> wire::GetTrustStateResponse {
        let request = wire::GetTrustStateRequest {
            known_version: version.to_owned(),
            accepts_changes: true,
            ..Default::default()
        };
        self.service.tokens.get_trust_state(Request::new(request)).await.unwrap().into_inner()
    }

    /// Verifies a token as every other service does.
    async fn verify(&self, token: &str) -> Result<Caller, Error> {
        let trust = Trust::from_source(Told(self.trust().await), Arc::new(Instant::now));
        trust.renew().await?;
        trust.verify(token).await.map(Arc::unwrap_or_clone)
    }

    /// A fresh token of a client, as the gate would read it.
    async fn login(&self, who: &Credentials) -> Caller {
        let token = self.issue(who, "").await.unwrap().access_token;
        self.verify(&token).await.unwrap()
    }

    async fn create(
        &self,
        caller: &Caller,
        name: &str,
        project: &str,
        roles: &[&str],
    ) -> Result<(wire::Client, Credentials), Error> {
        let request = wire::CreateClientRequest {
            name: name.to_owned(),
            project: project.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            expires_at: None,
        };
        let made = within(caller, self.service.clients.create_client(from(caller, request))).await;
        let made = answer(made)?;
        let client = made.client.unwrap();
        let credentials = Credentials { id: client.client_id.clone(), secret: made.client_secret };
        Ok((client, credentials))
    }

    /// A client of a tenant, logged in.
    async fn someone(&self, admin: &Caller, tenant: &str, name: &str, project: &str, roles: &[&str]) -> Caller {
        let (_, credentials) = self.create(&acting(admin, tenant), name, project, roles).await.unwrap();
        self.login(&credentials).await
    }

    async fn get(&self, caller: &Caller, client_id: &str) -> Result<wire::Client, Error> {
        let request = wire::GetClientRequest { client_id: client_id.to_owned() };
        let got = self.service.clients.get_client(from(caller, request)).await;
        answer(got).map(|got| got.client.unwrap())
    }

    async fn set_disabled(&self, caller: &Caller, client_id: &str, disabled: bool) -> Result<wire::Client, Error> {
        let request = wire::UpdateClientRequest {
            client_id: client_id.to_owned(),
            disabled: Some(disabled),
            ..Default::default()
        };
        self.update(caller, request).await
    }

    async fn update(&self, caller: &Caller, request: wire::UpdateClientRequest) -> Result<wire::Client, Error> {
        let updated = within(caller, self.service.clients.update_client(from(caller, request))).await;
        answer(updated).map(|updated| updated.client.unwrap())
    }

    async fn rotate(&self, caller: &Caller, client_id: &str) -> Result<Credentials, Error> {
        let request = wire::RotateClientSecretRequest { client_id: client_id.to_owned() };
        let rotated = within(caller, self.service.clients.rotate_client_secret(from(caller, request))).await;
        answer(rotated).map(|rotated| Credentials { id: client_id.to_owned(), secret: rotated.client_secret })
    }

    async fn retire(&self, caller: &Caller, client_id: &str, secret_id: &str) -> Result<wire::Client, Error> {
        let request =
            wire::RetireClientSecretRequest { client_id: client_id.to_owned(), secret_id: secret_id.to_owned() };
        let retired = within(caller, self.service.clients.retire_client_secret(from(caller, request))).await;
        answer(retired).map(|retired| retired.client.unwrap())
    }

    async fn delete(&self, caller: &Caller, client_id: &str) -> Result<(), Error> {
        let request = wire::DeleteClientRequest { client_id: client_id.to_owned() };
        let deleted = within(caller, self.service.clients.delete_client(from(caller, request))).await;
        answer(deleted).map(|_| ())
    }

    async fn create_role(&self, caller: &Caller, name: &str, permissions: &[&str]) -> Result<wire::Role, Error> {
        let request = wire::CreateRoleRequest {
            name: name.to_owned(),
            description: "made in a test".to_owned(),
            permissions: permissions.iter().map(|name| (*name).to_owned()).collect(),
        };
        let made = within(caller, self.service.roles.create_role(from(caller, request))).await;
        answer(made).map(|made| made.role.unwrap())
    }

    async fn bind(&self, caller: &Caller, principal: &str, role: &str, project: &str) -> Result<wire::Binding, Error> {
        let request = wire::CreateBindingRequest {
            principal: principal.to_owned(),
            role: role.to_owned(),
            project: project.to_owned(),
        };
        let made = within(caller, self.service.roles.create_binding(from(caller, request))).await;
        answer(made).map(|made| made.binding.unwrap())
    }

    async fn unbind(&self, caller: &Caller, binding_id: &str) -> Result<(), Error> {
        let request = wire::DeleteBindingRequest { binding_id: binding_id.to_owned() };
        let deleted = within(caller, self.service.roles.delete_binding(from(caller, request))).await;
        answer(deleted).map(|_| ())
    }

    /// The audit entries that wait, of one action.
    async fn entries(&self, action: &str) -> Vec<Entry> {
        let all = ConfigOutbox::new(Arc::clone(&self.store)).pending_of_all().await.unwrap();
        all.into_iter().filter(|entry| entry.action == action).collect()
    }

    /// Everything that is kept, as text.
    async fn everything(&self) -> String {
        let entries = self.store.list("", None, 10_000).await.unwrap();
        let texts = entries.iter().map(|entry| format!("{} {}", entry.key, String::from_utf8_lossy(&entry.value)));
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// A request as it comes out of the gate.
fn from<T>(caller: &Caller, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Arc::new(caller.clone()));
    request
}

/// A caller of the platform acting for a tenant.
fn acting(caller: &Caller, tenant: &str) -> Caller {
    Caller { acting_tenant: Some(TenantId::trusted(tenant)), ..caller.clone() }
}

fn by(caller: &Caller) -> RequestContext {
    RequestContext {
        request_id: "req_1".into(),
        source_address: "192.0.2.1".into(),
        caller: Some(Arc::new(caller.clone())),
        ..Default::default()
    }
}

async fn within<F: Future>(caller: &Caller, future: F) -> F::Output {
    context::scope(by(caller), future).await
}

fn answer<T>(result: Result<Response<T>, Status>) -> Result<T, Error> {
    result.map(Response::into_inner).map_err(|status| Error::from_status(&status))
}

fn reason<T>(result: Result<T, Error>) -> ErrorReason {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.reason(),
    }
}
