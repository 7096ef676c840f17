//! What one caller takes up is its own: streams, waits, calls, bytes.

use std::net::SocketAddr;

use axum::body::Body;
use http::Request;
use runwarden_edge::Config;
use runwarden_edge::listener::Peer;
use runwarden_edge::route_table::{LITTLE, Listener};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::support::{Answer, Edge, get};

const EVENTS: &str = "/api/v1/jobs/job_hangs/events";
const WAIT: &str = "/api/v1/jobs/job_hangs?wait=60";
const READ: &str = "/api/v1/jobs/job_1";

fn small() -> Config {
    Config { principal_streams: 2, tenant_streams: 3, max_streams: 4, ..Config::default() }
}

#[tokio::test]
async fn streams_and_waits_of_one_caller_are_refused_beyond_its_share_and_nobody_else_notices() {
    let edge = Edge::with(small());
    let open = async |tenant: &str, principal: &str, path: &str| edge.open(tenant, principal, path).await;
    let mut held = vec![open("acme", "sa_1", EVENTS).await, open("acme", "sa_1", EVENTS).await];
    assert!(held.iter().all(|response| response.status() == 200));
    for path in [EVENTS, WAIT] {
        let refused = Answer::of(open("acme", "sa_1", path).await).await;
        refused.problem(429, "TOO_MANY_STREAMS");
        assert_eq!(refused.header("retry-after"), "5", "{path}");
    }
    // Its calls go on, and so does a look at the same job without a wait.
    for path in [READ, "/api/v1/jobs/job_hangs", "/api/v1/jobs/job_hangs?wait=0"] {
        assert_eq!(open("acme", "sa_1", path).await.status(), 200, "{path}");
    }
    held.push(open("acme", "sa_2", EVENTS).await);
    Answer::of(open("acme", "sa_3", EVENTS).await).await.problem(429, "TOO_MANY_STREAMS");
    held.push(open("umbrella", "sa_4", EVENTS).await);
    assert!(held.iter().all(|response| response.status() == 200));
    Answer::of(open("other", "sa_5", EVENTS).await).await.problem(503, "UNAVAILABLE");
    assert_eq!(open("other", "sa_5", READ).await.status(), 200);
    // A stream whose reader has gone makes room at once.
    held.remove(0);
    held.push(open("acme", "sa_1", EVENTS).await);
    assert_eq!(held.last().unwrap().status(), 200);
}

#[tokio::test]
async fn a_wait_takes_a_place_as_long_as_it_lasts() {
    let edge = Edge::with(small());
    let both = [edge.open("acme", "sa_1", WAIT), edge.open("acme", "sa_1", WAIT)];
    let mut both = Box::pin(futures::future::join_all(both));
    assert!(futures::poll!(both.as_mut()).is_pending());
    // The gate has to verify a token before it counts: give both the time.
    while edge.open("acme", "sa_1", EVENTS).await.status() == 200 {
        assert!(futures::poll!(both.as_mut()).is_pending());
    }
    Answer::of(edge.open("acme", "sa_1", EVENTS).await).await.problem(429, "TOO_MANY_STREAMS");
    drop(both);
    assert_eq!(edge.open("acme", "sa_1", EVENTS).await.status(), 200);
}

