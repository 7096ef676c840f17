//! What is at AAP: the controller, and the template of its job template.

use runwarden_kit::mesh::Service;
use runwarden_kit::{ErrorReason, ExposeSecret as _};
use runwarden_proto::project::v1::controller_service_client::ControllerServiceClient;
use runwarden_proto::project::v1::template_service_client::TemplateServiceClient;
use runwarden_proto::project::v1::{
    ControllerTemplate, CreateControllerRequest, CreateTemplateRequest, Credential, GetControllerRequest,
    GetTemplateRequest, ListControllerTemplatesRequest, TemplateKind, UpdateControllerRequest, UpdateTemplateRequest,
};
use time::OffsetDateTime;

use super::environment::Environment;
use super::failpoint::At;
use super::install::{Installer, PROJECT};
use super::mapping::Mapping;
use super::memory::Memory;
use super::problem::{Made, Problem, because, found, from};

const CONTROLLER: &str = "aap";
/// For how long, in seconds, a password that AAP refused is not tried again: what restarts a program that ended would
/// otherwise lock the account.
pub(super) const NOT_AGAIN_FOR: i64 = 15 * 60;
/// What was refused, and when, as the memory calls it.
const REFUSED: &str = "AAP_AUTH refused";
const REFUSED_AT: &str = "AAP_AUTH refused at";

impl Installer<'_> {
    /// Makes the controller, or changes its address and credential.
    pub(super) async fn controller(&self, memory: &mut Memory) -> Made {
        let Environment { aap, username, password, authorities, insecure, .. } = self.environment;
        let mut controllers = ControllerServiceClient::new(self.channel(Service::Project)?);
        let asked = controllers.get_controller(GetControllerRequest { name: CONTROLLER.to_owned() }).await;
        let asked = found(asked.map_err(from(Service::Project))).map_err(because("looking for the controller"))?;
        let known = asked.and_then(|answer| answer.into_inner().controller);
        let login = format!("{username}:{}", password.expose_secret());
        let credential = Some(Credential {
            username: username.clone(),
            password: password.expose_secret().to_owned(),
            ..Credential::default()
        });
        let logged_in = match known {
            None => {
                self.check_not_refused(memory, &login)?;
                let request = CreateControllerRequest {
                    name: CONTROLLER.to_owned(),
                    url: aap.clone(),
                    credential,
                    ..CreateControllerRequest::default()
                };
                controllers.create_controller(request).await.map(drop)
            }
            Some(controller) => {
                let moved = controller.url != *aap;
                // Authorities that somebody gave it go before those of the environment.
                let in_the_way = !controller.ca_pem.is_empty() && (*insecure || !authorities.is_empty());
                let is_new = !memory.knows("AAP_AUTH", &login);
                if !moved && !in_the_way && !is_new {
                    return Ok(());
                }
                self.check_not_refused(memory, &login)?;
                if moved && !memory.has(&self.template_key()) {
                    // Whatever dies after this: the template is still that of the AAP of before.
                    memory.keep(&self.template_key(), &controller.url).map_err(Problem::Wrong)?;
                }
                let request = UpdateControllerRequest {
                    name: CONTROLLER.to_owned(),
                    url: moved.then(|| aap.clone()),
                    ca_pem: in_the_way.then(String::new),
                    // Never without: it is not to follow to another address unasked.
                    credential,
                    ..UpdateControllerRequest::default()
                };
                controllers.update_controller(request).await.map(drop)
            }
        };
        match logged_in.map_err(from(Service::Project)) {
            Ok(()) => {}
            Err(error) => {
                // Not by something in front of AAP, which has not seen the password.
                let refused = error.reason() == ErrorReason::ControllerRefused
                    && error.fields().iter().any(|field| field.pointer == "/credential");
                let problem = because(format!("logging in to AAP_HOST {aap} with AAP_AUTH"))(error);
                return Err(match problem {
                    Problem::Wrong(told) if refused => {
                        memory.keep(REFUSED, &self.login_at_aap(&login)).map_err(Problem::Wrong)?;
                        memory.note(REFUSED_AT, now()).map_err(Problem::Wrong)?;
                        Problem::Unwelcome(told)
                    }
                    other => other,
                });
            }
        }
        self.failpoint.pass(At::Controller);
        memory.forget(REFUSED).map_err(Problem::Wrong)?;
        memory.forget(REFUSED_AT).map_err(Problem::Wrong)?;
        memory.keep("AAP_AUTH", &login).map_err(Problem::Wrong)
    }

    /// Whether this password may be tried now.
    fn check_not_refused(&self, memory: &Memory, login: &str) -> Made {
        let since = memory.number(REFUSED_AT).map(|at| now().saturating_sub(at));
        let recent = since.filter(|since| (0..NOT_AGAIN_FOR).contains(since));
        match recent {
            Some(since) if memory.knows(REFUSED, &self.login_at_aap(login)) => {
                let minutes = (NOT_AGAIN_FOR - since) / 60 + 1;
                Err(Problem::Unwelcome(anyhow::anyhow!(
                    "AAP_HOST {} refused AAP_AUTH a moment ago. So that the account is not locked, the same password is not \
                     tried again for {minutes} minutes: correct AAP_AUTH, or the user in AAP",
                    self.environment.aap
                )))
            }
            _ => Ok(()),
        }
    }

    fn login_at_aap(&self, login: &str) -> String {
        format!("{}\n{login}", self.environment.aap)
    }

    /// The name of the template.
    pub(super) fn template_name(&self) -> String {
        format!("run-task-{}", self.environment.template)
    }

    /// Under which the memory has the address of the AAP that the template belongs to.
    fn template_key(&self) -> String {
        format!("template {}", self.environment.template)
    }

    /// The template belongs to this AAP, and the hook goes by it.
    pub(super) fn keep_template(&self, memory: &mut Memory) -> Made {
        let (key, aap) = (self.template_key(), &self.environment.aap);
        if memory.knows(&key, aap) { Ok(()) } else { memory.keep(&key, aap).map_err(Problem::Wrong) }
    }

    /// Maps the template, unless it is mapped as this AAP has it. Answers how requests become its parameters, if it was
    /// mapped now.
    pub(super) async fn template(&self, memory: &Memory, told: &mut Vec<String>) -> Made<Option<Mapping>> {
        let name = self.template_name();
        let mut templates = TemplateServiceClient::new(self.channel(Service::Project)?);
        let asked = templates.get_template(GetTemplateRequest { name: name.clone() }).await;
        let asked = found(asked.map_err(from(Service::Project))).map_err(because("looking for the template"))?;
        let key = self.template_key();
        // One of which nothing is remembered was never moved.
        let is_of_this_aap = !memory.has(&key) || memory.knows(&key, &self.environment.aap);
        if asked.is_some() && is_of_this_aap {
            return Ok(None);
        }
        let id = self.environment.template;
        let mapping = Mapping::of(&self.offered().await?).map_err(Problem::Wrong)?;
        let schema = mapping.schema.to_string();
        let what = format!("mapping AAP_JOB_TEMPLATE_ID {id}");
        if asked.is_some() {
            let request = UpdateTemplateRequest {
                name: name.clone(),
                parameters_schema_json: Some(schema),
                accept_drift: true,
                ..UpdateTemplateRequest::default()
            };
            templates.update_template(request).await.map_err(from(Service::Project)).map_err(because(what))?;
        } else {
            let request = CreateTemplateRequest {
                name: name.clone(),
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
    pub(super) async fn offered(&self) -> Made<ControllerTemplate> {
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
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}
