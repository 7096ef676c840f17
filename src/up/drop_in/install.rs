//! Makes what the environment speaks of: tenant, project, service account, and with [`aap`](super::aap) and
//! [`hook`](super::hook) the controller, the template and the hook. Every step looks first, so that doing it again changes
//! nothing, and whatever died half-way is finished.

use std::path::Path;

use anyhow::Context as _;
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::mesh::{MeshChannel, Peers, Service};
use runwarden_kit::{ErrorReason, SecretString};
use runwarden_proto::auth::v1::client_service_client::ClientServiceClient;
use runwarden_proto::auth::v1::token_service_client::TokenServiceClient;
use runwarden_proto::auth::v1::{CreateClientRequest, IssueTokenRequest, ListClientsRequest};
use runwarden_proto::project::v1::project_service_client::ProjectServiceClient;
use runwarden_proto::project::v1::tenant_service_client::TenantServiceClient;
use runwarden_proto::project::v1::{CreateProjectRequest, CreateTenantRequest, GetProjectRequest, GetTenantRequest};
use serde_json::Value;

use super::TENANT;
use super::environment::Environment;
use super::failpoint::{At, Failpoint};
use super::memory::Memory;
use super::problem::{Made, Problem, because, found, from};

pub(super) const PROJECT: &str = "run-tasks";
const ACCOUNT: &str = "run-tasks";
const ROLE: &str = "launcher";

/// Makes it.
pub(super) struct Installer<'a> {
    pub(super) environment: &'a Environment,
    pub(super) peers: &'a Peers,
    pub(super) bootstrap: &'a Path,
    pub(super) folder: &'a Path,
    pub(super) failpoint: &'a Failpoint,
}

impl Installer<'_> {
    /// Makes what is missing, and changes what the environment says otherwise. Answers what a person should know.
    pub(super) async fn install(&self) -> Made<Vec<String>> {
        let token = self.log_in().await?;
        let acting = |tenant: Option<&str>| RequestContext {
            token: Some(token.clone()),
            tenant: tenant.map(str::to_owned),
            ..RequestContext::default()
        };
        context::scope(acting(None), self.tenant()).await?;
        context::scope(acting(Some(TENANT)), self.inside()).await
    }

    /// As the first administrator.
    async fn log_in(&self) -> Made<SecretString> {
        let read = std::fs::read(self.bootstrap).ok().and_then(|file| serde_json::from_slice::<Value>(&file).ok());
        let Some(bootstrap) = read else { return Err(Problem::NoAdministrator) };
        let text = |key: &str| bootstrap.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let request = IssueTokenRequest {
            client_id: text("client_id"),
            client_secret: text("client_secret"),
            ..IssueTokenRequest::default()
        };
        let mut tokens = TokenServiceClient::new(self.channel(Service::Auth)?);
        match tokens.issue_token(request).await.map_err(from(Service::Auth)) {
            Ok(issued) => Ok(issued.into_inner().access_token.into()),
            Err(error) if error.reason() == ErrorReason::InvalidClient => Err(Problem::NoAdministrator),
            Err(error) => Err(because("logging in as the first administrator")(error)),
        }
    }

    pub(super) fn channel(&self, service: Service) -> Made<MeshChannel> {
        self.peers.channel(service).map_err(Problem::Wrong)
    }

    async fn tenant(&self) -> Made {
        let mut tenants = TenantServiceClient::new(self.channel(Service::Project)?);
        let asked = tenants.get_tenant(GetTenantRequest { name: TENANT.to_owned() }).await;
        if found(asked.map_err(from(Service::Project))).map_err(because("looking for the tenant"))?.is_none() {
            let request = CreateTenantRequest {
                name: TENANT.to_owned(),
                display_name: "Terraform run tasks".to_owned(),
                ..CreateTenantRequest::default()
            };
            let made = tenants.create_tenant(request).await;
            made.map_err(from(Service::Project)).map_err(because("making the tenant"))?;
        }
        Ok(())
    }

    async fn inside(&self) -> Made<Vec<String>> {
        self.failpoint.pass(At::Tenant);
        let mut memory = Memory::open(self.folder).map_err(Problem::Wrong)?;
        let mut told = Vec::new();
        // Before anything for which AAP is needed: a key that was replaced because it leaked must not go on launching
        // until AAP is back.
        let hook = match self.find_hook().await? {
            Some(hook) => Some(self.take_key(hook, &mut memory, &mut told).await?),
            None => None,
        };
        self.project().await?;
        self.failpoint.pass(At::Project);
        self.controller(&mut memory).await?;
        self.failpoint.pass(At::ControllerKept);
        let mapping = self.template(&memory, &mut told).await?;
        self.failpoint.pass(At::Template);
        match hook {
            None => {
                let account = self.account().await?;
                self.failpoint.pass(At::Account);
                self.make_hook(&account, mapping, &mut memory).await?;
            }
            Some(hook) => self.agree(hook, mapping, &mut memory, &mut told).await?,
        }
        self.failpoint.pass(At::Done);
        // Only now: until the hook fits the template, the next start maps it again.
        self.keep_template(&mut memory)?;
        Ok(told)
    }

    async fn project(&self) -> Made {
        let mut projects = ProjectServiceClient::new(self.channel(Service::Project)?);
        let asked = projects.get_project(GetProjectRequest { name: PROJECT.to_owned() }).await;
        if found(asked.map_err(from(Service::Project))).map_err(because("looking for the project"))?.is_none() {
            let request = CreateProjectRequest { name: PROJECT.to_owned(), ..CreateProjectRequest::default() };
            let made = projects.create_project(request).await;
            made.map_err(from(Service::Project)).map_err(because("making the project"))?;
        }
        Ok(())
    }

    /// The service account that jobs run as.
    async fn account(&self) -> Made<String> {
        let mut clients = ClientServiceClient::new(self.channel(Service::Auth)?);
        let mut page_token = String::new();
        loop {
            let request = ListClientsRequest { page_size: 200, page_token };
            let page = clients.list_clients(request).await.map_err(from(Service::Auth));
            let page = page.map_err(because("looking for the service account"))?.into_inner();
            if let Some(client) = page.clients.into_iter().find(|client| client.name == ACCOUNT) {
                return Ok(client.client_id);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let request = CreateClientRequest {
            name: ACCOUNT.to_owned(),
            project: PROJECT.to_owned(),
            roles: vec![ROLE.to_owned()],
            expires_at: None,
        };
        // Its secret is never used: the hook acts as it.
        let made = clients.create_client(request).await.map_err(from(Service::Auth));
        let made = made.map_err(because("making the service account"))?.into_inner().client;
        made.map(|client| client.client_id).context("auth made no client").map_err(Problem::Wrong)
    }
}
