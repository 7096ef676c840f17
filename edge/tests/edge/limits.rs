//! Shares, limits and rates on their way in and out.

use http::Request;
use runwarden_edge::route_table::Listener;
use runwarden_proto::project::v1 as proto;
use serde_json::{Value, json};

use crate::support::{Answer, Edge, get, post};

fn patch(path: &str) -> http::request::Builder {
    Request::patch(path).header("content-type", "application/json")
}

fn rate(jobs: i32, period_seconds: i64) -> Option<proto::StartRate> {
    Some(proto::StartRate { jobs, period_seconds })
}

async fn admin(edge: &Edge, request: http::request::Builder, body: &Value) -> Answer {
    edge.call_on(Listener::Admin, request, body.to_string()).await
}

/// An edge with a project service that has one of each, with limits or without.
fn edge(limited: bool) -> Edge {
    let edge = Edge::new();
    let rate = if limited { rate(10, 3600) } else { None };
    let tenant = proto::Tenant {
        name: "acme".into(),
        share: if limited { 2 } else { 1 },
        max_queued: if limited { 500 } else { 0 },
        principal_max_concurrent: if limited { 5 } else { 0 },
        principal_rate: rate,
        ..proto::Tenant::default()
    };
    let controller = proto::Controller {
        name: "awx".into(),
        max_concurrent: if limited { 20 } else { 0 },
        rate,
        ..proto::Controller::default()
    };
    let template = proto::Template {
        name: "deploy".into(),
        kind: proto::TemplateKind::Job.into(),
        rate,
        max_queued: if limited { 100 } else { 0 },
        max_wait_seconds: if limited { 3600 } else { 0 },
        ..proto::Template::default()
    };
    let (tenant, controller, template) = (Some(tenant), Some(controller), Some(template));
    edge.project.answer("CreateTenant", &proto::CreateTenantResponse { tenant: tenant.clone() });
    edge.project.answer("GetTenant", &proto::GetTenantResponse { tenant: tenant.clone() });
    edge.project.answer("UpdateTenant", &proto::UpdateTenantResponse { tenant });
    edge.project.answer("CreateController", &proto::CreateControllerResponse { controller: controller.clone() });
    edge.project.answer("GetController", &proto::GetControllerResponse { controller: controller.clone() });
    edge.project.answer("UpdateController", &proto::UpdateControllerResponse { controller });
    edge.project.answer("CreateTemplate", &proto::CreateTemplateResponse { template: template.clone() });
    edge.project.answer("GetTemplate", &proto::GetTemplateResponse { template: template.clone() });
    edge.project.answer("UpdateTemplate", &proto::UpdateTemplateResponse { template });
    edge
}

#[tokio::test]
async fn limits_are_shown_and_a_rate_only_where_there_is_one() {
    let (limited, free) = (edge(true), edge(false));
    let rate = json!({"jobs": 10, "period_seconds": 3600});
    for (path, names, values, rated) in [
        (
            "/api/v1/tenants/acme",
            vec!["share", "max_queued", "principal_max_concurrent"],
            vec![(2, 1), (500, 0), (5, 0)],
            "principal_rate",
        ),
        ("/api/v1/controllers/awx", vec!["max_concurrent"], vec![(20, 0)], "rate"),
        ("/api/v1/templates/deploy", vec!["max_queued", "max_wait_seconds"], vec![(100, 0), (3600, 0)], "rate"),
    ] {
        let with = limited.call_on(Listener::Admin, get(path), "").await.json();
        let without = free.call_on(Listener::Admin, get(path), "").await.json();
        for (name, (set, unset)) in names.into_iter().zip(values) {
            assert_eq!((&with[name], &without[name]), (&json!(set), &json!(unset)), "{path} {name}");
        }
        assert_eq!((with.get(rated), without.get(rated)), (Some(&rate), None), "{path}");
    }
}

