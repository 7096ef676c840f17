//! What a receiver may cost.

use tokio::net::TcpListener;

use super::*;

fn internal() -> Arc<Names> {
    Arc::new(Names::default().answer("receiver.internal", &[&["127.0.0.1"]]))
}

async fn ask(answer: impl Into<Vec<u8>>, limit: usize) -> Result<Answer, Failure> {
    let receiver = Server::plain(answer).await;
    let client = client(&internal(), allowing("http://receiver.internal"));
    let address = client.address(&format!("http://receiver.internal:{}/", receiver.port()))?;
    client.send(Request::new(Method::GET, address).answer_bytes(limit).within(Duration::from_secs(5))).await
}

#[tokio::test]
async fn of_a_large_answer_the_beginning_is_kept() {
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let answer = ask(large.clone(), 1000).await.unwrap();
    assert_eq!((answer.body.len(), answer.is_whole), (1000, false));
    assert!(ask(large, 100_000).await.unwrap().is_whole);
    // Announced and never sent: what is read is enough.
    let endless = format!("HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n800\r\n{}", "x".repeat(0x800));
    let answer = ask(endless, 100).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.len()), (500, 100));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_no_answer() {
    let many: String = (0..100).map(|i| format!("x-{i}: y\r\n")).collect();
    assert_eq!(ask(format!("HTTP/1.1 200 OK\r\n{many}\r\n"), 10).await.unwrap_err(), Failure::Broken);
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    assert_eq!(ask(long, 10).await.unwrap_err(), Failure::Broken);
    assert_eq!(ask("what is this\r\n\r\n", 10).await.unwrap_err(), Failure::Broken);
}

#[tokio::test]
async fn the_whole_request_has_a_limit_and_so_has_the_host() {
    // Sends the head and then nothing more.
    let receiver = Server::plain("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx").await;
    let settings = Settings { per_host: 1, ..allowing("http://receiver.internal") };
    let client = client(&internal(), settings);
    let address = client.address(&format!("http://receiver.internal:{}/", receiver.port())).unwrap();
    let request = |within| Request::new(Method::GET, address.clone()).within(within);
    let slow = client.send(request(Duration::from_millis(300)));
    let second = async {
        while receiver.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        client.send(request(Duration::from_secs(60))).await.unwrap_err()
    };
    let (slow, second) = tokio::join!(slow, second);
    assert_eq!(slow.unwrap_err(), Failure::TimedOut(Duration::from_millis(300)));
    assert_eq!(second, Failure::Busy);
}

#[tokio::test]
async fn connecting_has_a_limit() {
    // Accepts and never shakes hands.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let names = internal();
    let settings = Settings { connect: Duration::from_millis(200), ..allowing("receiver.internal") };
    let failure = get(&client(&names, settings), &format!("https://receiver.internal:{port}/")).await.unwrap_err();
    assert_eq!(failure, Failure::Tls("the TLS handshake took too long"));
    assert!(!failure.may_have_arrived());
}
