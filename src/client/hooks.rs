//! `runwarden hooks`: trying hooks out.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use reqwest::Method;
use runwarden_kit::ExposeSecret as _;
use serde_json::{Map, Value};

use super::failure::{Exit, Failure};
use super::input;
use crate::cli::{Hooks, TestHook};
use crate::terminal::{document, plain, print};

/// `runwarden hooks …`.
pub(super) async fn run(command: &Hooks) -> Result<Exit, Failure> {
    let Hooks::Test(test) = command;
    let body = asked(test).await?;
    let api = test.reach.log_in().await?;
    let path = format!("/api/v1/hooks/{}/test", test.hook);
    let tried = api.fetch(Method::POST, &path, Some(&body)).await?;
    let text = if test.show.is_json() { document(&tried) } else { told(&tried) };
    print(text.as_bytes())?;
    Ok(if tried.get("would_run") == Some(&Value::Bool(true)) { Exit::Well } else { Exit::Refused })
}

/// The request.
async fn asked(test: &TestHook) -> Result<Value, Failure> {
    let mut body = Map::new();
    if let Some(delivery) = &test.delivery {
        body.insert("delivery".to_owned(), delivery.clone().into());
    }
    if let Some(file) = &test.body {
        let given = file_of(file).await?;
        let given = serde_json::from_str(&given).with_context(|| format!("{} is not JSON", file.display()));
        body.insert("body".to_owned(), given.map_err(unreadable)?);
        body.insert("event".to_owned(), test.event.clone().unwrap_or_default().into());
    }
    if let Some(file) = &test.module {
        body.insert("module".to_owned(), file_of(file).await?.into());
    }
    Ok(Value::Object(body))
}

async fn file_of(path: &Path) -> Result<String, Failure> {
    Ok(input::read(path).await.map_err(unreadable)?.expose_secret().to_owned())
}

fn unreadable(error: anyhow::Error) -> Failure {
    Failure::new(Exit::Usage, format!("{error:#}"))
}

/// The answer for people: step by step, and the parameters.
fn told(tried: &Value) -> String {
    let mut text = String::new();
    let part = |value: &Value, name: &str| plain(value.get(name).and_then(Value::as_str).unwrap_or_default());
    let steps = tried.get("steps").and_then(Value::as_array);
    for step in steps.into_iter().flatten() {
        let line = format!("{:<10} {:<7} {}", part(step, "name"), part(step, "result"), part(step, "detail"));
        // Writing into a text cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if let Some(parameters) =
        tried.get("parameters").filter(|parameters| parameters.as_object().is_some_and(|p| !p.is_empty()))
    {
        let _ = writeln!(text, "parameters {}", plain(&parameters.to_string()));
    }
    for (pointer, problem) in tried.get("problems").and_then(Value::as_object).into_iter().flatten() {
        let _ = writeln!(text, "{} {}", plain(pointer), plain(problem.as_str().unwrap_or_default()));
    }
    let would = tried.get("would_run") == Some(&Value::Bool(true));
    text.push_str(if would { "A job would be accepted.\n" } else { "No job would be accepted.\n" });
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::told;

    #[test]
    fn a_test_is_told_step_by_step() {
        let tried = json!({"would_run": false, "parameters": {"n": 1}, "problems": {"/n": "is unknown"}, "steps": [
            {"name": "filtered", "result": "ok", "detail": "wanted"},
            {"name": "validated", "result": "failed", "detail": "They do not fit.\u{1b}[31m"},
        ]});
        let text = told(&tried);
        assert!(text.starts_with("filtered   ok      wanted\nvalidated  failed  They do not fit."), "{text}");
        assert!(text.contains("parameters {\"n\":1}\n/n is unknown\nNo job would be accepted.\n"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