#[tokio::test]
async fn calls_of_one_caller_that_hang_hold_up_nobody_else() {
    let edge = Edge::with(Config { principal_calls: 2, tenant_calls: 3, max_calls: 4, ..Config::default() });
    let token = edge.signer.token_of("acme", "sa_1", 60);
    let hang = || {
        let request = Request::post("/api/v1/jobs")
            .header("host", "edge.example")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Body::from(r#"{"template":"hangs"}"#))
            .unwrap();
        edge.router(Listener::Public).oneshot(request)
    };
    let mut hanging = Box::pin(futures::future::join_all([hang(), hang()]));
    while edge.open("acme", "sa_1", READ).await.status() == 200 {
        assert!(futures::poll!(hanging.as_mut()).is_pending());
    }
    let refused = Answer::of(edge.open("acme", "sa_1", READ).await).await;
    refused.problem(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(edge.open("umbrella", "sa_2", READ).await.status(), 200);
    drop(hanging);
    assert_eq!(edge.open("acme", "sa_1", READ).await.status(), 200);
}

/// A request to the token endpoint from an address.
fn token_request(from: [u8; 4], body: Body) -> Request<Body> {
    let mut request = Request::post("/api/v1/auth/token")
        .header("host", "edge.example")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .unwrap();
    request.extensions_mut().insert(Peer(SocketAddr::from((from, 4711))));
    request
}

#[tokio::test]
async fn unknown_callers_send_little() {
    let edge = Edge::new();
    for path in ["/api/v1/auth/token", "/api/v1/auth/introspect", "/api/v1/auth/revoke"] {
        let send = async |bytes: usize| {
            let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
            edge.send(request, "a".repeat(bytes)).await
        };
        send(LITTLE + 1).await.problem(413, "PAYLOAD_TOO_LARGE");
        assert_eq!(send(LITTLE).await.status, 401, "{path}");
        // The maximum of parameters that fit: refused before they are compared with each other.
        let many = (0..3000).map(|n| format!("{n}&")).collect::<String>();
        let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        let refused = edge.send(request, many).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["error"]), (400, &"invalid_request".into()), "{path}");
    }
    // A caller who is known may send more.
    let long = format!(r#"{{"template":"deploy-web","parameters":{{"text":"{}"}}}}"#, "a".repeat(2 * LITTLE));
    assert_eq!(edge.submit(&long).await.status, 202);
    // And no query makes us name thousands of parameters.
    let refused = edge.send(get(&format!("/api/v1/health/live?{}", "a&".repeat(3000))), "").await;
    refused.problem(400, "MALFORMED_REQUEST");
    assert!(refused.body.len() < 1000);
}

/// A body that has brought some bytes and does not end before it is let go.
fn unfinished(bytes: usize, mut held: watch::Receiver<()>) -> Body {
    use futures::StreamExt as _;
    let first = futures::stream::iter([Ok::<_, std::io::Error>("a".repeat(bytes))]);
    let rest = futures::stream::once(async move { held.changed().await.is_err() });
    Body::from_stream(first.chain(rest.map(|_| Ok(String::new()))))
}

#[tokio::test]
async fn bytes_in_flight_without_a_token_have_one_budget() {
    // Each address has an eighth: room for one body.
    let edge = Edge::with(Config { open_bytes: 8 * LITTLE, ..Config::default() });
    let send = |last: u8, body: Body| edge.router(Listener::Public).oneshot(token_request([192, 0, 2, last], body));
    let (let_go, held) = watch::channel(());
    let mut slow = Box::pin(futures::future::join_all((0..8).map(|n| send(n, unfinished(LITTLE, held.clone())))));
    // A caller that exceeds its share gets 429; when everything is in use, the others are asked to retry.
    let begun = async {
        loop {
            let answer = Answer::of(send(99, Body::from("a")).await.unwrap()).await;
            if answer.status != 401 {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    let full = tokio::select! {
        answer = begun => answer,
        _ = slow.as_mut() => panic!("they do not end"),
    };
    full.problem(503, "UNAVAILABLE");
    assert!(!full.header("retry-after").is_empty());
    Answer::of(send(0, Body::from("a")).await.unwrap()).await.problem(429, "RATE_LIMITED");
    // Callers with a token are not concerned, and health never is.
    assert_eq!(edge.submit(r#"{"template":"deploy-web"}"#).await.status, 202);
    assert_eq!(edge.send(get("/api/v1/health/live"), "").await.status, 200);
    drop(let_go);
    assert!(
        slow.await.into_iter().all(|response| response.unwrap().status() == 401),
        "and those are served in the end"
    );
    assert_eq!(Answer::of(send(99, Body::from("a")).await.unwrap()).await.status, 401);
}

#[tokio::test]
async fn a_repeat_says_that_it_is_one() {
    let edge = Edge::new();
    let first = edge.submit(r#"{"template":"deploy-web"}"#).await;
    assert_eq!((first.status.as_u16(), first.header("idempotency-replayed")), (202, ""));
    let repeat = edge.submit(r#"{"template":"repeated"}"#).await;
    assert_eq!((repeat.status.as_u16(), repeat.header("idempotency-replayed")), (202, "true"));
}
