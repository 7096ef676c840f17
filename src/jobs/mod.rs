//! `runwarden jobs`: what operators do about jobs, over the REST API of the admin listener.

mod reach;
mod render;

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, Refusal};
use crate::cli::{Jobs, List, Resolution};

/// How many jobs are asked for at once.
const PAGE: usize = 200;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
enum Failure {
    /// It was not told enough, or nonsense.
    Usage(String),
    /// It went wrong, or was refused.
    Failed(anyhow::Error),
}

impl Failure {
    fn usage(what: String) -> Self {
        Self::Usage(what)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// `runwarden jobs …`: 0 only if it went well, 2 for a command that makes no sense.
pub(crate) fn main(command: &Jobs) -> ExitCode {
    let name = command.name();
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(what)) => {
            eprintln!("runwarden jobs {name}: {what}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(error)) => {
            match error.downcast_ref::<Refusal>() {
                Some(Refusal { body, .. }) if command.reach().json && body.is_object() => eprintln!("{body:#}"),
                Some(_) | None => eprintln!("runwarden jobs {name}: {error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Jobs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let answer = runtime.block_on(async {
        let api = command.reach().log_in().await?;
        call(&api, command).await.map_err(Failure::from)
    })?;
    let text = if command.reach().json { format!("{answer:#}\n") } else { shown(command, &answer) };
    print(&text).map_err(Failure::from)
}

/// Does what the command says and answers what the API said.
async fn call(api: &Api, command: &Jobs) -> anyhow::Result<Value> {
    match command {
        Jobs::List(list) => all(api, list).await,
        Jobs::Show(one) => api.fetch(Method::GET, &format!("/api/v1/jobs/{}", one.job), None).await,
        Jobs::Attempts(one) => api.fetch(Method::GET, &format!("/api/v1/jobs/{}/attempts", one.job), None).await,
        Jobs::Resolve(resolve) => {
            let body = resolution(&resolve.resolution, &resolve.reason);
            api.fetch(Method::POST, &format!("/api/v1/jobs/{}/resolve", resolve.job), Some(&body)).await
        }
        Jobs::Cancel(one) => api.fetch(Method::POST, &format!("/api/v1/jobs/{}/cancel", one.job), None).await,
    }
}

/// What the API is told about a launch.
fn resolution(resolution: &Resolution, reason: &str) -> Value {
    match resolution {
        Resolution { bind: Some(run), .. } => json!({"action": "bind", "run": run, "reason": reason}),
        Resolution { retry: true, .. } => json!({"action": "retry", "reason": reason}),
        // The command line takes exactly one of the three.
        Resolution { .. } => json!({"action": "give_up", "reason": reason}),
    }
}

/// As many jobs as were asked for, page by page, as one page.
async fn all(api: &Api, list: &List) -> anyhow::Result<Value> {
    let limit = usize::try_from(list.limit)?;
    let (mut items, mut token) = (Vec::new(), String::new());
    loop {
        let size = PAGE.min(limit.saturating_sub(items.len()));
        let answer = api.fetch(Method::GET, &query(list, size, &token), None).await?;
        items.extend(answer.get("items").and_then(Value::as_array).into_iter().flatten().cloned());
        let next = answer.get("next_page_token").and_then(Value::as_str).unwrap_or_default();
        if next.is_empty() || items.len() >= limit {
            return Ok(json!({"items": items, "next_page_token": next}));
        }
        anyhow::ensure!(next != token, "the list comes to no end");
        next.clone_into(&mut token);
    }
}

/// The path of a page. Nothing in it needs escaping: states and templates are words, tokens are base64url.
fn query(list: &List, size: usize, token: &str) -> String {
    let mut path = format!("/api/v1/jobs?page_size={size}");
    if !list.state.is_empty() {
        path.push_str(&format!("&state={}", list.state.join(",")));
    }
    if let Some(template) = &list.template {
        path.push_str(&format!("&template={template}"));
    }
    if !token.is_empty() {
        path.push_str(&format!("&page_token={token}"));
    }
    path
}

/// An answer for people.
fn shown(command: &Jobs, answer: &Value) -> String {
    let items = answer.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match command {
        Jobs::List(_) => {
            let more = answer.get("next_page_token").and_then(Value::as_str).is_some_and(|token| !token.is_empty());
            let hint = if more { "there are more: raise --limit, or ask for a --state or a --template\n" } else { "" };
            format!("{}{hint}", render::jobs(items))
        }
        Jobs::Attempts(_) => render::attempts(items),
        Jobs::Show(_) | Jobs::Resolve(_) | Jobs::Cancel(_) => {
            let unknown = answer.get("state").and_then(Value::as_str) == Some("unknown");
            let hint = if unknown {
                "\nA person must decide: see `runwarden jobs attempts`, look at the controller, then `runwarden jobs resolve`.\n"
            } else {
                ""
            };
            format!("{}{hint}", render::job(answer))
        }
    }
}

/// Prints; a reader that has seen enough is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{query, resolution};
    use crate::cli::{Arguments, Command, Jobs, List, Resolution};
    use clap::Parser as _;
    use serde_json::json;

    #[test]
    fn exactly_what_was_said_of_a_launch_is_told() {
        let said = |bind, retry, give_up| resolution(&Resolution { bind, retry, give_up }, "why");
        assert_eq!(said(Some(7), false, false), json!({"action": "bind", "run": 7, "reason": "why"}));
        assert_eq!(said(None, true, false), json!({"action": "retry", "reason": "why"}));
        assert_eq!(said(None, false, true), json!({"action": "give_up", "reason": "why"}));
    }

    fn list(line: &str) -> List {
        let words =
            "runwarden jobs list --data-dir d".split(' ').chain(line.split(' ').filter(|word| !word.is_empty()));
        match Arguments::try_parse_from(words).map(|arguments| arguments.command) {
            Ok(Command::Jobs(jobs)) => match *jobs {
                Jobs::List(list) => list,
                _ => panic!("another command"),
            },
            _ => panic!("{line}"),
        }
    }

    #[test]
    fn a_page_is_asked_for_by_what_was_said() {
        assert_eq!(query(&list(""), 50, ""), "/api/v1/jobs?page_size=50");
        let all = query(&list("--state unknown,error --template deploy"), 200, "am9iXzE");
        assert_eq!(all, "/api/v1/jobs?page_size=200&state=unknown,error&template=deploy&page_token=am9iXzE");
    }
}
