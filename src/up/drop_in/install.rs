//! Makes what the environment speaks of: tenant, project, controller, template, service account, hook. Every step looks
//! first, so that doing it again changes nothing, and whatever died half-way is finished.

use std::path::Path;

use anyhow::Context as _;
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::mesh::{Peers, Service};
use runwarden_kit::{Error, ErrorReason, ExposeSecret as _, SecretString};
use runwarden_proto::auth::v1::client_service_client::ClientServiceClient;
use runwarden_proto::auth::v1::token_service_client::TokenServiceClient;
use runwarden_proto::auth::v1::{CreateClientRequest, IssueTokenRequest, ListClientsRequest};
use runwarden_proto::hook::v1::hook_service_client::HookServiceClient;
use runwarden_proto::hook::v1::{
    CreateHookRequest, GetHookRequest, Hook, RetireHookKeyRequest, RotateHookKeyRequest, UpdateHookRequest,
};
use runwarden_proto::project::v1::controller_service_client::ControllerServiceClient;
use runwarden_proto::project::v1::project_service_client::ProjectServiceClient;
use runwarden_proto::project::v1::template_service_client::TemplateServiceClient;
use runwarden_proto::project::v1::tenant_service_client::TenantServiceClient;
use runwarden_proto::project::v1::{
    ControllerTemplate, CreateControllerRequest, CreateProjectRequest, CreateTemplateRequest, CreateTenantRequest,
    Credential, GetControllerRequest, GetProjectRequest, GetTemplateRequest, GetTenantRequest,
    ListControllerTemplatesRequest, TemplateKind, UpdateControllerRequest, UpdateTemplateRequest,
};
use serde_json::{Map, Value, json};

use super::environment::Environment;
use super::mapping::Mapping;
use super::memory::Memory;
use super::{HOOK, TENANT};

const PROJECT: &str = "run-tasks";
const CONTROLLER: &str = "aap";
const ACCOUNT: &str = "run-tasks";
const ROLE: &str = "launcher";

/// Why it could not be made.
#[derive(Debug)]
pub(super) enum Problem {
    /// It can be made later.
    Later(anyhow::Error),
    /// Somebody has to do something.
    Wrong(anyhow::Error),
    /// The first administrator's credentials are gone, so that nothing can be compared.
    NoAdministrator,
}

type Made<T = ()> = Result<T, Problem>;

/// What was refused, and what one may do.
fn because(what: impl Into<String>) -> impl FnOnce(Error) -> Problem {
    let what = what.into();
    move |error| {
        let fields = error.fields().iter().map(|field| format!(" {} {}", field.pointer, field.detail));
        let told = anyhow::anyhow!("{what}: {}{}", error.detail(), fields.collect::<String>());
        let away = error.retry_after().is_some() || error.reason() == ErrorReason::ControllerUnreachable;
        if away { Problem::Later(told) } else { Problem::Wrong(told) }
    }
}

fn from(service: Service) -> impl Fn(tonic::Status) -> Error {
    move |status| Error::from_peer(service, &status)
}

