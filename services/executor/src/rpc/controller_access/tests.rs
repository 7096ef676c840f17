use std::net::SocketAddr;
use std::sync::Mutex;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use runwarden_kit::ErrorReason;
use runwarden_kit::page::Listing;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_proto::project::v1 as project;
use serde_json::{Value, json};

use super::*;
use crate::controllers;

/// Hands out one credential and remembers what for.
#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

#[async_trait::async_trait]
impl CredentialSource for Kept {
    async fn read(&self, tenant: &TenantId, secret_name: &str, purpose: &str) -> Result<Credential> {
        self.0.lock().unwrap().push(format!("{tenant}/{secret_name}: {purpose}"));
        Ok(Credential::bearer("t0ken"))
    }
}

async fn awx() -> SocketAddr {
    let row = |id: i64| json!({"id": id, "name": format!("t{id}"), "inventory": 1, "project": 2, "playbook": "p.yml", "ask_limit_on_launch": true});
    let list =
        move |rows: Vec<i64>| Json(json!({"next": null, "results": rows.into_iter().map(row).collect::<Vec<Value>>()}));
    let app = Router::new()
        .route(
            "/api/v2/me/",
            get(|headers: axum::http::HeaderMap| async move {
                if headers["authorization"] != "Bearer t0ken" {
                    return Err((StatusCode::UNAUTHORIZED, Json(json!({"detail": "no"}))));
                }
                Ok((
                    [("x-api-product-name", "AWX"), ("x-api-product-version", "24.6.1")],
                    Json(json!({"results": [{"id": 7, "username": "runwarden"}]})),
                ))
            }),
        )
        .route("/api/v2/job_templates/", get(move || async move { list(vec![4]) }))
        .route("/api/v2/workflow_job_templates/", get(move || async move { list(vec![5]) }))
        .route("/api/v2/job_templates/4/", get(move || async move { Json(row(4)) }))
        .route("/api/v2/job_templates/4/launch/", get(|| async { Json(json!({})) }))
        .fallback(|| async {
            (StatusCode::NOT_FOUND, [("x-api-product-name", "AWX")], Json(json!({"detail": "Not found."})))
        });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

fn controller(address: SocketAddr) -> Option<project::Controller> {
    Some(project::Controller {
        name: "main".into(),
        tenant: "acme".into(),
        url: format!("http://{address}"),
        ..Default::default()
    })
}

fn asked<T>(message: T, permission: Permission, at: Scope) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Arc::new(Caller::example(&[permission], at)));
    request
}

fn service() -> (ControllerAccessRpc, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    (ControllerAccessRpc::new(kept.clone(), controllers::limits()), kept)
}

fn reason(status: Status) -> (ErrorReason, Vec<String>) {
    let error = Error::from_status(&status);
    (error.reason(), error.fields().iter().map(|field| field.pointer.clone()).collect())
}

