use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runwarden_edge::Config;
use runwarden_edge::listener::{ListenerLimits, bind};
use runwarden_edge::route_table::Listener;
use runwarden_edge::tls::Certificates;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::Edge;

const PATIENCE: Duration = Duration::from_secs(20);

fn limits(connections: usize, header_time: Duration) -> ListenerLimits {
    ListenerLimits {
        connections,
        address_connections: connections / 2,
        proxies: Arc::from([]),
        headers: 16 * 1024,
        header_time,
        answer_time: PATIENCE,
        drain: Duration::from_secs(5),
    }
}

async fn serve(edge: &Edge, header_time: Duration) -> (SocketAddr, JoinHandle<()>) {
    let bound = bind(Listener::Public, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let limits = limits(16, header_time);
    let address = bound.address;
    let serving = bound.serve(edge.router(Listener::Public), None, limits, edge.shutdown.clone());
    (address, tokio::spawn(serving))
}

async fn talk(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    rest(stream).await
}

async fn rest(mut stream: TcpStream) -> String {
    let mut read = Vec::new();
    // A connection that is cut still leaves what came before.
    let _cut = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await.unwrap();
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn a_large_body_is_refused_and_the_caller_gets_to_read_it() {
    let edge = Edge::new();
    let (address, _) = serve(&edge, PATIENCE).await;
    let token = edge.signer.token(60);
    let head = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\nconnection: close\r\n"
    );
    let body = vec![b'x'; 3 * 1024 * 1024];
    let announced = [format!("{head}content-length: {}\r\n\r\n", body.len()).into_bytes(), body.clone()].concat();
    assert!(talk(address, &announced).await.starts_with("HTTP/1.1 413"));
    let chunk = [format!("{:x}\r\n", body.len()).into_bytes(), body, b"\r\n0\r\n\r\n".to_vec()].concat();
    let chunked = [format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes(), chunk].concat();
    assert!(talk(address, &chunked).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_request_says_once_and_readably_whom_it_is_for() {
    let edge = Edge::new();
    let (address, _) = serve(&edge, PATIENCE).await;
    for hosts in ["", "host: a\r\nhost: a\r\n", "host: a b\r\n", "host: a, b\r\n", "host: me@a\r\n", "host:\r\n"] {
        // The connection is closed with the answer, so what follows is not read as a request of its own.
        let two = format!("GET /health HTTP/1.1\r\n{hosts}\r\nGET /health HTTP/1.1\r\nhost: a\r\n\r\n");
        let answer = talk(address, two.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("MALFORMED_REQUEST"), "{hosts}: {answer}");
        assert_eq!(answer.matches("application/problem+json").count(), 1, "{hosts}: {answer}");
    }
    let old = talk(address, b"GET /api/v1/health/live HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200"), "{old}");
    let absolute = "GET http://a.example/api/v1/health/live HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n";
    assert!(talk(address, absolute.as_bytes()).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_expects_100_is_asked_for_its_body() {
    let edge = Edge::new();
    let (address, _) = serve(&edge, PATIENCE).await;
    let token = edge.signer.token(60);
    let body = r#"{"template":"deploy-web"}"#;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut asked)).await.unwrap().unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    assert!(rest(stream).await.starts_with("HTTP/1.1 202"));
}

#[tokio::test]
async fn slow_and_silent_callers_are_cut_off() {
    let edge = Edge::new();
    let (address, _) = serve(&edge, Duration::from_millis(100)).await;
    assert_eq!(talk(address, b"").await, "");
    assert_eq!(talk(address, b"PRI * HT").await, "");
    let slow = talk(address, b"GET /health HTTP/1.1\r\nhost: a\r\nx-slow: ").await;
    assert!(slow.is_empty() || slow.starts_with("HTTP/1.1 408"), "{slow}");
}

/// Connects from an address of this machine's own network.
#[cfg(target_os = "linux")]
async fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Whether the listener closed a connection; one that it keeps is silent for as long as nothing is asked.
#[cfg(target_os = "linux")]
fn is_closed(stream: &TcpStream) -> bool {
    match stream.try_read(&mut [0; 1]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connections_of_one_address_that_say_nothing_close_the_listener_to_nobody() {
    const ASK: &[u8] = b"GET /api/v1/health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let edge = Edge::new();
    let (address, _) = serve(&edge, PATIENCE).await;
    // Far more than there is room for, of one byte each.
    let mut flood = Vec::new();
    for _ in 0..64 {
        let mut stream = connect_from("127.0.0.2", address).await;
        let _closed_already = stream.write_all(b"G").await;
        flood.push(stream);
    }
    for _ in 0..32 {
        let mut other = connect_from("127.0.0.3", address).await;
        other.write_all(ASK).await.unwrap();
        assert!(rest(other).await.starts_with("HTTP/1.1 200"), "another address is served while the flood holds");
    }
    // Those of the flood came first, so what was too much of it is closed by now.
    let kept = flood.iter().filter(|stream| !is_closed(stream)).count();
    assert_eq!(kept, 8, "what one address may have");
    // What is given back can be had again.
    drop(flood);
    let again = async {
        loop {
            let mut stream = connect_from("127.0.0.2", address).await;
            if stream.write_all(ASK).await.is_ok() && rest(stream).await.starts_with("HTTP/1.1 200") {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_proxy_has_room_for_those_it_stands_for_and_never_all_of_it() {
    let edge = Edge::new();
    let bound = bind(Listener::Public, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = bound.address;
    let limits = ListenerLimits { proxies: Arc::from(["127.0.0.2/32".parse().unwrap()]), ..limits(16, PATIENCE) };
    tokio::spawn(bound.serve(edge.router(Listener::Public), None, limits, edge.shutdown.clone()));
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(connect_from("127.0.0.2", address).await);
    }
    let mut other = connect_from("127.0.0.3", address).await;
    other.write_all(b"GET /api/v1/health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest(other).await.starts_with("HTTP/1.1 200"));
    assert_eq!(held.iter().filter(|stream| !is_closed(stream)).count(), 15);
}

#[tokio::test]
async fn headers_beyond_the_limit_are_refused() {
    let edge = Edge::new();
    let (address, _) = serve(&edge, PATIENCE).await;
    let many = format!("GET /health HTTP/1.1\r\nhost: a\r\nx-long: {}\r\n\r\n", "a".repeat(64 * 1024));
    let answer = talk(address, many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_body_that_stalls_is_a_408() {
    let edge = Edge::with(Config { body_timeout: Duration::from_millis(100), ..Config::default() });
    let (address, _) = serve(&edge, PATIENCE).await;
    let token = edge.signer.token(60);
    let stalled = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    let answer = talk(address, stalled.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("DEADLINE_EXCEEDED"), "{answer}");
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_the_listener() {
    let edge = Edge::new();
    let (address, serving) = serve(&edge, PATIENCE).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /api/v1/health/live HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    edge.shutdown.begin();
    rest(idle).await;
    tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_edge_is_built_on_free_ports_serves_and_stops() {
    use runwarden_kit::lifecycle::{Shutdown, Tasks};
    use runwarden_kit::mesh::pki::DevCa;
    use runwarden_kit::mesh::{MeshTls, Peer, Peers, Service, TrustDomain};
    use runwarden_kit::service::ServiceKit;

    let folder = tempfile::tempdir().unwrap();
    let domain: TrustDomain = "test.internal".parse().unwrap();
    let files = DevCa::open(&folder.path().join("pki"), domain.clone()).unwrap().service(Service::Edge).unwrap();
    let tls = MeshTls::load(files, domain, Peer::Service(Service::Edge)).unwrap();
    // Nobody listens there: the edge starts all the same and says who is missing.
    let nowhere = Service::WITH_GRPC.iter().map(|service| (*service, "127.0.0.1:9".to_owned())).collect();
    let tasks = Tasks::new(Shutdown::new());
    let kit = ServiceKit::new(Service::Edge, Peers::new(tls, nowhere), tasks.clone(), folder.path()).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let edge =
        runwarden_edge::build(Config { listen: any, admin_listen: any, ..Config::default() }, &kit).await.unwrap();
    let (public, admin) = (edge.public_address(), edge.admin_address());
    assert_eq!(edge.base_url(), format!("http://{public}"));
    assert_eq!(edge.admin_base_url(), format!("http://{admin}"));
    edge.start(&kit);
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(talk(public, ask("/api/v1/health/live").as_bytes()).await.starts_with("HTTP/1.1 200"));
    let missing = talk(admin, ask("/health").as_bytes()).await;
    assert!(missing.starts_with("HTTP/1.1 503") && missing.contains("\"executor\""), "{missing}");
    tasks.shutdown().begin();
    assert!(tasks.join(PATIENCE).await);
}

#[tokio::test]
async fn tls_offers_both_versions_of_http() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let edge = Edge::new();
    let bound = bind(Listener::Public, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, certificates) = (bound.address, Certificates::load(&cert, &key).unwrap());
    tokio::spawn(bound.serve(
        edge.router(Listener::Public),
        Some(certificates),
        limits(4, PATIENCE),
        edge.shutdown.clone(),
    ));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    for protocol in [&b"h2"[..], b"http/1.1"] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        client.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    }
}

/// A connection that speaks HTTP/2 and lets nothing be sent to it beyond what it takes.
async fn one_that_takes_nothing(address: SocketAddr) -> (h2::client::SendRequest<bytes::Bytes>, JoinHandle<()>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::Builder::new().initial_window_size(0).handshake(stream).await.unwrap();
    let driven = tokio::spawn(async move {
        let _ended = connection.await;
    });
    (client.ready().await.unwrap(), driven)
}

#[tokio::test]
async fn a_reader_that_takes_nothing_gives_its_place_to_others_and_then_its_connection() {
    const EVENTS: &str = "/api/v1/jobs/job_hangs/events";
    let edge = Edge::with(Config { tenant_streams: 2, ..Config::default() });
    let bound = bind(Listener::Public, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = bound.address;
    let short = Duration::from_millis(200);
    let limits = ListenerLimits { answer_time: short, ..limits(16, short) };
    tokio::spawn(bound.serve(edge.router(Listener::Public), None, limits, edge.shutdown.clone()));
    let (mut client, driven) = one_that_takes_nothing(address).await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let token = edge.signer.token_of("acme", "sa_1", 60);
        let request = http::Request::get(format!("http://{address}{EVENTS}"))
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        answers.push(answer.await.unwrap());
    }
    assert!(answers.iter().all(|answer| answer.status() == 200));
    let other = async {
        while edge.open("acme", "sa_2", EVENTS).await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(edge.open("acme", "sa_2", EVENTS).await.status(), 429, "both places of the tenant are taken");
    tokio::time::timeout(PATIENCE, other).await.expect("a place of the one that takes nothing");
    // It answers pings, and still does not keep its connection.
    tokio::time::timeout(PATIENCE, driven).await.expect("the connection ends").unwrap();
}

#[tokio::test]
async fn a_connection_that_asks_nothing_more_is_closed_whatever_http_it_speaks() {
    let edge = Edge::new();
    let (address, _) = serve(&edge, Duration::from_millis(100)).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driven = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = http::Request::get(format!("http://{address}/api/v1/health/live")).body(()).unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    tokio::time::timeout(PATIENCE, driven).await.expect("the connection ends").unwrap().unwrap();
    drop(client);
}
