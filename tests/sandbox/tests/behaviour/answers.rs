//! Faults on order that spoil an answer, or send the caller elsewhere.

use std::time::Duration;

use crate::support::{Bench, Result, told};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LAUNCH: &str = "/api/v2/job_templates/9/launch/";

/// Launches the plain template, whatever comes of it.
async fn launch(bench: &Bench) -> Result<reqwest::Response> {
    Ok(bench.ask(Method::POST, LAUNCH).json(&json!({})).send().await?)
}

#[tokio::test]
async fn a_proxys_error_page_may_come_after_the_deed() -> Result<()> {
    let bench = Bench::start().await?;
    for (status, reason) in [(502, "502 Bad Gateway"), (504, "504 Gateway Time-out")] {
        bench.at_next_launch(json!({"kind": "status", "status": status, "after": true})).await?;
        let page = launch(&bench).await?;
        assert_eq!((page.status().as_u16(), page.headers()["content-type"].to_str()?), (status, "text/html"));
        assert!(page.headers().get("x-api-product-name").is_none() && page.headers().get("location").is_none());
        assert!(page.text().await?.contains(reason));
    }
    bench.at_next_launch(json!({"kind": "status", "status": 502})).await?;
    assert_eq!(launch(&bench).await?.status(), 502);
    assert_eq!(bench.sandbox.launched(), 2, "the first two were launched");
    Ok(())
}

/// What a launch gets byte for byte, until the connection ends.
async fn launch_raw(bench: &Bench) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(bench.sandbox.address()).await?;
    let head = format!(
        "POST {LAUNCH} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
        bench.sandbox.token()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut bytes = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await??;
    let text = String::from_utf8(bytes)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no head arrived")?;
    Ok((head.to_lowercase(), body.to_owned()))
}

#[tokio::test]
async fn an_answer_breaks_off_in_its_body_after_its_head_has_arrived() -> Result<()> {
    let bench = Bench::start().await?;
    for (run, after) in [(1, 0), (2, 1), (3, 100)] {
        bench.at_next_launch(json!({"kind": "cut", "after_bytes": after})).await?;
        let (head, body) = launch_raw(&bench).await?;
        assert!(head.starts_with("http/1.1 201 created"), "{head}");
        assert!(head.contains(&format!("location: /api/v2/jobs/{run}/")), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).ok_or("no length")?;
        assert!(length.parse::<usize>()? > 1000, "{head}");
        assert_eq!(body.len(), after, "{body}");
    }
    assert_eq!(bench.sandbox.launched(), 3);
    // Never all of it, however much is asked for; and a client sees that it is not whole.
    bench.at_next_launch(json!({"kind": "cut", "after_bytes": 1_000_000})).await?;
    let answer = launch(&bench).await?;
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str()?), (201, "/api/v2/jobs/4/"));
    assert!(answer.text().await.is_err());
    assert_eq!(launch(&bench).await?.status(), 201, "the next one is whole");
    Ok(())
}

#[tokio::test]
async fn a_huge_answer_is_right_and_of_the_size_that_was_ordered() -> Result<()> {
    let bench = Bench::start().await?;
    bench.at_next_launch(json!({"kind": "huge", "bytes": 3_000_000})).await?;
    let answer = launch(&bench).await?;
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str()?), (201, "/api/v2/jobs/1/"));
    let text = answer.text().await?;
    assert_eq!(text.len(), 3_000_000);
    let row: Value = serde_json::from_str(&text)?;
    assert_eq!((&row["id"], &row["type"], &row["ignored_fields"]), (&json!(1), &json!("job"), &json!({})));
    assert!(text.find("\"id\"").unwrap() > 2_000_000, "nothing is told before all of it has come");
    // Fifty megabytes if nothing is said; whoever hangs up hurts nobody.
    bench
        .lever(Method::POST, "faults", json!({"method": "GET", "path": "/unified_jobs/", "fault": {"kind": "huge"}}))
        .await?;
    let mut list = bench.ask(Method::GET, "/api/v2/unified_jobs/").send().await?;
    assert_eq!(list.content_length(), Some(50_000_000));
    assert!(list.chunk().await?.is_some());
    drop(list);
    assert_eq!(bench.get("/api/v2/unified_jobs/").await?.1["count"], 1);
    Ok(())
}

#[tokio::test]
async fn while_it_migrates_everything_is_elsewhere() -> Result<()> {
    let bench = Bench::start().await?;
    bench.lever(Method::POST, "faults", json!({"times": 3, "fault": {"kind": "migrating"}})).await?;
    for (method, path) in [(Method::GET, "/api/v2/ping/"), (Method::POST, LAUNCH), (Method::GET, "/api/v2/jobs/7/")] {
        let answer = bench.ask(method, path).send().await?;
        assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str()?), (302, "/migrations_notran/"));
        let page = bench.ask(Method::GET, "/migrations_notran/").send().await?;
        assert_eq!(page.status(), 200);
        assert!(page.headers()["content-type"].to_str()?.starts_with("text/html"));
    }
    assert_eq!(bench.sandbox.launched(), 0);
    assert_eq!(bench.get("/api/v2/ping/").await?.0, 200);
    Ok(())
}