#[tokio::test]
async fn a_connection_is_tried_with_the_given_or_the_stored_credential() {
    let (service, kept) = service();
    let address = awx().await;
    let ask = |credential| proto::CheckConnectionRequest {
        controller: controller(address),
        credential,
        secret_name: "controllers/main".into(),
    };
    let tenant = Scope::tenant(&TenantId::trusted("acme"));
    let given = project::Credential { token: "t0ken".into(), ..Default::default() };
    let told = service
        .check_connection(asked(ask(Some(given)), Permission::ControllersWrite, tenant.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (told.product.as_str(), told.version.as_str(), told.account_id, told.account_name.as_str()),
        ("AWX", "24.6.1", 7, "runwarden")
    );
    assert!(kept.0.lock().unwrap().is_empty());

    service.check_connection(asked(ask(None), Permission::ControllersWrite, tenant.clone())).await.unwrap();
    assert_eq!(*kept.0.lock().unwrap(), ["acme/controllers/main: check controller main"]);

    let wrong = project::Credential { username: "u".into(), password: "p".into(), ..Default::default() };
    let refused = service
        .check_connection(asked(ask(Some(wrong)), Permission::ControllersWrite, tenant.clone()))
        .await
        .unwrap_err();
    assert_eq!(reason(refused), (ErrorReason::ControllerRefused, vec!["/credential".to_owned()]));
    let both = project::Credential { username: "u".into(), token: "t".into(), ..Default::default() };
    let refused =
        service.check_connection(asked(ask(Some(both)), Permission::ControllersWrite, tenant)).await.unwrap_err();
    assert_eq!(reason(refused).0, ErrorReason::ValidationFailed);
}

#[tokio::test]
async fn no_credential_is_read_for_a_caller_without_the_permission_in_that_tenant() {
    let (service, kept) = service();
    let address = awx().await;
    let check = proto::CheckConnectionRequest { controller: controller(address), ..Default::default() };
    let browse = proto::BrowseTemplatesRequest { controller: controller(address), ..Default::default() };
    let describe =
        proto::DescribeTemplateRequest { controller: controller(address), kind: 1, id: 4, ..Default::default() };
    let elsewhere = Scope::tenant(&TenantId::trusted("other"));
    let denied = [
        service
            .check_connection(asked(check.clone(), Permission::ControllersWrite, elsewhere.clone()))
            .await
            .map(|_| ()),
        service
            .check_connection(asked(check, Permission::ControllersRead, Scope::tenant(&TenantId::trusted("acme"))))
            .await
            .map(|_| ()),
        service.browse_templates(asked(browse, Permission::ControllersRead, elsewhere.clone())).await.map(|_| ()),
        service.describe_template(asked(describe.clone(), Permission::TemplatesWrite, elsewhere)).await.map(|_| ()),
        service
            .describe_template(asked(describe, Permission::TemplatesRead, Scope::tenant(&TenantId::trusted("acme"))))
            .await
            .map(|_| ()),
    ];
    for result in denied {
        assert_eq!(reason(result.unwrap_err()).0, ErrorReason::PermissionDenied);
    }
    assert!(kept.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn templates_are_listed_page_by_page_and_described_in_full() {
    let (service, _) = service();
    let address = awx().await;
    let tenant = Scope::tenant(&TenantId::trusted("acme"));
    let browse = |page_token: &str, page_size| {
        let message = proto::BrowseTemplatesRequest {
            controller: controller(address),
            page_size,
            page_token: page_token.into(),
            ..Default::default()
        };
        asked(message, Permission::ControllersRead, tenant.clone())
    };
    let first = service.browse_templates(browse("", 1)).await.unwrap().into_inner();
    let second = service.browse_templates(browse(&first.next_page_token, 1)).await.unwrap().into_inner();
    assert_eq!(
        (first.templates[0].id, first.templates[0].kind(), second.templates[0].id, second.templates[0].kind()),
        (4, project::TemplateKind::Job, 5, project::TemplateKind::Workflow)
    );
    assert_eq!(second.next_page_token, "");
    assert_eq!(first.templates[0].prompts, ["limit"]);
    let listing = |name: &str, url: String| {
        Listing::of("controller templates", Some("acme")).filter("controller", name).filter("url", &url)
    };
    let url = controller(address).unwrap().url;
    let made_up = listing("main", url.clone()).token("job:-1");
    let foreign = listing("other", url).token("job:1");
    for token in ["x", &made_up, &foreign] {
        let refused = service.browse_templates(browse(token, 1)).await.unwrap_err();
        assert_eq!(reason(refused), (ErrorReason::ValidationFailed, vec!["/page_token".to_owned()]));
    }

    let describe = |id, kind| {
        let message =
            proto::DescribeTemplateRequest { controller: controller(address), kind, id, ..Default::default() };
        asked(message, Permission::TemplatesWrite, Scope::project(&TenantId::trusted("acme"), "web"))
    };
    let told = service.describe_template(describe(4, 1)).await.unwrap().into_inner().template.unwrap();
    assert_eq!((told.name.as_str(), told.fingerprint.len()), ("t4", 64));
    assert!(serde_json::from_str::<Value>(&told.fingerprint_parts_json).unwrap().is_object());
    assert!(serde_json::from_str::<Value>(&told.parameters_schema_json).unwrap().is_object());
    assert_eq!(
        reason(service.describe_template(describe(9, 1)).await.unwrap_err()),
        (ErrorReason::ControllerRefused, vec!["/id".to_owned()])
    );
    assert_eq!(reason(service.describe_template(describe(0, 1)).await.unwrap_err()).0, ErrorReason::ValidationFailed);
    assert_eq!(reason(service.describe_template(describe(4, 0)).await.unwrap_err()).0, ErrorReason::ValidationFailed);
}
