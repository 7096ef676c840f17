use std::time::Duration;

use http::{Method, Request};
use runwarden_edge::Config;
use runwarden_edge::route_table::Listener;

use crate::support::{Edge, get, post};

#[tokio::test]
async fn every_answer_has_an_id_and_security_headers() {
    let edge = Edge::new();
    for path in ["/api/v1/health/live", "/api/v1/jobs", "/nothing"] {
        let answer = edge.send(get(path).header("x-request-id", "mine-1"), "").await;
        assert_eq!(answer.header("x-request-id"), "mine-1", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        assert!(answer.header("strict-transport-security").starts_with("max-age="), "the public URL is https");
        assert!(answer.headers.get("server").is_none());
    }
    let made = edge.send(get("/api/v1/health/live").header("x-request-id", "not sane!"), "").await;
    assert!(made.header("x-request-id").starts_with("req_"));
}

#[tokio::test]
async fn without_a_valid_token_nobody_gets_in() {
    let edge = Edge::new();
    let nothing = edge.send(get("/api/v1/jobs"), "").await;
    nothing.problem(401, "UNAUTHENTICATED");
    assert_eq!(nothing.header("www-authenticate"), "Bearer realm=\"runwarden\"");

    let good = edge.signer.token(60);
    let (head, rest) = good.split_once('.').unwrap();
    let (claims, _) = rest.split_once('.').unwrap();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    for bad in ["x".to_owned(), format!("{none}.{claims}."), format!("{head}.{claims}.AAAA"), format!("{good}x")] {
        let answer = edge.send(get("/api/v1/jobs").header("authorization", format!("Bearer {bad}")), "").await;
        answer.problem(401, "UNAUTHENTICATED");
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{bad}");
    }
    let expired = edge.signer.token(-60);
    let answer = edge.send(get("/api/v1/jobs").header("authorization", format!("Bearer {expired}")), "").await;
    answer.problem(401, "TOKEN_EXPIRED");
    assert_eq!(edge.app.refusals.take().iter().map(|counted| counted.count).sum::<u64>(), 6);
}

#[tokio::test]
async fn what_is_not_on_this_listener_does_not_exist_on_it() {
    let edge = Edge::new();
    edge.call(get("/api/v1/tenants"), "").await.problem(404, "NOT_FOUND");
    edge.call(get("/api/v1/nothing"), "").await.problem(404, "NOT_FOUND");
    let answer = edge.call(Request::delete("/api/v1/templates/x"), "").await;
    answer.problem(405, "METHOD_NOT_ALLOWED");
    assert_eq!(answer.header("allow"), "GET, HEAD");
    let odd = Request::builder().method(Method::from_bytes(b"BREW").unwrap()).uri("/api/v1/jobs");
    edge.call(odd, "").await.problem(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn paths_with_tricks_in_them_name_nothing() {
    let edge = Edge::new();
    for path in ["a%2Fb", "..%2f..", "a.b", "%00", "%ff", "A%20B", "job_1%0d%0aX:%201"] {
        edge.call(get(&format!("/api/v1/jobs/{path}")), "").await.problem(404, "NOT_FOUND");
        let named = edge.call(get(&format!("/api/v1/templates/{path}")), "").await.problem(422, "VALIDATION_FAILED");
        assert_eq!(named["errors"][0]["pointer"], "/name", "{path}");
        assert!(named["errors"][0]["detail"].as_str().unwrap().contains("lower-case letters"), "{named}");
    }
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let edge = Edge::new();
    edge.submit("{").await.problem(400, "MALFORMED_REQUEST");
    edge.submit("").await.problem(400, "MALFORMED_REQUEST");
    edge.submit(r#"{"template":"a","template":"b"}"#).await.problem(400, "MALFORMED_REQUEST");
    edge.submit(&format!(r#"{{"template":"a","parameters":{{"x":{}1{}}}}}"#, "[".repeat(10_000), "]".repeat(10_000)))
        .await
        .problem(400, "MALFORMED_REQUEST");
    edge.submit(r#"{"template":"a","parameters":{"n":1e999}}"#).await.problem(400, "MALFORMED_REQUEST");
    let invalid = edge.call(post("/api/v1/jobs"), b"{\"template\":\"\xff\"}".to_vec()).await;
    invalid.problem(400, "MALFORMED_REQUEST");

    let unknown = edge.submit(r#"{"template":"a","limit":"*"}"#).await.problem(422, "VALIDATION_FAILED");
    assert_eq!(unknown["errors"][0]["pointer"], "/limit");
    let nul = edge.submit(r#"{"template":"a","parameters":{"a":["\u0000"]}}"#).await.problem(422, "VALIDATION_FAILED");
    assert_eq!(nul["errors"][0]["pointer"], "/parameters/a/0");
    let missing = edge.submit("{}").await.problem(422, "VALIDATION_FAILED");
    assert_eq!(missing["errors"][0]["pointer"], "/template");
    edge.submit(r#"["template"]"#).await.problem(422, "VALIDATION_FAILED");
    assert!(edge.jobs.submitted.lock().unwrap().is_empty(), "nothing half-done");
}

#[tokio::test]
async fn a_body_that_is_too_large_or_of_another_kind_is_refused() {
    let edge = Edge::new();
    let large = format!(r#"{{"template":"{}"}}"#, "a".repeat(2 * 1024 * 1024));
    edge.submit(&large).await.problem(413, "PAYLOAD_TOO_LARGE");
    let text = Request::post("/api/v1/jobs").header("content-type", "text/plain");
    edge.call(text, r#"{"template":"a"}"#).await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    edge.call(Request::post("/api/v1/jobs"), r#"{"template":"a"}"#).await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    let zipped = post("/api/v1/jobs").header("content-encoding", "gzip");
    edge.call(zipped, "x").await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test]
async fn query_and_headers_are_read_strictly() {
    let edge = Edge::new();
    for (query, pointer) in [("wait=61", "/wait"), ("wait=-1", "/wait"), ("what=1", "/what")] {
        let problem =
            edge.call(get(&format!("/api/v1/jobs/job_1?{query}")), "").await.problem(422, "VALIDATION_FAILED");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    edge.call(get("/api/v1/jobs?template=%zz"), "").await.problem(400, "MALFORMED_REQUEST");
    edge.call(get("/api/v1/jobs?page_size=201"), "").await.problem(422, "VALIDATION_FAILED");
    edge.call(get("/api/v1/jobs").header("x-tenant", "a/b"), "").await.problem(422, "VALIDATION_FAILED");
    let keyed = post("/api/v1/jobs").header("idempotency-key", "with space");
    edge.call(keyed, r#"{"template":"a"}"#).await.problem(422, "VALIDATION_FAILED");
}

#[tokio::test]
async fn a_panic_is_a_500_with_an_id_and_nothing_else() {
    let answer = Edge::new().submit(r#"{"template":"panics"}"#).await;
    let problem = answer.problem(500, "INTERNAL");
    assert!(problem["error_id"].as_str().unwrap().starts_with("err_"));
    assert!(!problem.to_string().contains("on purpose"));
}

#[tokio::test]
async fn a_refusal_of_a_service_keeps_its_reason_and_pointers() {
    let edge = Edge::new();
    edge.submit(r#"{"template":"denied"}"#).await.problem(403, "PERMISSION_DENIED");
    let wrong = edge.submit(r#"{"template":"wrong"}"#).await.problem(422, "VALIDATION_FAILED");
    assert_eq!(wrong["errors"][0]["pointer"], "/parameters/environment");
    edge.call(get("/api/v1/jobs/job_2"), "").await.problem(404, "NOT_FOUND");
    edge.call(post("/api/v1/jobs/job_1/cancel"), "").await.problem(409, "JOB_FINISHED");
}

#[tokio::test]
async fn a_failure_behind_the_edge_shows_nothing_of_itself() {
    let edge = Edge::new();
    let foreign = edge.submit(r#"{"template":"foreign"}"#).await;
    assert!(!foreign.problem(500, "INTERNAL").to_string().contains("10.0.0.7"));
    let away = edge.call(get("/api/v1/templates"), "").await;
    assert!(!away.problem(503, "UNAVAILABLE").to_string().contains("10.0.0.7"));
    assert!(!away.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let edge = Edge::with(Config { request_timeout: Duration::from_millis(50), ..Config::default() });
    edge.submit(r#"{"template":"hangs"}"#).await.problem(504, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn rates_are_told_and_kept() {
    let edge = Edge::with(Config { principal_rate: 1, principal_burst: 2, ..Config::default() });
    let first = edge.call(get("/api/v1/jobs"), "").await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), "\"address\";q=200;w=2, \"principal\";q=2;w=2");
    assert!(first.header("ratelimit").contains("\"principal\";r=1;t=1"), "{}", first.header("ratelimit"));
    edge.call(get("/api/v1/jobs"), "").await;
    let over = edge.call(get("/api/v1/jobs"), "").await;
    let problem = over.problem(429, "RATE_LIMITED");
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["violated-policies"][0], "principal");
    assert!(over.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(over.header("ratelimit").contains("\"principal\";r=0"));
    assert_eq!(edge.send(get("/api/v1/health/live"), "").await.status, 200, "others are not held up");
}

#[tokio::test]
async fn an_address_is_limited_whatever_identity_it_claims() {
    let edge = Edge::with(Config { address_rate: 1, address_burst: 1, ..Config::default() });
    assert_eq!(edge.send(get("/api/v1/health/live"), "").await.status, 200);
    let spoofed = get("/api/v1/health/live").header("x-forwarded-for", "198.51.100.7");
    edge.send(spoofed, "").await.problem(429, "RATE_LIMITED");
}

#[tokio::test]
async fn a_foreign_sender_beyond_a_limit_is_asked_to_come_back_and_not_refused_for_good() {
    // Its address has used up its rate.
    let edge = Edge::with(Config { address_rate: 1, address_burst: 1, ..Config::default() });
    assert_eq!(edge.send(get("/api/v1/health/live"), "").await.status, 200);
    let over = edge.send(Request::post("/webhook/acme/alerts"), "{}").await;
    assert_eq!(over.problem(503, "RATE_LIMITED")["status"], 503);
    assert!(over.header("retry-after").parse::<u64>().unwrap() >= 1);
    // Its address has as many bytes on their way as it may have.
    let edge = Edge::with(Config { body_bytes: 8, ..Config::default() });
    let over = edge.send(Request::post("/webhook/acme/alerts"), "{\"a\":1}").await;
    over.problem(503, "RATE_LIMITED");
    assert_eq!(over.header("retry-after"), "1");
}

#[tokio::test]
async fn cors_is_off_unless_configured() {
    let preflight = || {
        Request::builder()
            .method(Method::OPTIONS)
            .uri("/api/v1/jobs")
            .header("origin", "https://portal.example")
            .header("access-control-request-method", "POST")
    };
    let off = Edge::new().send(preflight(), "").await;
    assert_eq!((off.status.as_u16(), off.header("allow")), (204, "POST, GET, HEAD"));
    assert!(off.headers.get("access-control-allow-origin").is_none());
    let origins = vec!["https://portal.example".to_owned()];
    let on = Edge::with(Config { cors_origins: origins, ..Config::default() }).send(preflight(), "").await;
    assert_eq!(on.status, 200);
    assert_eq!(on.header("access-control-allow-origin"), "https://portal.example");
}

#[tokio::test]
async fn what_is_missing_is_named_and_life_does_not_depend_on_it() {
    let edge = Edge::new();
    assert_eq!(edge.send(get("/api/v1/health/live"), "").await.json()["status"], "live");
    for path in ["/api/v1/health/ready", "/health"] {
        let problem = edge.send(get(path), "").await.problem(503, "UNAVAILABLE");
        assert!(problem["missing"].as_array().unwrap().iter().any(|name| name == "secret"), "{problem}");
    }
    edge.shutdown.begin();
    let problem = edge.send(get("/health"), "").await.problem(503, "UNAVAILABLE");
    assert_eq!(problem["missing"][0], "edge");
}

#[tokio::test]
async fn oauth_refusals_are_in_the_words_of_the_rfc() {
    let edge = Edge::new();
    let form = || Request::post("/api/v1/auth/token").header("content-type", "application/x-www-form-urlencoded");
    for (body, error, status) in [
        ("grant_type=client_credentials", "invalid_client", 401),
        ("client_id=a&client_secret=b", "invalid_request", 400),
        ("grant_type=password&client_id=a&client_secret=b", "unsupported_grant_type", 400),
        ("grant_type=x&grant_type=y&client_id=a&client_secret=b", "invalid_request", 400),
    ] {
        let answer = edge.send(form(), body).await;
        assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str().unwrap()), (status, error), "{body}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
    }
    edge.send(form(), "grant_type=client_credentials&client_id=a&client_secret=b").await.problem(503, "UNAVAILABLE");
    edge.send(post("/api/v1/auth/token"), "{}").await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test]
async fn the_admin_listener_serves_what_the_public_one_hides() {
    use tower::ServiceExt as _;
    let edge = Edge::new();
    let token = edge.signer.token(60);
    let request = get("/api/v1/tenants").header("authorization", format!("Bearer {token}")).header("host", "a");
    let router = edge.router(Listener::Admin);
    let answer = router.oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 503, "it is there; the service behind it is not");
}
