use runwarden_kit::ErrorReason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[tokio::test]
async fn who_we_are_is_read_with_our_headers_and_nothing_else_of_us() {
    let stub = Stub::start(|_| page(vec![json!({"id": 7, "username": "runwarden"})])).await;
    let account = stub.client().who_am_i().await.unwrap();
    assert_eq!((account.id, account.username.as_str()), (7, "runwarden"));
    assert_eq!((account.product.as_str(), account.version.as_str()), ("AWX", "24.6.1"));
    let seen = &stub.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/api/v2/me/"));
    let header = |name: &str| seen.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    assert_eq!(header("authorization").unwrap(), "Bearer t0ken");
    assert_eq!(header("accept").unwrap(), "application/json");
    assert_eq!(header("user-agent").unwrap(), concat!("runwarden/", env!("CARGO_PKG_VERSION")));
    assert!(uuid::Uuid::parse_str(&header("x-api-request-id").unwrap()).is_ok());
    assert_eq!(header("cookie"), None);
    assert_eq!(header("referer"), None);
}

#[tokio::test]
async fn a_controller_of_aap_is_reached_below_its_own_root() {
    let stub = Stub::start(|_| page(vec![json!({"id": 7, "username": "runwarden"})])).await;
    let target = Target { api_root: "/api/controller/v2".into(), ..target_for(stub.address) };
    let client = Client::new(&target, &Credential::basic("svc", "pw"), quick()).unwrap();
    client.who_am_i().await.unwrap();
    assert_eq!(stub.seen()[0].path, "/api/controller/v2/me/");
    assert_eq!(stub.seen()[0].headers["authorization"], "Basic c3ZjOnB3");
}

#[tokio::test]
async fn cookies_are_not_kept() {
    let stub = Stub::start(|_| {
        let mut response = page(vec![json!({"id": 7, "username": "u"})]);
        response.headers_mut().insert("set-cookie", "awx_sessionid=1".parse().unwrap());
        response
    })
    .await;
    let client = stub.client();
    client.who_am_i().await.unwrap();
    client.who_am_i().await.unwrap();
    assert!(stub.seen().iter().all(|seen| !seen.headers.contains_key("cookie")));
}

