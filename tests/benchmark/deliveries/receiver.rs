//! Receivers of callbacks.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A message that came.
pub(super) struct Arrived {
    /// Its `webhook-id`.
    pub(super) id: String,
    /// When it came.
    pub(super) at: OffsetDateTime,
}

/// Takes callbacks over plain HTTP, and remembers when they came.
#[derive(Clone)]
pub(super) struct Receiver {
    address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Receiver {
    /// Starts one that takes this long for each answer.
    pub(super) async fn start(takes: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let receiver = Self { address: listener.local_addr().expect("an address"), arrived: Arc::default() };
        let arrived = Arc::clone(&receiver.arrived);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&arrived), takes));
            }
        });
        receiver
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came since the last time this was asked.
    pub(super) fn take(&self) -> Vec<Arrived> {
        std::mem::take(&mut self.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many have come since then.
    pub(super) fn count(&self) -> usize {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Answers requests until the connection ends.
async fn answer(stream: TcpStream, arrived: Arc<Mutex<Vec<Arrived>>>, takes: Duration) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut id) = (0, String::new());
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "webhook-id" => value.trim().clone_into(&mut id),
                _ => {}
            }
        }
        stream.read_exact(&mut vec![0; length]).await.ok()?;
        arrived.lock().unwrap_or_else(PoisonError::into_inner).push(Arrived { id, at: OffsetDateTime::now_utc() });
        tokio::time::sleep(takes).await;
        stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.ok()?;
    }
}
