//! Calling the services directly, as operators do.

use std::collections::BTreeMap;

use runwarden_harness::Reach;
use runwarden_harness::reach::calling;
use runwarden_kit::Error;
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_proto::Access;
use runwarden_proto::audit::v1::audit_service_client::AuditServiceClient;
use runwarden_proto::auth::v1::client_service_client::ClientServiceClient;
use runwarden_proto::executor::v1::job_service_client::JobServiceClient;
use runwarden_proto::hook::v1::hook_service_client::HookServiceClient;
use runwarden_proto::policy::v1::policy_service_client::PolicyServiceClient;
use runwarden_proto::project::v1::project_service_client::ProjectServiceClient;
use runwarden_proto::secret::v1::secret_service_client::SecretServiceClient;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service as _, http};

/// Asks a service for something that a tenant's administrator may see.
pub(super) async fn ask(reach: &Reach, service: Service, token: &str, tenant: Option<&str>) -> Result<(), Status> {
    let channel = reach.channel(service);
    let asked = async {
        match service {
            Service::Auth => ClientServiceClient::new(channel)
                .list_clients(runwarden_proto::auth::v1::ListClientsRequest::default())
                .await
                .map(drop),
            Service::Policy => PolicyServiceClient::new(channel)
                .list_modules(runwarden_proto::policy::v1::ListModulesRequest::default())
                .await
                .map(drop),
            Service::Project => ProjectServiceClient::new(channel)
                .list_projects(runwarden_proto::project::v1::ListProjectsRequest::default())
                .await
                .map(drop),
            Service::Secret => SecretServiceClient::new(channel)
                .list_secrets(runwarden_proto::secret::v1::ListSecretsRequest::default())
                .await
                .map(drop),
            Service::Audit => AuditServiceClient::new(channel)
                .list_records(runwarden_proto::audit::v1::ListRecordsRequest::default())
                .await
                .map(drop),
            Service::Executor => JobServiceClient::new(channel)
                .list_jobs(runwarden_proto::executor::v1::ListJobsRequest::default())
                .await
                .map(drop),
            Service::Hook => HookServiceClient::new(channel)
                .list_hooks(runwarden_proto::hook::v1::ListHooksRequest::default())
                .await
                .map(drop),
            Service::Edge => unreachable!("the edge serves no gRPC"),
        }
    };
    calling(token, tenant, asked).await
}

/// Calls of the access table without a message: what the gate refuses it refuses before it looks at one.
pub(super) struct Bare(BTreeMap<&'static str, MeshChannel>);

impl Bare {
    pub(super) fn over(reach: &Reach) -> Self {
        Self(Service::WITH_GRPC.iter().map(|service| (service.name(), reach.channel(*service))).collect())
    }

    /// How a call is refused; nothing if it is not.
    pub(super) async fn refusal(&self, access: &Access, token: &str, tenant: &str) -> Option<Error> {
        let package = access.path.split('.').nth(1).unwrap();
        let mut request = http::Request::new(Body::empty());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = access.path.parse().unwrap();
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        request.headers_mut().insert("te", "trailers".parse().unwrap());
        let mut channel = self.0[package].clone();
        let answer = calling(token, Some(tenant), async { channel.call(request).await }).await.unwrap();
        Status::from_header_map(answer.headers()).map(|status| Error::from_status(&status))
    }
}