async fn error_of(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> AwxError {
    let stub = Stub::start(answer).await;
    let error = stub.client().who_am_i().await.unwrap_err();
    assert_eq!(stub.seen().len(), 1, "nothing is repeated or followed");
    error
}

#[tokio::test]
async fn every_refusal_to_read_has_its_own_error() {
    let unauthorized = json!({"detail": "Authentication credentials were not provided. To establish a login session, visit /api/login/."});
    assert_eq!(error_of(move |_| json_answer(401, &unauthorized)).await, AwxError::Unauthorized);
    let forbidden = json!({"detail": "You do not have permission to perform this action."});
    assert_eq!(
        error_of(move |_| json_answer(403, &forbidden)).await.to_string(),
        "the controller does not allow Runwarden's account to do this (403): You do not have permission to perform this action."
    );
    let missing = json!({"detail": "No Job matches the given query."});
    assert!(matches!(error_of(move |_| json_answer(404, &missing)).await, AwxError::NotFound { .. }));
    assert!(matches!(error_of(|_| html(404)).await, AwxError::BadAnswer { .. }));
    for status in [403, 406, 414] {
        assert_eq!(error_of(move |_| html(status)).await, AwxError::InFront { status });
        assert_eq!(error_of(move |_| gateway(status)).await, AwxError::InFront { status });
    }
    for status in [500, 502, 503, 504] {
        assert_eq!(error_of(move |_| html(status)).await, AwxError::ServerError { status });
    }
    assert!(matches!(error_of(|_| html(200)).await, AwxError::BadAnswer { .. }));
    assert!(matches!(error_of(|_| json_answer(200, &json!([]))).await, AwxError::BadAnswer { .. }));
}

/// Not AWX: it answers with what an internal service may, and without AWX's mark.
fn internal(status: u16, body: &'static str) -> impl Fn(&Seen) -> Response + Send + Sync + 'static {
    move |_| {
        let content_type = ("content-type", "application/json");
        Response::builder().status(status).header(content_type.0, content_type.1).body(body.into()).unwrap()
    }
}

#[tokio::test]
async fn what_an_internal_service_behind_the_address_says_is_never_passed_on() {
    let secrets = [
        r#"{"detail": "hunter2", "limit": ["hunter2"], "hunter2": "hunter2", "token": {"value": "hunter2"}}"#,
        r#"["hunter2"]"#,
        r#""hunter2""#,
        "hunter2",
        r#"{"results": [{"id": 1, "username": "hunter2"}], "version": "hunter2"}"#,
    ];
    for status in [200, 201, 400, 401, 403, 404, 405, 409, 418, 422, 429, 500, 503] {
        for body in secrets {
            let error = error_of(internal(status, body)).await;
            let told = format!("{error} {error:?} {:?}", runwarden_kit::Error::from(error.clone()));
            assert!(!told.contains("hunter2"), "{status} {body}: {told}");
            let stub = Stub::start(internal(status, body)).await;
            let client = stub.client();
            for error in [
                client.template(TemplateKind::Job, 9).await.err().map(|error| error.to_string()),
                client.launch(TemplateKind::Job, 9, &super::body(json!({}))).await.err().map(|e| e.to_string()),
                client.cancel(jobs([4])[0]).await.err().map(|error| error.to_string()),
            ] {
                assert!(!error.unwrap_or_default().contains("hunter2"), "{status} {body}");
            }
        }
    }
    let unmarked = error_of(internal(200, secrets[4])).await.to_string();
    assert!(unmarked.contains("X-API-Product-Name"), "{unmarked}");
}

#[tokio::test]
async fn of_awxs_own_refusals_only_known_fields_are_passed_on() {
    let refused = json!({"limit": ["Null characters are not allowed."], "debug": {"token": "hunter2"}});
    let told = error_of(move |_| json_answer(400, &refused)).await.to_string();
    assert!(told.contains("limit: Null characters are not allowed."), "{told}");
    assert!(told.contains("other reasons") && !told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn a_refusal_that_says_our_credential_again_is_told_without_it() {
    let echo = |seen: &Seen| {
        let sent = seen.headers["authorization"].to_str().unwrap();
        json_answer(400, &json!({"detail": format!("you sent {sent}, yes, {sent}")}))
    };
    let told = error_of(echo).await.to_string();
    assert!(told.contains("you sent Bearer [credential], yes, Bearer [credential]"), "{told}");
}

#[tokio::test]
async fn redirects_are_told_apart_and_never_followed() {
    let redirect = |location: &'static str| {
        move |_: &Seen| {
            let mut response = html(302);
            response.headers_mut().insert("location", location.parse().unwrap());
            response
        }
    };
    for upgrade in ["/migrations_notran/", "https://awx.example/migrations_notran/"] {
        assert_eq!(error_of(redirect(upgrade)).await, AwxError::Migrating);
    }
    let log_in = "https://login.example/?next=/migrations_notran/";
    assert!(matches!(error_of(redirect(log_in)).await, AwxError::BadAnswer { .. }));
    assert!(matches!(error_of(redirect("https://elsewhere.example/")).await, AwxError::BadAnswer { .. }));
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let error = error_of(|_| {
        let piece = vec![b' '; 64 * 1024];
        let endless = futures::stream::iter(std::iter::repeat_with(move || Ok::<_, std::io::Error>(piece.clone())));
        answer(200, "application/json", Body::from_stream(futures::StreamExt::take(endless, 800)))
    })
    .await;
    assert_eq!(error, AwxError::TooLarge { limit: 1024 * 1024 });
}

#[tokio::test]
async fn an_answer_too_deep_is_no_danger() {
    let error = error_of(|_| answer(200, "application/json", "[".repeat(100_000))).await;
    assert!(matches!(error, AwxError::BadAnswer { .. }));
}

#[tokio::test]
async fn a_controller_that_never_answers_times_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = client_for(listener.local_addr().unwrap()).who_am_i().await.unwrap_err();
    assert_eq!(error, AwxError::Timeout);
    assert!(error.is_outage());
}

#[tokio::test]
async fn an_answer_cut_in_the_middle_is_no_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _read = socket.read(&mut [0; 4096]).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"results\":[").await.unwrap();
    });
    let error = client_for(address).who_am_i().await.unwrap_err();
    assert!(matches!(error, AwxError::BadAnswer { .. }), "{error:?}");
}

#[tokio::test]
async fn why_no_connection_comes_about_is_said() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client_for(address).who_am_i().await.unwrap_err();
    assert_eq!(error.to_string(), "the controller cannot be reached: the connection was refused");

    let target = Target { url: "https://no-such-controller.invalid".into(), ..target_for(address) };
    let client = Client::new(&target, &Credential::bearer("t"), quick()).unwrap();
    let error = client.who_am_i().await.unwrap_err();
    assert!(matches!(&error, AwxError::Unreachable { .. }), "{error:?}");
}

#[test]
fn certificates_are_checked_before_use() {
    let address = "127.0.0.1:1".parse().unwrap();
    for pem in ["nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"] {
        let target = Target { url: "https://awx.example".into(), ca_pem: pem.into(), ..target_for(address) };
        let problem = Client::new(&target, &Credential::bearer("t"), quick()).unwrap_err();
        assert_eq!(problem.pointer, "/ca_pem");
    }
}

#[test]
fn callers_learn_whether_to_wait_or_to_mend() {
    let reason = |error: AwxError| runwarden_kit::Error::from(error).reason();
    assert_eq!(reason(AwxError::Timeout), ErrorReason::ControllerUnreachable);
    assert_eq!(reason(AwxError::Unauthorized), ErrorReason::ControllerRefused);
    let problem = TargetProblem::new("/url", "is wrong");
    assert_eq!(runwarden_kit::Error::from(problem).fields()[0].pointer, "/url");
}