/// `None` for what is not there.
fn found<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.reason() == ErrorReason::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes it.
pub(super) struct Installer<'a> {
    pub(super) environment: &'a Environment,
    pub(super) peers: &'a Peers,
    pub(super) bootstrap: &'a Path,
    pub(super) memory: &'a Path,
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

    fn channel(&self, service: Service) -> Made<runwarden_kit::mesh::MeshChannel> {
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
        let mut memory = Memory::open(self.memory).map_err(Problem::Wrong)?;
        let mut told = Vec::new();
        self.project().await?;
        let moved = self.controller(&mut memory).await?;
        let template = format!("run-task-{}", self.environment.template);
        let mapping = self.template(&template, moved, &mut told).await?;
        let hook = self.find_hook().await?;
        let account = match &hook {
            Some(hook) => hook.client_id.clone(),
            None => self.account().await?,
        };
        match hook {
            None => self.make_hook(&template, &account, mapping, &mut memory).await?,
            Some(hook) => self.agree(hook, &template, mapping, &mut memory, &mut told).await?,
        }
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

    /// Answers whether the controller is another one than before.
    async fn controller(&self, memory: &mut Memory) -> Made<bool> {
        let Environment { aap, username, password, authorities, insecure, .. } = self.environment;
        let mut controllers = ControllerServiceClient::new(self.channel(Service::Project)?);
        let asked = controllers.get_controller(GetControllerRequest { name: CONTROLLER.to_owned() }).await;
        let asked = found(asked.map_err(from(Service::Project))).map_err(because("looking for the controller"))?;
        let login = format!("{username}:{}", password.expose_secret());
        let credential = Credential {
            username: username.clone(),
            password: password.expose_secret().to_owned(),
            ..Credential::default()
        };
        let what = format!("logging in to AAP_HOST {aap} with AAP_AUTH");
        let Some(controller) = asked.and_then(|answer| answer.into_inner().controller) else {
            let request = CreateControllerRequest {
                name: CONTROLLER.to_owned(),
                url: aap.clone(),
                credential: Some(credential),
                ..CreateControllerRequest::default()
            };
            let made = controllers.create_controller(request).await;
            made.map_err(from(Service::Project)).map_err(because(what))?;
            memory.keep("AAP_AUTH", &login).map_err(Problem::Wrong)?;
            return Ok(false);
        };
        let moved = controller.url != *aap;
        // Authorities that somebody gave it go before those of the environment.
        let in_the_way = !controller.ca_pem.is_empty() && (*insecure || !authorities.is_empty());
        let is_new = !memory.knows("AAP_AUTH", &login);
        if moved || in_the_way || is_new {
            let request = UpdateControllerRequest {
                name: CONTROLLER.to_owned(),
                url: moved.then(|| aap.clone()),
                ca_pem: in_the_way.then(String::new),
                // Never without: it is not to follow to another address unasked.
                credential: Some(credential),
                ..UpdateControllerRequest::default()
            };
            let made = controllers.update_controller(request).await;
            made.map_err(from(Service::Project)).map_err(because(what))?;
            memory.keep("AAP_AUTH", &login).map_err(Problem::Wrong)?;
        }
        Ok(moved)
    }

    /// Maps the template unless it is mapped. Answers how requests become its parameters, if it was mapped now.
    async fn template(&self, name: &str, moved: bool, told: &mut Vec<String>) -> Made<Option<Mapping>> {
        let mut templates = TemplateServiceClient::new(self.channel(Service::Project)?);
        let asked = templates.get_template(GetTemplateRequest { name: name.to_owned() }).await;
        let asked = found(asked.map_err(from(Service::Project))).map_err(because("looking for the template"))?;
        if asked.is_some() && !moved {
            return Ok(None);
        }
        let id = self.environment.template;
        let mapping = Mapping::of(&self.offered().await?).map_err(Problem::Wrong)?;
        let schema = mapping.schema.to_string();
        let what = format!("mapping AAP_JOB_TEMPLATE_ID {id}");
        if asked.is_some() {
            let request = UpdateTemplateRequest {
                name: name.to_owned(),
                parameters_schema_json: Some(schema),
                accept_drift: true,
                ..UpdateTemplateRequest::default()
            };
            templates.update_template(request).await.map_err(from(Service::Project)).map_err(because(what))?;
        } else {
            let request = CreateTemplateRequest {
                name: name.to_owned(),
                project: PROJECT.to_owned(),
                controller: CONTROLLER.to_owned(),
                kind: TemplateKind::Job.into(),
                controller_template_id: id,
                parameters_schema_json: schema,
                description: "Terraform run tasks".to_owned(),
                ..CreateTemplateRequest::default()
            };
            templates.create_template(request).await.map_err(from(Service::Project)).map_err(because(what))?;
        }
        if mapping.fields.is_empty() {
            told.push(format!(
                "warning: job template {id} takes no variables, so its playbook is not told run_id: tick \"Prompt on \
                 launch\" for its variables in AAP, and remove template {name} here, so that it is mapped anew"
            ));
        }
        Ok(Some(mapping))
    }

    /// The template as AAP has it.
    async fn offered(&self) -> Made<ControllerTemplate> {
        let mut controllers = ControllerServiceClient::new(self.channel(Service::Project)?);
        let mut page_token = String::new();
        loop {
            let request =
                ListControllerTemplatesRequest { controller: CONTROLLER.to_owned(), page_size: 200, page_token };
            let page = controllers.list_controller_templates(request).await.map_err(from(Service::Project));
            let page = page.map_err(because("listing AAP's job templates"))?.into_inner();
            let wanted = |template: &ControllerTemplate| {
                template.kind() == TemplateKind::Job && template.id == self.environment.template
            };
            if let Some(template) = page.templates.into_iter().find(wanted) {
                return Ok(template);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Err(Problem::Wrong(anyhow::anyhow!(
                    "AAP has no job template {} that the user {} of AAP_AUTH may see: check AAP_JOB_TEMPLATE_ID and the \
                     user's permissions",
                    self.environment.template,
                    self.environment.username,
                )));
            }
        }
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

    async fn find_hook(&self) -> Made<Option<Hook>> {
        let mut hooks = HookServiceClient::new(self.channel(Service::Hook)?);
        let asked = hooks.get_hook(GetHookRequest { name: HOOK.to_owned() }).await.map_err(from(Service::Hook));
        Ok(found(asked).map_err(because("looking for the hook"))?.and_then(|answer| answer.into_inner().hook))
    }

    async fn make_hook(&self, template: &str, account: &str, mapping: Option<Mapping>, memory: &mut Memory) -> Made {
        let module = match mapping {
            Some(mapping) => mapping.module(self.environment.template),
            None => Mapping::of(&self.offered().await?).map_err(Problem::Wrong)?.module(self.environment.template),
        };
        let key = self.environment.key.expose_secret();
        let request = CreateHookRequest {
            name: HOOK.to_owned(),
            project: PROJECT.to_owned(),
            template: template.to_owned(),
            kind: "run_task".to_owned(),
            settings_json: Value::Object(self.settings(Map::new())).to_string(),
            client_id: account.to_owned(),
            module: module.clone(),
            description: "Stands in for the Terraform run task proxy, as the environment says".to_owned(),
            key: key.to_owned(),
        };
        let mut hooks = HookServiceClient::new(self.channel(Service::Hook)?);
        hooks.create_hook(request).await.map_err(from(Service::Hook)).map_err(because("making the hook"))?;
        memory.keep("HMAC_KEY", key).map_err(Problem::Wrong)?;
        memory.keep("module", &module).map_err(Problem::Wrong)
    }

    /// Brings a hook in line with what the environment says, and leaves what it does not speak of.
    async fn agree(
        &self,
        hook: Hook,
        template: &str,
        mapping: Option<Mapping>,
        memory: &mut Memory,
        told: &mut Vec<String>,
    ) -> Made {
        let mut hooks = HookServiceClient::new(self.channel(Service::Hook)?);
        if hook.kind != "run_task" {
            return Err(Problem::Wrong(anyhow::anyhow!(
                "there is a hook {HOOK} of kind {} in tenant {TENANT}: remove it, or unset AAP_HOST and the rest",
                hook.kind
            )));
        }
        let before: Map<String, Value> = serde_json::from_str(&hook.settings_json).unwrap_or_default();
        let settings = self.settings(before.clone());
        let other_template = hook.template != template;
        let made_here = memory.knows("module", &hook.module);
        let module = match mapping {
            Some(mapping) if made_here => Some(mapping.module(self.environment.template)),
            None if made_here && other_template => {
                let mapping = Mapping::of(&self.offered().await?).map_err(Problem::Wrong)?;
                Some(mapping.module(self.environment.template))
            }
            _ => None,
        };
        let module = module.filter(|module| *module != hook.module);
        if other_template && !made_here {
            told.push(format!(
                "warning: the module of hook {HOOK} was changed by somebody and stays: see that it fits template {template}"
            ));
        }
        // A key that is weak is taken only by a hook that says so.
        let key = self.environment.key.expose_secret();
        let rekey = !memory.knows("HMAC_KEY", key);
        if other_template || settings != before || module.is_some() {
            let request = UpdateHookRequest {
                name: HOOK.to_owned(),
                template: other_template.then(|| template.to_owned()),
                settings_json: (settings != before).then(|| Value::Object(settings).to_string()),
                module: module.clone(),
                ..UpdateHookRequest::default()
            };
            hooks.update_hook(request).await.map_err(from(Service::Hook)).map_err(because("changing the hook"))?;
            if let Some(module) = &module {
                memory.keep("module", module).map_err(Problem::Wrong)?;
            }
        }
        if rekey {
            self.rekey(hook, key).await?;
            memory.keep("HMAC_KEY", key).map_err(Problem::Wrong)?;
            told.push("HMAC_KEY has changed: from now on only requests signed with the new one are taken".to_owned());
        }
        Ok(())
    }

    /// Makes this the hook's only key.
    async fn rekey(&self, mut hook: Hook, key: &str) -> Made {
        let mut hooks = HookServiceClient::new(self.channel(Service::Hook)?);
        let mut old: Vec<String> = hook.keys.drain(..).map(|key| key.id).collect();
        // It may have two; while there are two, no third is taken.
        while old.len() > 1 {
            self.retire(&mut hooks, old.remove(0)).await?;
        }
        let request = RotateHookKeyRequest { name: HOOK.to_owned(), key: key.to_owned() };
        let what = "replacing the hook's key by HMAC_KEY";
        hooks.rotate_hook_key(request).await.map_err(from(Service::Hook)).map_err(because(what))?;
        for key_id in old {
            self.retire(&mut hooks, key_id).await?;
        }
        Ok(())
    }

    async fn retire(&self, hooks: &mut HookServiceClient<runwarden_kit::mesh::MeshChannel>, key_id: String) -> Made {
        let request = RetireHookKeyRequest { name: HOOK.to_owned(), key_id };
        let retired = hooks.retire_hook_key(request).await.map_err(from(Service::Hook));
        retired.map_err(because("retiring the hook's old key"))?;
        Ok(())
    }

    /// The hook's settings: what the environment speaks of, and whatever else they were.
    fn settings(&self, mut settings: Map<String, Value>) -> Map<String, Value> {
        let terraform = self.environment.terraform.as_ref().map_or("any", |terraform| terraform.address.as_str());
        settings.insert("terraform".to_owned(), json!(terraform));
        if self.environment.has_weak_key() {
            settings.insert("allow_weak_key".to_owned(), json!(true));
        } else {
            settings.remove("allow_weak_key");
        }
        settings
    }
}
