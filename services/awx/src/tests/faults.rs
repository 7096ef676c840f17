//! Everything that may stand where a controller's answer belongs, for every call.

use futures::future::BoxFuture;
use time::macros::datetime;

use super::wire::{Then, Wire};
use super::*;

const JOB: RunRef = RunRef { kind: RunKind::Job, id: 4 };
const WORKFLOW: RunRef = RunRef { kind: RunKind::Workflow, id: 4 };

type Call = (&'static str, fn(&Client) -> BoxFuture<'_, Result<(), AwxError>>);

fn search() -> Search {
    let from = datetime!(2026-11-22 06:00:00 UTC);
    Search { template: 9, account: 7, created_from: from, looked_from: from }
}

/// Every reading call.
fn reads() -> Vec<Call> {
    vec![
        ("who_am_i", |client| Box::pin(async { client.who_am_i().await.map(drop) })),
        ("templates", |client| Box::pin(async { client.templates(None, 5).await.map(drop) })),
        ("template", |client| Box::pin(async { client.template(TemplateKind::Job, 9).await.map(drop) })),
        ("workflow template", |client| Box::pin(async { client.template(TemplateKind::Workflow, 9).await.map(drop) })),
        ("runs", |client| Box::pin(async { client.runs(&[JOB]).await.map(drop) })),
        ("run", |client| Box::pin(async { client.run(JOB).await.map(drop) })),
        ("find", |client| Box::pin(async { client.find(4).await.map(drop) })),
        ("search", |client| Box::pin(async { client.search(&search(), |_| ()).await.map(drop) })),
        ("events_finished", |client| Box::pin(async { client.events_finished(JOB).await.map(drop) })),
        ("live output", |client| Box::pin(output(client, JOB, Stage::Following))),
        ("output", |client| Box::pin(output(client, JOB, Stage::Ended))),
        ("workflow output", |client| Box::pin(output(client, WORKFLOW, Stage::Ended))),
    ]
}

async fn output(client: &Client, run: RunRef, stage: Stage) -> Result<(), AwxError> {
    client.output(run, &OutputCursor::default(), stage, 1000).await.map(drop)
}

/// What every call makes of an answer. Each asks for one thing, or for two at a time, and follows nothing.
async fn each(answer: impl Fn() -> Response + Send + Sync + Clone + 'static, check: impl Fn(&str, AwxError)) {
    let cancel: Call = ("cancel", |client| Box::pin(async { client.cancel(JOB).await.map(drop) }));
    for (name, call) in reads().into_iter().chain([cancel]) {
        let answer = answer.clone();
        let stub = Stub::start(move |_| answer()).await;
        match call(&stub.client()).await {
            Ok(()) => panic!("{name}: taken for an answer"),
            Err(error) => check(name, error),
        }
        let seen = stub.seen();
        assert!(seen.len() <= 2 && seen.iter().all(|seen| seen.path.starts_with("/api/v2/")), "{name}: {seen:?}");
    }
}

/// An error that says: this, now; nothing about the controller.
fn one_request_only(error: &AwxError) -> bool {
    !error.is_outage() && !error.is_credential()
}

#[tokio::test]
async fn a_credential_that_is_not_accepted_is_told_by_every_call() {
    let answer = || json_answer(401, &json!({"detail": "Authentication credentials were not provided."}));
    each(answer, |name, error| {
        assert_eq!(error, AwxError::Unauthorized, "{name}");
        assert!(error.is_credential() && !error.is_outage());
    })
    .await;
    each(|| html(401), |name, error| assert_eq!(error, AwxError::Unauthorized, "{name}")).await;
}

