//! Health, and what operators find when they look at a port.

use runwarden_harness::{Api, System};
use runwarden_kit::mesh::Service;
use serde_json::json;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{services, settings};

#[tokio::test(flavor = "multi_thread")]
async fn health_is_open_to_all_and_says_little() {
    let system = System::start(&settings()).await;
    for base in [&system.reach().base_url, &system.reach().admin_base_url] {
        let nobody = Api::anonymous(base);
        assert_eq!(nobody.get("/api/v1/health/live").await.expect(200), json!({"status": "live"}));
        assert_eq!(nobody.get("/api/v1/health/ready").await.expect(200), json!({"status": "ready"}));
        assert_eq!(nobody.get("/health").await.expect(200), json!({"status": "ready"}));
        nobody.get("/api/v1/jobs").await.refused(401, "UNAUTHENTICATED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_says_that_it_is_healthy_and_what_it_serves() {
    let system = System::start(&settings()).await;
    for service in Service::WITH_GRPC {
        let mut health = HealthClient::new(system.reach().channel(*service));
        let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
        for (version, listed) in [("v1", v1(&system, *service).await), ("v1alpha", v1alpha(&system, *service).await)] {
            let own = format!("runwarden.{service}.v1.");
            let (ours, others): (Vec<&String>, Vec<&String>) = listed.iter().partition(|name| name.starts_with(&own));
            assert!(!ours.is_empty(), "{service} {version}: {listed:?}");
            // Whoever owns configuration says in the same way when it changes.
            let shared = |name: &str| name.starts_with("grpc.") || name == "runwarden.watch.v1.WatchService";
            assert!(others.iter().all(|name| shared(name)), "{service} {version}: {listed:?}");
            assert!(others.iter().any(|name| *name == "grpc.health.v1.Health"), "{service} {version}: {listed:?}");
        }
    }
}

/// Asks for the list of services by one version of reflection.
macro_rules! listed_by {
    ($name:ident, $package:ident) => {
        async fn $name(system: &System, service: Service) -> Vec<String> {
            use tonic_reflection::pb::$package::ServerReflectionRequest;
            use tonic_reflection::pb::$package::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$package::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$package::server_reflection_response::MessageResponse;
            let mut client = ServerReflectionClient::new(system.reach().channel(service));
            let request = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let requests = tokio_stream::once(request);
            let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
            match answers.message().await.unwrap().unwrap().message_response {
                Some(MessageResponse::ListServicesResponse(list)) => list.service.into_iter().map(|s| s.name).collect(),
                other => unreachable!("{other:?}"),
            }
        }
    };
}
listed_by!(v1, v1);
listed_by!(v1alpha, v1alpha);

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_needs_a_token_and_acts_within_it() {
    let system = System::start(&settings()).await;
    let platform = system.reach().platform_admin().await;
    for service in Service::WITH_GRPC {
        let refused = services::ask(system.reach(), *service, "", None).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{service}: {refused:?}");
        let refused = services::ask(system.reach(), *service, "not.a.token", None).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{service}: {refused:?}");
    }
    let _tenant = platform.post("/api/v1/tenants", &json!({"name": "acme"})).await.expect(201);
    for service in Service::WITH_GRPC {
        services::ask(system.reach(), *service, platform.token(), Some("acme")).await.unwrap();
    }
}
