//! Credentials, roots, headers, pages and paths.

use crate::support::{Bench, Result, options, told};
use reqwest::Method;
use runwarden_sandbox::Options;
use serde_json::json;

#[tokio::test]
async fn every_bad_credential_gets_the_same_401() -> Result<()> {
    let bench = Bench::start().await?;
    let want = json!({"detail": "Authentication credentials were not provided. To establish a login session, visit /api/login/."});
    let jobs = || bench.bare(Method::GET, "/api/v2/jobs/");
    for request in [
        jobs(),
        jobs().bearer_auth("wrong"),
        jobs().basic_auth("runwarden", Some("wrong")),
        jobs().basic_auth("nobody", Some("x")),
    ] {
        let response = request.send().await?;
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=api authorization_url=/api/o/authorize/");
        assert!(response.headers().get("x-api-product-version").is_none());
        assert_eq!(told(response).await?, (401, want.clone()));
    }
    Ok(())
}

#[tokio::test]
async fn answers_carry_awx_headers() -> Result<()> {
    let bench = Bench::start().await?;
    let id = "1d0e7f3a-35f4-4a0a-9a43-0a9a4c1f0001";
    let response = bench.ask(Method::GET, "/api/v2/me/").header("x-api-request-id", id).send().await?;
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!((header("x-api-product-name").as_str(), header("x-api-product-version").as_str()), ("AWX", "24.6.1"));
    assert_eq!(header("x-api-request-id"), id);
    assert!(!header("x-api-node").is_empty() && header("x-api-time").ends_with('s'));
    let other = bench.ask(Method::GET, "/api/v2/me/").header("x-api-request-id", "not-a-uuid").send().await?;
    assert_ne!(other.headers()["x-api-request-id"], "not-a-uuid");
    Ok(())
}

#[tokio::test]
async fn a_session_needs_its_csrf_token() -> Result<()> {
    let bench = Bench::start().await?;
    let root = bench.bare(Method::GET, "/api/").send().await?;
    let cookie = root.headers()["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_owned();
    let csrf = cookie.trim_start_matches("csrftoken=").to_owned();
    let login = |password: String| {
        let form = [("username", "runwarden".to_owned()), ("password", password), ("next", "/api/".to_owned())];
        bench.bare(Method::POST, "/api/login/").header("cookie", &cookie).header("x-csrftoken", &csrf).form(&form)
    };
    assert_eq!(login("wrong".to_owned()).send().await?.status(), 401);
    let response = login(bench.sandbox.password()).send().await?;
    assert_eq!((response.status().as_u16(), response.headers()["location"].to_str()?), (302, "/api/"));
    assert_eq!(response.headers()["x-api-session-cookie-name"], "awx_sessionid");
    let cookies = response.headers().get_all("set-cookie").iter().filter_map(|v| v.to_str().ok());
    let session = cookies
        .filter_map(|c| c.split(';').next())
        .find(|c| c.starts_with("awx_sessionid="))
        .unwrap_or_default()
        .to_owned();
    let both = format!("{cookie}; {session}");
    let launch =
        || bench.bare(Method::POST, "/api/v2/job_templates/9/launch/").header("cookie", &both).json(&json!({}));
    assert_eq!(told(launch().send().await?).await?, (403, json!({"detail": "CSRF Failed: CSRF token missing."})));
    assert_eq!(launch().header("x-csrftoken", &csrf).send().await?.status(), 201);
    Ok(())
}

#[tokio::test]
async fn a_read_token_cannot_launch_and_is_shown_once() -> Result<()> {
    let bench = Bench::start().await?;
    let (status, made) = bench.post("/api/v2/tokens/", json!({"scope": "read", "application": null})).await?;
    assert_eq!(status, 201);
    let token = made["token"].as_str().unwrap().to_owned();
    let with = |method, path: &str| bench.bare(method, path).bearer_auth(&token);
    assert_eq!(with(Method::GET, "/api/v2/jobs/").send().await?.status(), 200);
    assert_eq!(with(Method::POST, "/api/v2/job_templates/9/launch/").json(&json!({})).send().await?.status(), 403);
    let (_, list) = bench.get("/api/v2/tokens/").await?;
    assert!(!list.to_string().contains(&token) && list.to_string().contains("************"));
    let gone = bench.ask(Method::DELETE, &format!("/api/v2/tokens/{}/", made["id"])).send().await?;
    assert_eq!(gone.status(), 204);
    assert_eq!(with(Method::GET, "/api/v2/jobs/").send().await?.status(), 401);
    Ok(())
}

#[tokio::test]
async fn addresses_that_do_not_exist_are_pages_and_missing_slashes_301() -> Result<()> {
    let bench = Bench::start().await?;
    let lost = bench.ask(Method::GET, "/api/v2/nothing/").send().await?;
    assert_eq!(lost.status(), 404);
    assert!(lost.headers()["content-type"].to_str()?.starts_with("text/html"));
    let moved = bench.ask(Method::GET, "/api/v2/unified_jobs?order_by=finished").send().await?;
    assert_eq!(
        (moved.status().as_u16(), moved.headers()["location"].to_str()?),
        (301, "/api/v2/unified_jobs/?order_by=finished")
    );
    let refused = bench
        .bare(Method::GET, "/api/v2/jobs/")
        .bearer_auth(bench.sandbox.token())
        .header("accept", "image/png")
        .send()
        .await?;
    assert_eq!(refused.status(), 406);
    let confused =
        bench.ask(Method::POST, "/v2/api/job_templates/plain++Default/launch").json(&json!({})).send().await?;
    assert_eq!(confused.status(), 201);
    Ok(())
}

#[tokio::test]
async fn ping_is_for_everyone_and_options_describe_launches() -> Result<()> {
    let bench = Bench::start().await?;
    let (status, ping) = told(bench.bare(Method::GET, "/api/v2/ping/").send().await?).await?;
    assert_eq!((status, &ping["version"]), (200, &json!("24.6.1")));
    let (status, about) = told(bench.ask(Method::OPTIONS, "/api/v2/job_templates/1/launch/").send().await?).await?;
    assert_eq!((status, &about["actions"]["POST"]["extra_vars"]["type"]), (200, &json!("json")));
    Ok(())
}

#[tokio::test]
async fn the_platforms_root_shows_in_every_address() -> Result<()> {
    let bench = Bench::with(Options { api_root: "/api/controller/v2".to_owned(), ..options() }).await?;
    let response =
        bench.ask(Method::POST, "/api/controller/v2/job_templates/9/launch/").json(&json!({})).send().await?;
    assert_eq!(response.headers()["location"], "/api/controller/v2/jobs/1/");
    assert_eq!(response.headers()["x-api-product-name"], "Red Hat Ansible Automation Platform");
    let job: serde_json::Value = response.json().await?;
    assert_eq!(
        (&job["url"], &job["related"]["stdout"]),
        (&json!("/api/controller/v2/jobs/1/"), &json!("/api/controller/v2/jobs/1/stdout/"))
    );
    assert_eq!(bench.get("/api/v2/jobs/1/").await?.1["url"], "/api/v2/jobs/1/");
    let plain = Bench::start().await?;
    assert_eq!(plain.get("/api/controller/v2/ping/").await?.0, 404);
    Ok(())
}
