//! Credentials that are good no more from one moment on.

use crate::support::{Bench, Result, kept_in};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_locked_account_is_401_by_token_password_and_session() -> Result<()> {
    let bench = Bench::start().await?;
    let jobs = "/api/v2/jobs/";
    let root = bench.bare(Method::GET, "/api/").send().await?;
    let csrf = root.headers()["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_owned();
    let form = [("username", "runwarden".to_owned()), ("password", bench.sandbox.password())];
    let login = || {
        let header = csrf.trim_start_matches("csrftoken=");
        bench.bare(Method::POST, "/api/login/").header("cookie", &csrf).header("x-csrftoken", header).form(&form)
    };
    let cookies = login().send().await?.headers().clone();
    let cookies = cookies.get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok());
    let session =
        cookies.filter_map(|c| c.split(';').next()).find(|c| c.starts_with("awx_sessionid=")).unwrap().to_owned();
    let statuses = async || -> Result<[u16; 4]> {
        let token = bench.ask(Method::GET, jobs).send().await?;
        let password = bench.ask_as("runwarden", Method::GET, jobs).send().await?;
        let session = bench.bare(Method::GET, jobs).header("cookie", &session).send().await?;
        let other = bench.ask_as("admin", Method::GET, jobs).send().await?;
        Ok([token, password, session, other].map(|answer| answer.status().as_u16()))
    };
    assert_eq!(statuses().await?, [200, 200, 200, 200]);
    bench.lever(Method::POST, "accounts/runwarden", json!({"locked": true})).await?;
    assert_eq!(statuses().await?, [401, 401, 401, 200]);
    assert_eq!(bench.post("/api/v2/job_templates/9/launch/", json!({})).await?.0, 401);
    assert_eq!((login().send().await?.status().as_u16(), bench.sandbox.launched()), (401, 0));
    bench.lever(Method::POST, "accounts/runwarden", json!({"locked": false})).await?;
    assert_eq!(statuses().await?, [200, 200, 200, 200]);
    assert_eq!(bench.try_lever(Method::POST, "accounts/nobody", json!({"locked": true})).await?.0, 404);
    Ok(())
}

#[tokio::test]
async fn a_rotated_token_kills_the_ones_before_and_outlives_a_restart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let bench = Bench::with(kept_in(dir.path())).await?;
    let with = async |bench: &Bench, token: &str| -> Result<u16> {
        Ok(bench.bare(Method::GET, "/api/v2/jobs/").bearer_auth(token).send().await?.status().as_u16())
    };
    let (_, second) = bench.post("/api/v2/tokens/", json!({"scope": "write"})).await?;
    let before = [bench.sandbox.token(), second["token"].as_str().unwrap().to_owned()];
    let rotated = bench.lever(Method::POST, "accounts/runwarden/rotate", Value::Null).await?;
    let fresh = rotated["token"].as_str().unwrap().to_owned();
    for dead in &before {
        assert_eq!(with(&bench, dead).await?, 401);
    }
    assert_eq!((with(&bench, &fresh).await?, bench.sandbox.token()), (200, fresh.clone()));
    bench.sandbox.crash().await;
    let bench = Bench::with(kept_in(dir.path())).await?;
    assert_eq!((with(&bench, &fresh).await?, with(&bench, &before[0]).await?), (200, 401));
    Ok(())
}