/// How often an address was asked for.
async fn asked(bench: &Bench, path: &str) -> Result<u64> {
    let counted = bench.lever(Method::GET, &format!("requests?path={path}"), Value::Null).await?;
    counted["count"].as_u64().ok_or_else(|| "no count".into())
}

#[tokio::test]
async fn whoever_follows_a_redirect_is_seen_where_it_leads() -> Result<()> {
    let bench = Bench::start().await?;
    let elsewhere = format!("{}/elsewhere/", bench.sandbox.url());
    for status in [301, 302, 307] {
        bench.at_next_launch(json!({"kind": "redirect", "location": elsewhere, "status": status})).await?;
        let answer = launch(&bench).await?;
        assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str()?), (status, elsewhere.as_str()));
    }
    assert_eq!((bench.sandbox.launched(), asked(&bench, "/elsewhere/").await?), (0, 0));
    let careless = reqwest::Client::new().post(format!("{}{LAUNCH}", bench.sandbox.url()));
    bench.at_next_launch(json!({"kind": "redirect", "location": elsewhere})).await?;
    careless.bearer_auth(bench.sandbox.token()).json(&json!({})).send().await?;
    assert_eq!(asked(&bench, "/elsewhere/").await?, 1);
    for wrong in
        [json!({"kind": "redirect", "location": "/x", "status": 200}), json!({"kind": "redirect", "location": "/\n"})]
    {
        assert_eq!(bench.try_lever(Method::POST, "faults", json!({"fault": wrong})).await?.0, 422);
    }
    Ok(())
}

#[tokio::test]
async fn a_good_status_can_come_with_a_body_that_says_nothing() -> Result<()> {
    let bench = Bench::start().await?;
    let garbled = async |fault: Value| -> Result<(u16, String, String)> {
        bench.at_next_launch(fault).await?;
        let answer = launch(&bench).await?;
        assert!(answer.headers().get("location").is_none());
        let kind = answer.headers()["content-type"].to_str()?.to_owned();
        Ok((answer.status().as_u16(), kind, answer.text().await?))
    };
    let (status, kind, text) = garbled(json!({"kind": "garbage"})).await?;
    assert_eq!((status, kind.as_str()), (201, "text/html; charset=utf-8"));
    assert!(text.starts_with("<!DOCTYPE html>"));
    let (status, kind, text) = garbled(json!({"kind": "garbage", "body": "json"})).await?;
    assert_eq!((status, kind.as_str()), (201, "application/json"));
    assert!(serde_json::from_str::<Value>(&text)?["id"].as_u64().is_none());
    let (status, _, text) = garbled(json!({"kind": "garbage", "json": {"id": -1}, "status": 200})).await?;
    assert_eq!((status, text.as_str()), (200, "{\"id\":-1}"));
    assert_eq!(bench.sandbox.launched(), 3, "each was launched");
    bench.lever(Method::POST, "faults", json!({"fault": {"kind": "garbage", "body": "json"}})).await?;
    let (status, list) = told(bench.ask(Method::GET, "/api/v2/unified_jobs/").send().await?).await?;
    assert_eq!((status, list["results"].is_array()), (200, false));
    Ok(())
}

#[tokio::test]
async fn a_plan_of_faults_strikes_in_its_order_and_lets_some_through() -> Result<()> {
    let bench = Bench::start().await?;
    let at_launch = |kind: Value| json!({"method": "POST", "path": "/launch/", "fault": kind});
    let plan = [
        json!({"kind": "none"}),
        json!({"kind": "lose_after"}),
        json!({"kind": "none"}),
        json!({"kind": "status", "status": 502}),
    ];
    let added = bench.lever(Method::POST, "faults/plan", json!({"faults": plan.map(at_launch).to_vec()})).await?;
    assert_eq!(added["items"].as_array().map(Vec::len), Some(4));
    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(launch(&bench).await.map(|answer| answer.status().as_u16()).ok());
    }
    assert_eq!(told, [Some(201), None, Some(201), Some(502), Some(201)]);
    assert_eq!(bench.sandbox.launched(), 4);
    // All or nothing.
    let half =
        json!({"faults": [at_launch(json!({"kind": "none"})), at_launch(json!({"kind": "garbage", "status": 404}))]});
    assert_eq!(bench.try_lever(Method::POST, "faults/plan", half).await?.0, 422);
    assert_eq!(bench.lever(Method::GET, "faults", Value::Null).await?, json!({"items": []}));
    Ok(())
}
