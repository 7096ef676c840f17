//! Through an egress proxy.

use super::*;

#[tokio::test]
async fn the_proxy_is_given_the_address_that_was_checked() {
    // A proxy that connects nowhere and answers the tunnelled request itself, too: both answers are the same bytes.
    let proxy = Server::plain("HTTP/1.1 200 OK\r\n\r\n").await;
    let names = Arc::new(
        Names::default()
            .answer("receiver.internal", &[&["10.0.0.7"]])
            .answer("metadata.example", &[&["169.254.169.254"]]),
    );
    let settings = Settings {
        proxy: Some(format!("http://127.0.0.1:{}", proxy.port()).parse().unwrap()),
        ..allowing("http://receiver.internal")
    };
    let client = client(&names, settings);
    let address = client.address("http://receiver.internal/x").unwrap();
    let request = Request::new(Method::GET, address).within(Duration::from_millis(500));
    // The answer has no length, so it ends with the time; that it was asked is what counts.
    let _unfinished = client.send(request).await;
    let requests = proxy.requests();
    assert!(requests[0].starts_with("CONNECT 10.0.0.7:80 HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[1].starts_with("GET /x HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[1].contains("\r\nhost: receiver.internal\r\n"), "{requests:?}");
    // What may not be reached is not asked of the proxy either.
    assert!(matches!(get(&client, "https://metadata.example/").await.unwrap_err(), Failure::Refused(_)));
    assert_eq!(proxy.requests().len(), 2);
}

#[tokio::test]
async fn what_the_proxy_refuses_is_said() {
    let names = Arc::new(Names::default().answer("receiver.example", &[&["1.1.1.1"]]));
    for (answer, failure) in [
        ("HTTP/1.1 403 No\r\n\r\n", Failure::Proxy("refuses to connect to this address")),
        ("HTTP/1.1 407 Who\r\n\r\n", Failure::Proxy("wants a password, which is not supported")),
        ("HTTP/1.1 502 Bad\r\n\r\n", Failure::Proxy("could not connect to this address")),
        ("SSH-2.0\r\n\r\n", Failure::Proxy("does not answer as a proxy")),
    ] {
        let proxy = Server::plain(answer).await;
        let settings = Settings {
            proxy: Some(format!("http://127.0.0.1:{}", proxy.port()).parse().unwrap()),
            ..Settings::default()
        };
        assert_eq!(get(&client(&names, settings), "https://receiver.example/").await.unwrap_err(), failure);
    }
    for address in ["", "proxy:3128", "https://proxy", "http://u:p@proxy", "http://proxy/x", "socks5://proxy:1"] {
        assert!(address.parse::<crate::Proxy>().is_err(), "{address}");
    }
}