#[tokio::test]
async fn what_is_made_with_limits_is_made_with_them() {
    let edge = edge(true);
    let rate_json = json!({"jobs": 10, "period_seconds": 3600});
    let mut tenant = json!({"name": "acme", "share": 2, "max_queued": 500, "principal_max_concurrent": 5});
    tenant["principal_rate"] = rate_json.clone();
    assert_eq!(admin(&edge, post("/api/v1/tenants"), &tenant).await.status, 201);
    let asked: proto::CreateTenantRequest = edge.project.asked("CreateTenant");
    assert_eq!((asked.share, asked.max_queued, asked.principal_max_concurrent), (2, 500, 5));
    assert_eq!(asked.principal_rate, rate(10, 3600));

    let mut controller = json!({"name": "awx", "url": "https://awx.example", "credential": {"token": "t"}});
    (controller["max_concurrent"], controller["rate"]) = (json!(20), rate_json.clone());
    assert_eq!(admin(&edge, post("/api/v1/controllers"), &controller).await.status, 201);
    let asked: proto::CreateControllerRequest = edge.project.asked("CreateController");
    assert_eq!((asked.max_concurrent, asked.rate), (20, rate(10, 3600)));

    let mut template = json!({
        "name": "deploy", "project": "web", "controller": "awx", "controller_template": {"kind": "job", "id": 7},
        "parameters": "import", "max_concurrent": 2, "max_duration_seconds": 60, "max_queued": 100,
        "max_wait_seconds": 3600,
    });
    template["rate"] = rate_json;
    assert_eq!(admin(&edge, post("/api/v1/templates"), &template).await.status, 201);
    let asked: proto::CreateTemplateRequest = edge.project.asked("CreateTemplate");
    assert_eq!((asked.max_concurrent, asked.max_duration_seconds), (2, 60));
    assert_eq!((asked.max_queued, asked.max_wait_seconds, asked.rate), (100, 3600, rate(10, 3600)));
}

#[tokio::test]
async fn what_is_not_given_stays_and_null_takes_a_rate_away() {
    let edge = edge(false);
    let no_jobs = json!({"jobs": 0, "period_seconds": 60});
    admin(&edge, patch("/api/v1/tenants/acme"), &json!({"share": 3})).await;
    let asked: proto::UpdateTenantRequest = edge.project.asked("UpdateTenant");
    assert_eq!((asked.share, asked.max_queued, asked.principal_max_concurrent), (Some(3), None, None));
    assert_eq!(asked.principal_rate, None);
    admin(&edge, patch("/api/v1/tenants/acme"), &json!({"principal_rate": null})).await;
    let asked: proto::UpdateTenantRequest = edge.project.asked("UpdateTenant");
    assert_eq!((asked.share, asked.principal_rate), (None, rate(0, 0)));

    admin(&edge, patch("/api/v1/controllers/awx"), &json!({"max_concurrent": 0})).await;
    let asked: proto::UpdateControllerRequest = edge.project.asked("UpdateController");
    assert_eq!((asked.max_concurrent, asked.rate, asked.credential), (Some(0), None, None));
    admin(&edge, patch("/api/v1/controllers/awx"), &json!({"rate": no_jobs})).await;
    let asked: proto::UpdateControllerRequest = edge.project.asked("UpdateController");
    assert_eq!((asked.max_concurrent, asked.rate), (None, rate(0, 60)));

    admin(&edge, patch("/api/v1/templates/deploy"), &json!({"max_queued": 7, "max_wait_seconds": 0})).await;
    let asked: proto::UpdateTemplateRequest = edge.project.asked("UpdateTemplate");
    assert_eq!((asked.max_queued, asked.max_wait_seconds, asked.rate), (Some(7), Some(0), None));
    admin(&edge, patch("/api/v1/templates/deploy"), &json!({"rate": {"jobs": 1, "period_seconds": 2}})).await;
    let asked: proto::UpdateTemplateRequest = edge.project.asked("UpdateTemplate");
    assert_eq!((asked.max_queued, asked.rate), (None, rate(1, 2)));
}

#[tokio::test]
async fn a_share_of_nothing_is_refused_before_it_could_mean_the_usual_one() {
    let edge = edge(false);
    let refused = admin(&edge, post("/api/v1/tenants"), &json!({"name": "acme", "share": 0})).await;
    assert_eq!(refused.problem(422, "VALIDATION_FAILED")["errors"][0]["pointer"], "/share");
}
