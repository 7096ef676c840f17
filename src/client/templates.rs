//! `runwarden templates`: what may be run.

use reqwest::Method;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::{pages, render};
use crate::api::Api;
use crate::cli::{ListTemplates, ShowTemplate, Templates};
use crate::terminal::{document, print};

/// `runwarden templates …`.
pub(super) async fn run(command: &Templates) -> Result<Exit, Failure> {
    let (answer, text) = match command {
        Templates::List(list) => {
            let api = list.reach.log_in().await?;
            let answer = all(&api, list).await?;
            let text = (!list.show.is_json()).then(|| render::templates(pages::items(&answer)));
            (answer, text)
        }
        Templates::Show(show) => {
            let api = show.reach.log_in().await?;
            let answer = one(&api, show).await?;
            let text = (!show.show.is_json()).then(|| render::template(&answer));
            (answer, text)
        }
    };
    print(text.unwrap_or_else(|| document(&answer)).as_bytes())?;
    Ok(Exit::Well)
}

async fn all(api: &Api, list: &ListTemplates) -> Result<Value, Failure> {
    let project = list.project.as_ref().map(|project| format!("&project={project}")).unwrap_or_default();
    let (items, _) = pages::all(api, "/api/v1/templates", &project, usize::MAX).await?;
    Ok(json!({"items": items, "next_page_token": ""}))
}

async fn one(api: &Api, show: &ShowTemplate) -> Result<Value, Failure> {
    Ok(read(api, &show.template).await?)
}

/// Reads a template.
pub(super) async fn read(api: &Api, name: &str) -> Result<Value, crate::api::CallError> {
    api.fetch(Method::GET, &format!("/api/v1/templates/{name}"), None).await
}
