//! The services behind the edge, each behind one channel. Tests put in-memory services here instead.

use http::{Request, Response};
use runwarden_kit::context;
use runwarden_kit::limits::LARGEST_ANSWER;
use runwarden_kit::mesh::{MeshChannel, Peers, Service};
use runwarden_proto::audit::v1::audit_service_client::AuditServiceClient;
use runwarden_proto::auth::v1::client_service_client::ClientServiceClient;
use runwarden_proto::auth::v1::role_service_client::RoleServiceClient;
use runwarden_proto::auth::v1::token_service_client::TokenServiceClient;
use runwarden_proto::executor::v1::hint_service_client::HintServiceClient;
use runwarden_proto::executor::v1::job_service_client::JobServiceClient;
use runwarden_proto::hook::v1::callback_service_client::CallbackServiceClient;
use runwarden_proto::hook::v1::delivery_service_client::DeliveryServiceClient;
use runwarden_proto::hook::v1::hook_service_client::HookServiceClient;
use runwarden_proto::hook::v1::inbox_service_client::InboxServiceClient;
use runwarden_proto::policy::v1::policy_service_client::PolicyServiceClient;
use runwarden_proto::project::v1::controller_service_client::ControllerServiceClient;
use runwarden_proto::project::v1::project_service_client::ProjectServiceClient;
use runwarden_proto::project::v1::template_service_client::TemplateServiceClient;
use runwarden_proto::project::v1::tenant_service_client::TenantServiceClient;
use runwarden_proto::secret::v1::secret_service_client::SecretServiceClient;
use tonic::Status;
use tonic::body::Body;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

/// A way to one service.
pub type Port = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;

/// The ways to all services.
#[derive(Clone)]
pub struct Ports {
    /// Who is asking.
    pub auth: Port,
    /// What may be done.
    pub policy: Port,
    /// What exists.
    pub project: Port,
    /// Secrets.
    pub secret: Port,
    /// What happened.
    pub audit: Port,
    /// What is run.
    pub executor: Port,
    /// Events in, results out.
    pub hook: Port,
    /// What happened, for exports: a connection of its own, so that they hold up nothing else.
    pub lasting_audit: Port,
    /// What is run, for event streams and waits: a connection of its own, so that they hold up nothing else.
    pub lasting_executor: Port,
}

/// A service answered a repeat: then so does this request.
fn note_replay(response: Response<Body>) -> Response<Body> {
    if response.headers().contains_key(context::REPLAYED) {
        context::mark_replayed();
    }
    response
}

macro_rules! client {
    ($(#[$doc:meta])* $name:ident, $port:ident, $client:ident) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(&self) -> $client<Port> {
            $client::new(self.$port.clone()).max_decoding_message_size(LARGEST_ANSWER)
        }
    };
}

impl Ports {
    /// Over the mesh.
    ///
    /// # Errors
    ///
    /// When the address of a service is not configured.
    pub fn over(peers: &Peers) -> anyhow::Result<Self> {
        let over = |channel: MeshChannel| Port::new(channel.map_response(note_replay).map_err(Status::from_error));
        let port = |to: Service| anyhow::Ok(over(peers.channel(to)?));
        let lasting = |to: Service| anyhow::Ok(over(peers.lasting_channel(to)?));
        Ok(Self {
            auth: port(Service::Auth)?,
            policy: port(Service::Policy)?,
            project: port(Service::Project)?,
            secret: port(Service::Secret)?,
            audit: port(Service::Audit)?,
            executor: port(Service::Executor)?,
            hook: port(Service::Hook)?,
            lasting_audit: lasting(Service::Audit)?,
            lasting_executor: lasting(Service::Executor)?,
        })
    }

    /// Every service by name with a client for its health.
    #[must_use]
    pub fn health(&self) -> [(&'static str, HealthClient<Port>); 7] {
        [
            (Service::Auth.name(), HealthClient::new(self.auth.clone())),
            (Service::Policy.name(), HealthClient::new(self.policy.clone())),
            (Service::Project.name(), HealthClient::new(self.project.clone())),
            (Service::Secret.name(), HealthClient::new(self.secret.clone())),
            (Service::Audit.name(), HealthClient::new(self.audit.clone())),
            (Service::Executor.name(), HealthClient::new(self.executor.clone())),
            (Service::Hook.name(), HealthClient::new(self.hook.clone())),
        ]
    }

    client!(
        /// Tokens.
        tokens, auth, TokenServiceClient
    );
    client!(
        /// OAuth clients.
        clients, auth, ClientServiceClient
    );
    client!(
        /// Roles and bindings.
        roles, auth, RoleServiceClient
    );
    client!(
        /// Policy modules.
        policies, policy, PolicyServiceClient
    );
    client!(
        /// Tenants.
        tenants, project, TenantServiceClient
    );
    client!(
        /// Projects.
        projects, project, ProjectServiceClient
    );
    client!(
        /// Controllers.
        controllers, project, ControllerServiceClient
    );
    client!(
        /// Templates.
        templates, project, TemplateServiceClient
    );
    client!(
        /// Secrets, never their values.
        secrets, secret, SecretServiceClient
    );
    client!(
        /// The audit log.
        records, audit, AuditServiceClient
    );
    client!(
        /// Jobs.
        jobs, executor, JobServiceClient
    );
    client!(
        /// Word from controllers.
        hints, executor, HintServiceClient
    );
    client!(
        /// Callbacks.
        callbacks, hook, CallbackServiceClient
    );
    client!(
        /// Hooks.
        hooks, hook, HookServiceClient
    );
    client!(
        /// Deliveries to hooks.
        deliveries, hook, DeliveryServiceClient
    );
    client!(
        /// Where foreign senders deliver.
        inbox, hook, InboxServiceClient
    );
    client!(
        /// The audit log, for exports.
        exports, lasting_audit, AuditServiceClient
    );
    client!(
        /// Jobs, for streams and waits.
        followed_jobs, lasting_executor, JobServiceClient
    );
}