#[tokio::test]
async fn what_is_forbidden_says_nothing_about_the_controller() {
    let forbidden = || json_answer(403, &json!({"detail": "You do not have permission to perform this action."}));
    each(forbidden, |name, error| {
        assert!(matches!(error, AwxError::Forbidden { .. }) && one_request_only(&error), "{name}: {error:?}");
    })
    .await;
    // An address that is too long for a proxy says nothing about shorter ones.
    each(
        || html(414),
        |name, error| {
            assert!(error == AwxError::InFront { status: 414 } && one_request_only(&error), "{name}: {error:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn what_somebody_in_front_says_is_an_outage_and_no_refusal() {
    for status in [400, 403, 405, 406, 408, 413, 415, 418, 451] {
        for answer in [html, gateway] {
            each(
                move || answer(status),
                move |name, error| {
                    assert_eq!(error, AwxError::InFront { status }, "{name}");
                    assert!(error.is_outage() && !error.is_refusal() && !error.is_credential(), "{name}");
                },
            )
            .await;
        }
    }
    each(|| gateway(404), |name, error| assert!(error.is_outage() && !error.is_refusal(), "{name}: {error:?}")).await;
    each(|| gateway(401), |name, error| assert_eq!(error, AwxError::Unauthorized, "{name}")).await;
}

#[tokio::test]
async fn whoever_wants_fewer_requests_is_left_alone_for_as_long_as_they_ask() {
    for (asked, honoured) in [
        ("120", Some(120)),
        ("86400", Some(3600)),
        // A time of day counts from the answer's own `Date`.
        ("Sun, 06 Nov 1994 08:51:07 GMT", Some(90)),
        ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0)),
        ("Mon, 07 Nov 1994 08:40:00 GMT", Some(3600)),
        ("Sun, 06 Nov 1994 25:00:00 GMT", None),
        ("soon", None),
        ("-1", None),
    ] {
        let busy = move || {
            let mut response = gateway(429);
            response.headers_mut().insert("date", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
            response.headers_mut().insert("retry-after", asked.parse().unwrap());
            response
        };
        let retry_after = honoured.map(Duration::from_secs);
        each(busy, move |name, error| {
            assert_eq!(error, AwxError::Throttled { retry_after }, "{name} {asked}");
            assert!(error.is_outage() && !error.is_refusal(), "{name}");
        })
        .await;
    }
}

#[tokio::test]
async fn only_awx_itself_can_say_that_there_is_no_such_thing() {
    let missing = || json_answer(404, &json!({"detail": "No Job matches the given query."}));
    let client_of = |stub: &Stub| stub.client();
    for (name, call) in reads() {
        let stub = Stub::start(move |_| missing()).await;
        let error = call(&client_of(&stub)).await.unwrap_err();
        assert!(matches!(error, AwxError::NotFound { .. }) && one_request_only(&error), "{name}: {error:?}");
    }
    for page in ["<html>404</html>", "default backend - 404"] {
        each(
            move || answer(404, "text/html", page),
            |name, error| {
                assert!(matches!(error, AwxError::BadAnswer { .. }) && error.is_outage(), "{name}: {error:?}");
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_controller_that_is_away_is_told_by_every_call() {
    for status in [500, 502, 503, 504, 599] {
        each(
            move || html(status),
            |name, error| {
                assert_eq!(error, AwxError::ServerError { status }, "{name}");
                assert!(error.is_outage() && !error.is_credential());
            },
        )
        .await;
    }
    let database_down = || json_answer(500, &json!({"detail": "A server error has occurred."}));
    each(database_down, |name, error| assert_eq!(error, AwxError::ServerError { status: 500 }, "{name}")).await;
}

#[tokio::test]
async fn nothing_is_ever_followed() {
    let to = |status: u16, location: &'static str| move || redirect(status, location);
    each(to(302, "/migrations_notran/"), |name, error| {
        assert_eq!(error, AwxError::Migrating, "{name}");
        assert!(error.is_outage());
    })
    .await;
    for status in [301, 302, 303, 307, 308] {
        for location in ["/elsewhere/", "https://evil.example/api/v2/me/"] {
            each(to(status, location), |name, error| {
                assert!(matches!(error, AwxError::BadAnswer { .. }) && error.is_outage(), "{name}: {error:?}");
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_page_where_json_belongs_is_no_answer() {
    each(
        || html(200),
        |name, error| {
            assert!(matches!(error, AwxError::BadAnswer { .. }) && error.is_outage(), "{name}: {error:?}");
        },
    )
    .await;
    for odd in ["[]", "5", "\"x\"", "null", "{}", "{\"results\": 5}", "{\"id\": \"4\"}", ""] {
        for (name, call) in reads() {
            let stub = Stub::start(move |_| answer(200, "application/json", odd)).await;
            let error = call(&stub.client()).await.unwrap_err();
            assert!(matches!(error, AwxError::BadAnswer { .. }), "{name} {odd}: {error:?}");
        }
    }
}

async fn at_the_wire(answer: &str, then: Then, check: impl Fn(&str, Result<(), AwxError>)) {
    let wire = Wire::start(answer, then).await;
    let client = &wire.client();
    let calls = reads().into_iter().map(|(name, call)| async move { (name, call(client).await) });
    for (name, result) in futures::future::join_all(calls).await {
        check(name, result);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"next\": null, \"results\": [",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"nex",
    ] {
        at_the_wire(answer, Then::Close, |name, result| {
            let error = result.unwrap_err();
            assert!(matches!(error, AwxError::BadAnswer { .. }) && error.is_outage(), "{name}: {error:?}");
        })
        .await;
    }
    at_the_wire("HTTP/1.1 200 OK\r\ncontent-le", Then::Close, |name, result| {
        let error = result.unwrap_err();
        assert!(matches!(error, AwxError::Unreachable { .. }) && error.is_outage(), "{name}: {error:?}");
    })
    .await;
}

#[tokio::test]
async fn the_time_for_a_request_is_the_time_for_all_of_its_answer() {
    for (answer, then) in [
        ("", Then::Silence),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", Then::Silence),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", Then::Drip),
    ] {
        at_the_wire(answer, then, |name, result| {
            assert_eq!(result, Err(AwxError::Timeout), "{name}");
            assert!(AwxError::Timeout.is_outage());
        })
        .await;
    }
}

#[tokio::test]
async fn an_answer_of_fifty_megabytes_is_not_even_begun() {
    // It announces them and sends few: whoever waited for them would run out of time.
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", 50 << 20, " ".repeat(100_000));
    at_the_wire(&answer, Then::Silence, |name, result| match (name, result) {
        // These claim nothing of what they could not read.
        ("runs" | "search", Ok(())) => {}
        (_, Err(error)) => {
            assert!(matches!(error, AwxError::TooLarge { .. }) && one_request_only(&error), "{name}: {error:?}")
        }
        (_, Ok(())) => panic!("{name}: taken for an answer"),
    })
    .await;
    let client = Wire::start(answer, Then::Silence).await;
    let client = client.client();
    assert_eq!(client.runs(&[JOB]).await.unwrap().unreadable, [4]);
    assert!(matches!(client.search(&search(), |_| ()).await.unwrap(), Found::Part { cut: true, .. }));
}

#[tokio::test]
async fn a_cancellation_counts_by_what_awx_says_of_it() {
    for (answer, then) in [
        ("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n", Then::Close),
        ("HTTP/1.1 202 Accepted\r\ncontent-length: 10\r\n\r\n{", Then::Close),
    ] {
        let wire = Wire::start(answer, then).await;
        assert_eq!(wire.client().cancel(JOB).await, Ok(CancelAnswer::Accepted));
    }
    for (status, answer) in [(404, CancelAnswer::Gone), (405, CancelAnswer::AlreadyFinished)] {
        let stub = Stub::start(move |_| json_answer(status, &json!({"detail": "no"}))).await;
        assert_eq!(stub.client().cancel(JOB).await, Ok(answer));
        for in_front in [html, gateway] {
            let stub = Stub::start(move |_| in_front(status)).await;
            let error = stub.client().cancel(JOB).await.unwrap_err();
            assert!(error.is_outage() && !error.is_refusal(), "{error:?}");
        }
    }
    for then in [Then::Close, Then::Silence] {
        let error = Wire::start("", then).await.client().cancel(JOB).await.unwrap_err();
        assert!(error.is_outage(), "{error:?}");
    }
}

#[tokio::test]
async fn a_launch_that_fails_says_whether_the_controller_is_to_blame() {
    let launch = |response: fn() -> Response| async move {
        let stub = Stub::start(move |_| response()).await;
        match stub.client().launch(TemplateKind::Job, 9, &body(json!({}))).await.unwrap_err() {
            LaunchError::NotLaunched(error) if error.is_credential() => "credential",
            LaunchError::NotLaunched(_) | LaunchError::Unresolved { .. } => "controller",
            LaunchError::Refused { .. } => "nobody",
        }
    };
    let refused: [fn() -> Response; 3] = [
        || json_answer(403, &json!({"detail": "You do not have permission to perform this action."})),
        || json_answer(404, &json!({"detail": "No JobTemplate matches the given query."})),
        || json_answer(400, &json!({"limit": ["Null characters are not allowed."]})),
    ];
    for response in refused {
        assert_eq!(launch(response).await, "nobody");
    }
    assert_eq!(launch(|| json_answer(401, &json!({"detail": "x"}))).await, "credential");
    let away: [fn() -> Response; 12] = [
        || html(500),
        || html(502),
        || html(504),
        || html(429),
        || html(404),
        || html(200),
        || html(413),
        || html(403),
        || gateway(403),
        || gateway(200),
        || redirect(302, "https://login.example/"),
        || redirect(302, "/migrations_notran/"),
    ];
    for response in away {
        assert_eq!(launch(response).await, "controller");
    }
    let gone = Wire::start("", Then::Close).await;
    let error = gone.client().launch(TemplateKind::Job, 9, &body(json!({}))).await.unwrap_err();
    assert!(matches!(error, LaunchError::Unresolved { .. }), "{error:?}");
}
