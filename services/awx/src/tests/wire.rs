//! A server that no HTTP library would let one write.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;

/// What becomes of a connection after what was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is closed.
    Close,
    /// It stays open, and nothing comes any more.
    Silence,
    /// It stays open, and a blank comes now and then, for ever.
    Drip,
}

/// Answers every request on every connection with the same bytes.
pub(super) struct Wire {
    pub(super) address: SocketAddr,
    _server: JoinSet<()>,
}

impl Wire {
    pub(super) async fn start(answer: impl Into<Vec<u8>>, then: Then) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                connections.spawn(async move {
                    // The client may have heard enough at any point.
                    let _gone = serve(socket, &answer, then).await;
                });
            }
        });
        Self { address, _server: server }
    }

    /// A client that soon loses patience.
    pub(super) fn client(&self) -> Client {
        let within = Duration::from_millis(300);
        let limits = ClientLimits { request: within, launch: within, ..quick() };
        Client::new(&target_for(self.address), &Credential::bearer("t0ken"), limits).unwrap()
    }
}

async fn serve(mut socket: TcpStream, answer: &[u8], then: Then) -> std::io::Result<()> {
    read_request(&mut socket).await?;
    socket.write_all(answer).await?;
    match then {
        Then::Close => socket.shutdown().await,
        Then::Silence => std::future::pending().await,
        Then::Drip => loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            socket.write_all(b" ").await?;
        },
    }
}

/// Reads a request to its end: what is closed with something unread takes its answer back.
async fn read_request(socket: &mut TcpStream) -> std::io::Result<()> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Ok(());
            }
        }
        if socket.read_buf(&mut read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
