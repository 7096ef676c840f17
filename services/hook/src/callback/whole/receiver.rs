//! A receiver.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What it was sent: headers, in lower case, and body.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) head: String,
    pub(super) body: String,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .unwrap_or_default()
    }
}

/// Answers each request on a connection of its own with the status it is set to, after a pause.
pub(super) struct Receiver {
    pub(super) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    answer: Arc<Mutex<String>>,
    at_once: Arc<Mutex<(usize, usize)>>,
}

impl Receiver {
    pub(super) async fn answering(status: &str, pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            received: Arc::default(),
            answer: Arc::new(Mutex::new(status.to_owned())),
            at_once: Arc::default(),
        };
        let (received, answer, at_once) =
            (receiver.received.clone(), receiver.answer.clone(), receiver.at_once.clone());
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let (received, answer, at_once) = (received.clone(), answer.clone(), at_once.clone());
                tokio::spawn(async move {
                    let mut read = Vec::new();
                    let mut chunk = [0; 4096];
                    loop {
                        let Ok(n @ 1..) = socket.read(&mut chunk).await else { return };
                        read.extend_from_slice(&chunk[..n]);
                        let text = String::from_utf8_lossy(&read).into_owned();
                        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                        let request = Received { head: head.to_owned(), body: body.to_owned() };
                        let length: usize = request.header("content-length").parse().unwrap();
                        if body.len() >= length {
                            received.lock().unwrap().push(request);
                            break;
                        }
                    }
                    {
                        let mut at_once = at_once.lock().unwrap();
                        at_once.0 += 1;
                        at_once.1 = at_once.1.max(at_once.0);
                    }
                    tokio::time::sleep(pause).await;
                    at_once.lock().unwrap().0 -= 1;
                    let status = answer.lock().unwrap().clone();
                    let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                    let _sent = socket.write_all(answer.as_bytes()).await;
                });
            }
        });
        receiver
    }

    pub(super) fn answer(&self, status: &str) {
        *self.answer.lock().unwrap() = status.to_owned();
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The most requests that it had at a time.
    pub(super) fn most_at_once(&self) -> usize {
        self.at_once.lock().unwrap().1
    }
}
