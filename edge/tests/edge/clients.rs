//! Clients as they are: what generated clients, browsers' polyfills, shells and AWX's users send.

use http::{Method, Request};
use runwarden_edge::Config;

use crate::support::{Edge, get, post};

#[tokio::test]
async fn accept_turns_nobody_away() {
    let edge = Edge::new();
    *edge.jobs.output.lock().unwrap() = vec!["one\n".into()];
    for accept in ["application/problem+json", "application/json", "text/html", "*/*;q=0", "image/png", "nonsense", ""]
    {
        for (path, kind) in [
            ("/api/v1/jobs/job_1/output", "text/plain; charset=utf-8"),
            ("/api/v1/jobs/job_1/events", "text/event-stream; charset=utf-8"),
            ("/api/v1/jobs/job_1", "application/json"),
        ] {
            let answer = edge.call(get(path).header("accept", accept), "").await;
            assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, kind), "{accept} {path}");
        }
    }
}

#[tokio::test]
async fn a_stream_is_resumed_by_its_query_too() {
    let edge = Edge::new();
    let ids = async |request: http::request::Builder| {
        let answer = edge.call(request, "").await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let events = "/api/v1/jobs/job_1/events";
    assert_eq!(ids(get(&format!("{events}?lastEventId=2"))).await, ["3"]);
    assert_eq!(ids(get(&format!("{events}?lastEventId="))).await, ["1", "2", "3"]);
    // A browser that comes back by itself adds the header to the address it began with.
    assert_eq!(ids(get(&format!("{events}?lastEventId=1")).header("last-event-id", "2")).await, ["3"]);
    let odd = edge.call(get(&format!("{events}?lastEventId=x")), "").await.problem(422, "VALIDATION_FAILED");
    assert_eq!(odd["errors"][0]["pointer"], "/lastEventId");
    let done = edge.call(get(&format!("{events}?lastEventId=3")), "").await;
    assert_eq!((done.status.as_u16(), done.body.len()), (204, 0));
}

#[tokio::test]
async fn a_slash_at_the_end_is_served_and_one_in_between_is_named() {
    let edge = Edge::new();
    assert_eq!(edge.call(get("/api/v1/jobs/?page_size=2"), "").await.status, 200);
    assert_eq!(edge.call(get("/api/v1/jobs/job_1/"), "").await.json()["state"], "succeeded");
    let submitted = edge.call(post("/api/v1/jobs/"), r#"{"template":"deploy-web"}"#).await;
    assert_eq!(submitted.status, 202, "a POST stays a POST");
    assert_eq!(edge.send(get("/docs/"), "").await.status, 200);
    for (path, meant) in [
        ("//api/v1/jobs", "/api/v1/jobs"),
        ("/api//v1/jobs", "/api/v1/jobs"),
        ("/api/v1/jobs//output", "/api/v1/jobs/output"),
        ("/api/v1/jobs//", "/api/v1/jobs"),
    ] {
        let problem = edge.call(get(path), "").await.problem(404, "NOT_FOUND");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("Write {meant} if")), "{problem}");
    }
    edge.call(get("/api/v1/tenants/"), "").await.problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn the_root_leads_to_the_page() {
    let edge = Edge::new();
    let answer = edge.send(get("/"), "").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (307, "/docs/"));
    edge.send(Request::post("/"), "").await.problem(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn forms_and_json_are_read_whatever_charset_their_client_adds() {
    let edge = Edge::new();
    for charset in ["utf-8", "UTF8", "ISO-8859-1", "us-ascii", "\"windows-1252\""] {
        let json = Request::post("/api/v1/jobs").header("content-type", format!("application/json; charset={charset}"));
        assert_eq!(edge.call(json, r#"{"template":"deploy-web"}"#).await.status, 202, "{charset}");
        let form = format!("application/x-www-form-urlencoded;charset={charset}");
        let form = Request::post("/api/v1/auth/token").header("content-type", form);
        let answer = edge.send(form, "grant_type=password&client_id=a&client_secret=b").await;
        assert_eq!(answer.json()["error"], "unsupported_grant_type", "it was read: {charset}");
    }
    let latin = Request::post("/api/v1/jobs").header("content-type", "application/json; charset=ISO-8859-1");
    edge.call(latin, b"{\"template\":\"\xfc\"}".to_vec()).await.problem(400, "MALFORMED_REQUEST");
}

#[tokio::test]
async fn json_may_begin_with_a_byte_order_mark() {
    let edge = Edge::new();
    assert_eq!(edge.submit("\u{feff}{\"template\":\"deploy-web\"}").await.status, 202);
    edge.submit("\u{feff}\u{feff}{\"template\":\"deploy-web\"}").await.problem(400, "MALFORMED_REQUEST");
}

#[tokio::test]
async fn options_names_the_methods_of_this_listener() {
    let edge = Edge::new();
    let options = |path: &str| Request::builder().method(Method::OPTIONS).uri(path);
    let answer = edge.send(options("/api/v1/templates/x"), "").await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (204, "GET, HEAD"));
    edge.send(options("/api/v1/tenants"), "").await.problem(404, "NOT_FOUND");
    let limited = Edge::with(Config { address_rate: 1, address_burst: 1, ..Config::default() });
    assert_eq!(limited.send(options("/api/v1/jobs"), "").await.status, 204);
    limited.send(options("/api/v1/jobs"), "").await.problem(429, "RATE_LIMITED");
}

#[tokio::test]
async fn head_answers_as_get_does_without_a_body() {
    let edge = Edge::new();
    for path in ["/api/v1/jobs/job_1", "/api/v1/jobs/job_1/", "/api/v1/jobs/job_1/output", "/docs/", "/"] {
        let (got, head) = (edge.call(get(path), "").await, edge.call(Request::head(path), "").await);
        assert_eq!((head.status, head.body.len()), (got.status, 0), "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"), "{path}");
    }
}
