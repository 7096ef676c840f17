//! The way of a job, as one trace.

use std::collections::BTreeSet;

use runwarden_harness::jobs::text;
use runwarden_harness::{Settings, until};

use crate::collector::Span;
use crate::walk::{CALLER, REQUEST, TRACE, Walk};

fn settings() -> Settings {
    Settings::new(env!("CARGO_BIN_EXE_runwarden"))
}

/// The spans of the trace, once those that end last are there.
async fn whole(walk: &Walk) -> Vec<Span> {
    until("the trace to be whole", async || {
        let spans = walk.collector.of_trace(TRACE);
        let ended = |name: &str| spans.iter().any(|span| span.name == name);
        (ended("POST /api/v1/jobs") && ended("POST /api/v1/auth/token") && ended("executor/launch")).then_some(spans)
    })
    .await
}

fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let names = || spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>();
    let span = found.next().unwrap_or_else(|| panic!("no span {name} in {:?}", names()));
    assert!(found.next().is_none(), "more than one span {name}");
    span
}

#[tokio::test]
async fn a_job_is_one_trace_from_the_caller_to_the_controller() {
    let walk = Walk::take(settings()).await;
    let spans = whole(&walk).await;
    let known: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    for span in &spans {
        assert!(span.parent == CALLER || known.contains(span.parent.as_str()), "an orphan: {span:?}");
        walk.keeps_secrets("a span", &span.text);
    }
    // The way of the submission, step by step, and that of its launch below it.
    for (child, parent) in [
        ("auth/TokenService/IssueToken", "POST /api/v1/auth/token"),
        ("executor/JobService/SubmitJob", "POST /api/v1/jobs"),
        ("project/TemplateService/ResolveTemplate", "executor/JobService/SubmitJob"),
        ("secret/SecretService/SealValue", "executor/JobService/SubmitJob"),
        // Without policies the executor decides by itself, once it has heard that there are none.
        ("policy/DecisionService/GetPolicySet", "executor/JobService/SubmitJob"),
        ("executor/launch", "executor/JobService/SubmitJob"),
        ("secret/SecretService/ReadSecret", "executor/launch"),
        ("secret/SecretService/OpenValue", "executor/launch"),
        ("audit/AuditService/AppendEntries", "secret/SecretService/ReadSecret"),
        ("awx.read_template", "executor/launch"),
        ("awx.launch", "executor/launch"),
        ("controller request", "awx.launch"),
    ] {
        let joined = spans.iter().any(|span| {
            span.name == child && spans.iter().any(|above| above.id == span.parent && above.name == parent)
        });
        assert!(joined, "{child} does not stand below {parent}: {:#?}", names(&spans));
    }
    for name in ["POST /api/v1/jobs", "POST /api/v1/auth/token"] {
        assert_eq!(one(&spans, name).parent, CALLER, "{name}");
    }
    is_told_whose_it_is(&walk, &spans);
    asks_the_controller(&spans);
}

fn names(spans: &[Span]) -> Vec<String> {
    let above = |span: &Span| spans.iter().find(|s| s.id == span.parent).map_or("(caller)", |s| s.name.as_str());
    spans.iter().map(|span| format!("{} < {}", span.name, above(span))).collect()
}

/// Tenant, principal, request and job stand where they are known.
fn is_told_whose_it_is(walk: &Walk, spans: &[Span]) {
    let principal = text(&walk.job, "requested_by");
    for name in ["POST /api/v1/jobs", "executor/JobService/SubmitJob", "executor/launch"] {
        let span = one(spans, name);
        assert_eq!(span.get("tenant"), "acme", "{span:?}");
        assert_eq!(span.get("principal"), principal, "{span:?}");
        assert_eq!(span.get("request_id"), REQUEST, "{span:?}");
        assert_eq!(span.get("trace_id"), TRACE, "{span:?}");
    }
    for name in ["executor/JobService/SubmitJob", "executor/launch"] {
        assert_eq!(one(spans, name).get("job"), walk.id(), "{name}");
    }
    for span in spans.iter().filter(|span| span.name.contains("Service/")) {
        assert_eq!(span.get("service"), span.name.split('/').next().unwrap(), "{span:?}");
        assert!(!span.get("request_id").is_empty() && !span.get("peer").is_empty(), "{span:?}");
        assert_eq!(span.get("code"), "Ok", "{span:?}");
    }
    assert_eq!(text(&walk.job, "trace_id"), TRACE);
    assert_eq!(text(&walk.job, "request_id"), REQUEST);
}

fn asks_the_controller(spans: &[Span]) {
    let launch = one(spans, "awx.launch");
    let post = spans.iter().find(|span| span.name == "controller request" && span.parent == launch.id).unwrap();
    assert_eq!((post.get("http.request.method"), post.get("http.response.status_code")), ("POST", "201"), "{post:?}");
    assert!(post.get("url.path").ends_with("/launch/"), "{post:?}");
}

#[tokio::test]
async fn what_is_too_much_for_the_log_is_not_too_much_for_the_trace() {
    let walk = Walk::take(settings().set("RUNWARDEN_LOG", "warn")).await;
    let spans = whole(&walk).await;
    for name in ["POST /api/v1/jobs", "executor/JobService/SubmitJob", "executor/launch", "awx.launch"] {
        let _there = one(&spans, name);
    }
    assert!(!walk.system.log().contains(r#""level":"INFO""#));
}

#[tokio::test]
async fn what_services_ask_each_other_for_nobody_begins_no_trace() {
    let walk = Walk::take(settings()).await;
    let _spans = whole(&walk).await;
    // By now every service has asked for the trust state several times, and runs have been followed.
    let all = walk.collector.all();
    let roots = all.iter().filter(|span| span.parent.is_empty());
    for root in roots {
        assert!(root.name.starts_with("POST ") || root.name.starts_with("GET "), "{root:?}");
    }
    assert!(!all.iter().any(|span| span.name.ends_with("GetTrustState") && span.parent.is_empty()));
}
