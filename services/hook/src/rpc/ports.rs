//! Other services, over the mesh.

use async_trait::async_trait;
use runwarden_kit::clock::Moment;
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, ExposeSecret as _, Result, SecretString, id};
use runwarden_proto::auth::v1::hook_identity_service_client::HookIdentityServiceClient;
use runwarden_proto::auth::v1::{CheckHookClientRequest, IssueHookTokenRequest};
use runwarden_proto::executor::v1::job_service_client::JobServiceClient;
use runwarden_proto::executor::v1::{
    CheckJobRequest, FindWriteOnlyRequest, GetJobRequest, JobOrigin, ReadOutputRequest, SubmitJobRequest,
};
use runwarden_proto::policy::v1::hook_module_service_client::HookModuleServiceClient;
use runwarden_proto::policy::v1::{CheckHookModuleRequest, RunHookModuleRequest, RunHookModuleResponse};
use runwarden_proto::project::v1::CheckScopeRequest;
use runwarden_proto::project::v1::project_service_client::ProjectServiceClient;
use runwarden_proto::secret::v1::hook_key_service_client::HookKeyServiceClient;
use runwarden_proto::secret::v1::{
    DeleteHookKeyRequest, OpenDeliveredRequest, PutHookKeyRequest, ReadHookKeyRequest, SealDeliveredRequest,
};
use serde_json::{Map, Value};

use crate::ports::{
    Account, Identities, JobView, Jobs, KeyPlace, Keys, Made, Modules, Order, Output, Projects, Token, Verdict,
};

/// In whose name it is tried whether keys can be read. Whether there is such a tenant does not matter.
const PROBED: &str = "probe";

/// The secret service.
pub(crate) struct MeshKeys(HookKeyServiceClient<MeshChannel>);

/// The policy service.
pub(crate) struct MeshModules(HookModuleServiceClient<MeshChannel>);

/// The auth service.
pub(crate) struct MeshIdentities(HookIdentityServiceClient<MeshChannel>);

/// The executor.
pub(crate) struct MeshJobs(JobServiceClient<MeshChannel>);

/// The project service.
pub(crate) struct MeshProjects(ProjectServiceClient<MeshChannel>);

impl MeshKeys {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self(HookKeyServiceClient::new(channel))
    }
}

impl MeshModules {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self(HookModuleServiceClient::new(channel))
    }
}

impl MeshIdentities {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self(HookIdentityServiceClient::new(channel))
    }
}

impl MeshJobs {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self(JobServiceClient::new(channel))
    }
}

impl MeshProjects {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self(ProjectServiceClient::new(channel))
    }
}

#[async_trait]
impl Keys for MeshKeys {
    async fn put(&self, place: KeyPlace<'_>, key: &SecretString) -> Result<()> {
        let request = PutHookKeyRequest {
            tenant: place.tenant.to_string(),
            project: place.project.to_owned(),
            hook: place.hook.to_owned(),
            key: place.key.to_owned(),
            value: key.expose_secret().as_bytes().to_vec(),
        };
        self.0.clone().put_hook_key(request).await.map_err(|s| Error::from_peer(Service::Secret, &s))?;
        Ok(())
    }

