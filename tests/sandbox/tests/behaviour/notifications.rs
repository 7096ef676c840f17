//! Webhook notifications as AWX sends them, with their weaknesses.

use std::time::Duration;

use crate::support::{Bench, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The next notification: its head and its body. The sender is answered that it failed, which changes nothing: it sends
/// each once.
async fn next(receiver: &TcpListener) -> Result<(String, Value)> {
    let (mut stream, _) = tokio::time::timeout(Duration::from_secs(20), receiver.accept()).await??;
    let mut read = Vec::new();
    loop {
        stream.read_buf(&mut read).await?;
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await?;
            return Ok((head.to_owned(), body));
        }
    }
}

#[tokio::test]
async fn the_end_of_a_run_is_announced_once_and_unsigned_and_a_pending_runs_not_at_all() -> Result<()> {
    let (bench, receiver) = (Bench::start().await?, TcpListener::bind("127.0.0.1:0").await?);
    let target = json!({
        "url": format!("http://{}/hook", receiver.local_addr()?), "username": "u", "password": "pw",
        "headers": {"X-Static": "s3cr3t"}, "on": ["success", "error"],
    });
    bench.lever(Method::POST, "notifications", json!({"target": target})).await?;
    bench.lever(Method::POST, "notifications/test", json!({})).await?;
    let (head, body) = next(&receiver).await?;
    assert!(head.contains("Authorization: Basic dTpwdw==") && head.contains("X-Static: s3cr3t"), "{head}");
    assert!(!head.to_lowercase().contains("signature") && body.get("id").is_none(), "{head} {body}");
    // AWX sends nothing for a run that is cancelled before it runs, and what got lost is not sent again.
    bench.lever(Method::POST, "dispatcher", json!({"running": false})).await?;
    let pending = bench.launch(13, json!({})).await?;
    bench.lever(Method::POST, &format!("runs/{pending}/finish"), json!({"status": "canceled"})).await?;
    bench.lever(Method::POST, "dispatcher", json!({"running": true})).await?;
    bench.lever(Method::POST, "notifications", json!({"lose": 1})).await?;
    let lost = bench.hanging().await?;
    bench.lever(Method::POST, &format!("runs/{lost}/finish"), json!({"status": "successful"})).await?;
    let told = bench.hanging().await?;
    bench.lever(Method::POST, &format!("runs/{told}/finish"), json!({"status": "canceled"})).await?;
    let (_, body) = next(&receiver).await?;
    assert_eq!((&body["id"], &body["status"]), (&json!(told), &json!("canceled")), "the first that arrives");
    let told = bench.hanging().await?;
    bench.lever(Method::POST, &format!("runs/{told}/finish"), json!({"status": "successful"})).await?;
    let (_, body) = next(&receiver).await?;
    assert_eq!((&body["id"], &body["status"]), (&json!(told), &json!("successful")), "a failed one is not repeated");
    Ok(())
}