#[tokio::test]
async fn which_installation_it_is_is_asked_once_and_again_when_something_went_wrong() {
    let uuid = Arc::new(Mutex::new(Some("7a8e2c4f-51d0-4b8e-9a63-0d1f2b3c4d5e")));
    let told = uuid.clone();
    let stub = Stub::start(move |seen| match (seen.path.as_str(), *told.lock().unwrap()) {
        ("/api/v2/ping/", Some(uuid)) => json_answer(200, &json!({"install_uuid": uuid})),
        ("/api/v2/ping/", None) => json_answer(404, &json!({"detail": "Not found."})),
        ("/api/v2/me/", _) => html(502),
        _ => page(Vec::new()),
    })
    .await;
    let client = stub.client();
    let asked = || stub.seen().iter().filter(|seen| seen.path == "/api/v2/ping/").count();
    let first = client.installation(Ask::Once).await.unwrap();
    assert_eq!(first.key(), "7a8e2c4f-51d0-4b8e-9a63-0d1f2b3c4d5e");
    *uuid.lock().unwrap() = Some("00000000-0000-4000-8000-000000000002");
    let _none = client.find(7).await.unwrap();
    assert!(client.installation(Ask::Once).await.unwrap().is_same(&first) && asked() == 1, "it said so before");
    assert!(!client.installation(Ask::Afresh).await.unwrap().is_same(&first));
    // It was away for a moment: what answers now may be another.
    *uuid.lock().unwrap() = Some("00000000-0000-4000-8000-000000000003");
    assert!(client.who_am_i().await.is_err());
    assert_eq!(client.installation(Ask::Once).await.unwrap().key(), "00000000-0000-4000-8000-000000000003");
    // One that gives none is known by its address, and one that does not answer is not known.
    for nothing in [None, Some("00000000-0000-0000-0000-000000000000"), Some("x")] {
        *uuid.lock().unwrap() = nothing;
        assert_eq!(client.installation(Ask::Afresh).await.unwrap().key(), format!("http://{}", stub.address));
    }
    let gone = client_for("127.0.0.1:1".parse().unwrap());
    assert!(gone.installation(Ask::Once).await.is_err());
}

#[tokio::test]
async fn what_is_known_of_an_installation_does_not_outlive_a_question_it_could_not_answer() {
    let told = Arc::new(Mutex::new(200));
    let says = told.clone();
    let stub = Stub::start(move |_| match *says.lock().unwrap() {
        200 => json_answer(200, &json!({"install_uuid": "7a8e2c4f-51d0-4b8e-9a63-0d1f2b3c4d5e"})),
        status => gateway(status),
    })
    .await;
    let client = stub.client();
    // Where nothing is known, somebody in front who lets nobody ask leaves the address.
    *told.lock().unwrap() = 403;
    assert!(client.installation(Ask::Once).await.unwrap().uuid().is_none());
    *told.lock().unwrap() = 200;
    let known = client.installation(Ask::Afresh).await.unwrap();
    assert!(known.uuid().is_some());
    // One that gave its uuid does not lack it now.
    *told.lock().unwrap() = 403;
    for _ in 0..2 {
        assert_eq!(client.installation(Ask::Afresh).await, Err(AwxError::InFront { status: 403 }));
    }
    *told.lock().unwrap() = 200;
    assert_eq!(client.installation(Ask::Once).await.unwrap(), known);
    let asked = stub.seen().len();
    assert_eq!(client.installation(Ask::Once).await.unwrap(), known);
    assert_eq!(stub.seen().len(), asked, "it said so before");
}

#[tokio::test]
async fn the_controllers_clock_goes_on_between_its_answers() {
    let stub = Stub::start(|_| {
        let mut answer = json_answer(200, &json!({}));
        answer.headers_mut().insert("date", "Sun, 22 Nov 2026 05:00:07 GMT".parse().unwrap());
        answer
    })
    .await;
    let client = stub.client();
    assert_eq!(client.controller_time(), None);
    client.installation(Ask::Afresh).await.unwrap();
    let first = client.controller_time().unwrap();
    assert_eq!(first.replace_nanosecond(0).unwrap(), time::macros::datetime!(2026-11-22 05:00:07 UTC));
    while client.controller_time().unwrap() <= first {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_taken_a_little_at_a_time_does_not_arrive_late() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, mut given_up) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut taken, mut some) = (0, vec![0; 1024]);
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        // A little at a time while somebody waits for it; then all that still comes.
        while given_up.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            pace.tick().await;
            taken += stream.read(&mut some).await.unwrap();
        }
        while let Ok(more @ 1..) = stream.read(&mut some).await {
            taken += more;
        }
        taken
    });
    let limits = ClientLimits { launch: Duration::from_secs(60), ..quick() };
    let client = Client::new(&target_for(address), &Credential::bearer("t0ken"), limits).unwrap();
    let (begun, length) = (std::time::Instant::now(), 32 * 1024 * 1024);
    let answer = client.http.post(&super::super::address::Path::to("jobs"), vec![b' '; length].into()).await;
    assert!(matches!(answer, Err(super::super::http::Unanswered::Unknown(_))));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    tell.send(()).unwrap();
    assert!(server.await.unwrap() < length, "it never has all of it");
}