    async fn read(&self, tenant: &TenantId, hook: &str, key: &str) -> Result<Option<SecretString>> {
        let request = ReadHookKeyRequest {
            tenant: tenant.to_string(),
            hook: hook.to_owned(),
            key: key.to_owned(),
            purpose: "verify deliveries".to_owned(),
        };
        match self.0.clone().read_hook_key(request).await.map_err(|s| Error::from_peer(Service::Secret, &s)) {
            Ok(answer) => String::from_utf8(answer.into_inner().value)
                .map(|key| Some(SecretString::from(key)))
                .map_err(|_| Error::internal(anyhow::anyhow!("the key of a hook is not text"))),
            Err(error) if error.reason() == ErrorReason::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn probe(&self) -> Result<()> {
        // Whoever can say that a key is not there can read those that are. What is not revealed is not recorded.
        self.read(&TenantId::trusted(PROBED), &id::new("hook"), &id::new("key")).await?;
        Ok(())
    }

    async fn delete(&self, place: KeyPlace<'_>) -> Result<()> {
        let request = DeleteHookKeyRequest {
            tenant: place.tenant.to_string(),
            project: place.project.to_owned(),
            hook: place.hook.to_owned(),
            key: place.key.to_owned(),
        };
        self.0.clone().delete_hook_key(request).await.map_err(|s| Error::from_peer(Service::Secret, &s))?;
        Ok(())
    }

    async fn open(&self, tenant: &TenantId, delivery: &str, sealed: &[u8]) -> Result<SecretString> {
        let request = OpenDeliveredRequest {
            tenant: tenant.to_string(),
            sealed: sealed.to_vec(),
            delivery: delivery.to_owned(),
            purpose: "use what was delivered in confidence".to_owned(),
        };
        let opened = self.0.clone().open_delivered(request).await.map_err(|s| Error::from_peer(Service::Secret, &s))?;
        String::from_utf8(opened.into_inner().plaintext)
            .map(SecretString::from)
            .map_err(|_| Error::internal(anyhow::anyhow!("what was delivered in confidence is not text")))
    }

    async fn seal(&self, tenant: &TenantId, delivery: &str, value: &SecretString) -> Result<Vec<u8>> {
        let request = SealDeliveredRequest {
            tenant: tenant.to_string(),
            plaintext: value.expose_secret().as_bytes().to_vec(),
            delivery: delivery.to_owned(),
        };
        let sealed = self.0.clone().seal_delivered(request).await.map_err(|s| Error::from_peer(Service::Secret, &s))?;
        Ok(sealed.into_inner().sealed)
    }
}

#[async_trait]
impl Modules for MeshModules {
    async fn check(&self, module: &str) -> Result<Vec<String>> {
        let request = CheckHookModuleRequest { module: module.to_owned() };
        let answer = self.0.clone().check_hook_module(request).await;
        Ok(answer.map_err(|s| Error::from_peer(Service::Policy, &s))?.into_inner().problems)
    }

    async fn run(&self, tenant: &TenantId, module: &str, event: &str) -> Result<Made> {
        let request = RunHookModuleRequest {
            tenant: tenant.to_string(),
            module: module.to_owned(),
            input_json: event.to_owned(),
        };
        let answer = self.0.clone().run_hook_module(request).await;
        let answer = answer.map_err(|s| Error::from_peer(Service::Policy, &s))?.into_inner();
        Ok(made(answer))
    }
}

#[async_trait]
impl Identities for MeshIdentities {
    async fn check(&self, client_id: &str, project: &str) -> Result<()> {
        let request = CheckHookClientRequest { client_id: client_id.to_owned(), project: project.to_owned() };
        self.0.clone().check_hook_client(request).await.map_err(|s| Error::from_peer(Service::Auth, &s))?;
        Ok(())
    }

    async fn token(&self, account: Account<'_>) -> Result<Token> {
        let request = IssueHookTokenRequest {
            tenant: account.tenant.to_string(),
            client_id: account.client_id.to_owned(),
            project: account.project.to_owned(),
            hook: account.hook.to_owned(),
        };
        let answer = self.0.clone().issue_hook_token(request).await;
        let answer = answer.map_err(|s| Error::from_peer(Service::Auth, &s))?.into_inner();
        let expires_at = moment(answer.expires_at.as_ref())
            .ok_or_else(|| Error::internal(anyhow::anyhow!("auth issued a token without an end")))?;
        Ok(Token { token: answer.access_token.into(), expires_at })
    }
}

#[async_trait]
impl Jobs for MeshJobs {
    async fn submit(&self, order: Order<'_>) -> Result<String> {
        let request = SubmitJobRequest {
            template: order.template.to_owned(),
            parameters_json: json(order.parameters)?,
            origin: order.origin.map(|origin| JobOrigin {
                hook: origin.hook.to_owned(),
                delivery: origin.delivery.to_owned(),
                reference: origin.reference.to_owned(),
                callbacks: Vec::new(),
            }),
            start_by: order.start_by.map(Moment::to_proto),
            ..SubmitJobRequest::default()
        };
        let answer = self.0.clone().submit_job(request).await.map_err(|s| Error::from_peer(Service::Executor, &s))?;
        let job = answer.into_inner().job;
        Ok(job.ok_or_else(|| Error::internal(anyhow::anyhow!("the executor accepted no job")))?.id)
    }

    async fn check(&self, order: Order<'_>) -> Result<Verdict> {
        let request = CheckJobRequest {
            template: order.template.to_owned(),
            parameters_json: json(order.parameters)?,
            reference: order.origin.map(|origin| origin.reference.to_owned()).unwrap_or_default(),
        };
        let answer = self.0.clone().check_job(request).await.map_err(|s| Error::from_peer(Service::Executor, &s))?;
        let answer = answer.into_inner();
        Ok(Verdict { allowed: answer.allowed, reasons: answer.reasons })
    }

    async fn write_only(&self, template: &str, names: Vec<String>) -> Result<Vec<String>> {
        let request = FindWriteOnlyRequest { template: template.to_owned(), names };
        let answer = self.0.clone().find_write_only(request).await;
        Ok(answer.map_err(|s| Error::from_peer(Service::Executor, &s))?.into_inner().names)
    }

    async fn output(&self, id: &str, most: usize) -> Result<Option<Output>> {
        let mut output = Output::default();
        let mut offset = 0;
        loop {
            let request = ReadOutputRequest { id: id.to_owned(), offset };
            let answer = self.0.clone().read_output(request).await.map_err(|s| Error::from_peer(Service::Executor, &s));
            let piece = match answer {
                Ok(piece) => piece.into_inner(),
                Err(error) if matches!(error.reason(), ErrorReason::NotFound | ErrorReason::PermissionDenied) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            output.text.push_str(&piece.content);
            let cut = cut_head(&mut output.text, most);
            if piece.complete || piece.next_offset <= offset {
                output.complete = piece.complete && !piece.truncated && !piece.incomplete && !cut;
                return Ok(Some(output));
            }
            offset = piece.next_offset;
        }
    }

    async fn view(&self, id: &str) -> Result<Option<JobView>> {
        let request = GetJobRequest { id: id.to_owned(), wait_seconds: 0 };
        match self.0.clone().get_job(request).await.map_err(|s| Error::from_peer(Service::Executor, &s)) {
            Ok(answer) => Ok(answer.into_inner().job.map(|job| JobView {
                state: job.state().name().to_owned(),
                launched_at: moment(job.launched_at.as_ref()),
                finished_at: moment(job.finished_at.as_ref()),
                detail: job.reason_detail,
            })),
            Err(error) if matches!(error.reason(), ErrorReason::NotFound | ErrorReason::PermissionDenied) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Projects for MeshProjects {
    async fn exists(&self, tenant: &TenantId, project: &str) -> Result<bool> {
        let request = CheckScopeRequest { tenant: tenant.to_string(), project: project.to_owned() };
        let answer = self.0.clone().check_scope(request).await.map_err(|s| Error::from_peer(Service::Project, &s))?;
        let answer = answer.into_inner();
        Ok(answer.tenant_exists && answer.project_exists)
    }
}

/// What a module made of an event. Parameters are read as strictly as those of a request, so that they can be kept,
/// submitted and read again.
fn made(answer: RunHookModuleResponse) -> Made {
    if !answer.problem.is_empty() {
        return Made::Failed(answer.problem);
    }
    if !answer.accept {
        return Made::Unwanted;
    }
    match runwarden_kit::json::parse(answer.parameters_json.as_bytes()) {
        Ok(Value::Object(parameters)) => Made::Wanted { parameters, reference: answer.reference },
        Ok(_) => Made::Failed("The parameters are not an object.".to_owned()),
        Err(error) => Made::Failed(format!("The parameters cannot be used. {}", error.detail())),
    }
}

fn json(parameters: &Map<String, Value>) -> Result<String> {
    serde_json::to_string(parameters).map_err(Error::internal)
}

fn moment(time: Option<&prost_types::Timestamp>) -> Option<Moment> {
    time.and_then(Moment::from_proto)
}

/// Drops the beginning of what is too long. Answers whether anything was.
fn cut_head(text: &mut String, most: usize) -> bool {
    let over = text.len().saturating_sub(most);
    let at = (over..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    text.drain(..at);
    over > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_could_not_be_read_again_are_a_failure_of_the_mapping() {
        let answer = |depth: usize| RunHookModuleResponse {
            accept: true,
            parameters_json: format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)),
            ..RunHookModuleResponse::default()
        };
        assert!(matches!(made(answer(10)), Made::Wanted { .. }));
        // serde_json alone reads up to 127 levels, and stored inside a delivery they are deeper.
        assert!(matches!(made(answer(100)), Made::Failed(why) if why.contains("64 levels")));
        let list = RunHookModuleResponse { parameters_json: "[]".to_owned(), ..answer(1) };
        assert!(matches!(made(list), Made::Failed(_)));
    }
}
