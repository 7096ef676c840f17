//! What may be reached, and that nothing else is.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_name_that_leads_inside_is_never_connected_to() {
    let inside = Server::plain(OK).await;
    let names = Arc::new(
        Names::default()
            .answer("inside.example", &[&["127.0.0.1"]])
            .answer("mixed.example", &[&["1.1.1.1", "127.0.0.1"]])
            .answer("mapped.example", &[&["::ffff:127.0.0.1"]])
            .answer("nat64.example", &[&["64:ff9b::7f00:1"]]),
    );
    // Plain text is allowed to these hosts on another port only, so what refuses is the address.
    let client = client(&names, Settings::default());
    for name in ["inside", "mixed", "mapped", "nat64"] {
        let failure = get(&client, &format!("https://{name}.example:{}/", inside.port())).await.unwrap_err();
        assert!(matches!(failure, Failure::Refused(_)), "{name}: {failure}");
        assert!(!failure.may_have_arrived());
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn a_name_server_that_changes_its_answer_gains_nothing() {
    // It closes each connection, so that the next request needs another one.
    let authority = Authority::new("ours");
    let closing = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let receiver = Server::tls(&authority, "rebinding.example", closing).await;
    // First the address that may be reached, as if to be checked, and then one that may not.
    let names = Arc::new(Names::default().answer("rebinding.example", &[&["127.0.0.1"], &["127.0.0.2"]]));
    let settings = Settings { ca_pem: authority.pem(), ..allowing(&format!("127.0.0.1:{}", receiver.port())) };
    let client = client(&names, settings);
    let address = format!("https://rebinding.example:{}/", receiver.port());
    // One look-up for one connection: what was checked is what was connected to.
    assert!(get(&client, &address).await.is_ok());
    assert_eq!((names.asked(), receiver.connections()), (1, 1));
    // The next connection resolves anew, and the new answer is checked.
    let failure = get(&client, &address).await.unwrap_err();
    assert!(matches!(failure, Failure::Refused(_)), "{failure}");
    assert_eq!((names.asked(), receiver.connections()), (2, 1));
}

#[tokio::test]
async fn a_connection_that_is_reused_leads_where_it_was_checked() {
    let authority = Authority::new("ours");
    let receiver = Server::tls(&authority, "receiver.example", OK).await;
    let names = Arc::new(Names::default().answer("receiver.example", &[&["127.0.0.1"], &["10.0.0.1"]]));
    let settings = Settings { ca_pem: authority.pem(), ..allowing(&format!("127.0.0.1:{}", receiver.port())) };
    let client = client(&names, settings);
    let address = format!("https://receiver.example:{}/hook", receiver.port());
    for _ in 0..3 {
        let answer = get(&client, &address).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..], answer.is_whole), (200, &b"ok"[..], true));
    }
    assert_eq!((names.asked(), receiver.connections()), (1, 1), "resolved once, connected once");
}

#[tokio::test]
async fn an_authority_is_trusted_only_if_it_was_given_and_only_for_the_name() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let receiver = Server::tls(&ours, "receiver.example", OK).await;
    let names = Arc::new(
        Names::default().answer("receiver.example", &[&["127.0.0.1"]]).answer("else.example", &[&["127.0.0.1"]]),
    );
    let with = |ca_pem| client(&names, Settings { ca_pem, ..allowing("127.0.0.1") });
    let at = |name: &str| format!("https://{name}:{}/", receiver.port());
    assert!(get(&with(ours.pem()), &at("receiver.example")).await.is_ok());
    let untrusted = Failure::Tls("its certificate has an issuer that is not trusted");
    assert_eq!(get(&with(other.pem()), &at("receiver.example")).await.unwrap_err(), untrusted);
    assert_eq!(get(&with(String::new()), &at("receiver.example")).await.unwrap_err(), untrusted);
    let misnamed = Failure::Tls("its certificate is not for this host name");
    assert_eq!(get(&with(ours.pem()), &at("else.example")).await.unwrap_err(), misnamed);
    assert!(Client::new(Settings { ca_pem: "rubbish".into(), ..Settings::default() }, names.clone()).is_err());
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let inside = Server::plain(OK).await;
    let redirect =
        format!("HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n", inside.port());
    let receiver = Server::plain(redirect).await;
    let names = Arc::new(Names::default().answer("receiver.internal", &[&["127.0.0.1"]]));
    let client = client(&names, allowing("http://receiver.internal,http://127.0.0.1"));
    let answer = get(&client, &format!("http://receiver.internal:{}/", receiver.port())).await.unwrap();
    assert_eq!(answer.status.as_u16(), 307);
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn cookies_are_not_kept_and_the_request_is_as_it_was_made() {
    let receiver = Server::plain("HTTP/1.1 204 OK\r\nset-cookie: a=b; Path=/\r\n\r\n").await;
    let names = Arc::new(Names::default().answer("receiver.internal", &[&["127.0.0.1"]]));
    let client = client(&names, allowing("http://receiver.internal"));
    for _ in 0..2 {
        get(&client, &format!("http://receiver.internal:{}/a?b=c", receiver.port())).await.unwrap();
    }
    for request in receiver.requests() {
        assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: receiver.internal:{}\r\n", receiver.port())), "{request}");
        assert!(!request.contains("cookie"), "{request}");
    }
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
async fn an_address_that_is_dead_does_not_hide_one_that_works() {
    let receiver = Server::plain(OK).await;
    // Nothing listens on the first one.
    let names = Arc::new(Names::default().answer("receiver.internal", &[&["127.0.0.9", "127.0.0.1"]]));
    let client = client(&names, allowing("http://receiver.internal"));
    assert!(get(&client, &format!("http://receiver.internal:{}/", receiver.port())).await.is_ok());
    let failure = get(&client, "https://nowhere.example/").await.unwrap_err();
    assert_eq!(failure, Failure::Unresolved);
}
