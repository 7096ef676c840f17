//! `runwarden jobs`: what callers and operators do about jobs.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::follow::follow;
use super::interrupt::unless_interrupted;
use super::view::View;
use super::{output, pages, render};
use crate::api::Api;
use crate::cli::{Jobs, List, Reach, Resolution, ShowJob, Watch};
use crate::terminal::{Colours, plain, print};

/// `runwarden jobs …`.
pub(super) async fn run(command: &Jobs) -> Result<Exit, Failure> {
    let api = command.reach().log_in().await?;
    match command {
        Jobs::Watch(one) => return watch(&api, one).await,
        Jobs::Output(one) => return output::print_all(&api, one).await,
        _ => {}
    }
    let answer = call(&api, command).await?;
    let text = if command.is_json() { format!("{answer:#}\n") } else { shown(command, &answer) };
    print(text.as_bytes())?;
    Ok(if matches!(command, Jobs::Show(ShowJob { wait: true, .. })) { Exit::of(&answer) } else { Exit::Well })
}

/// Does what the command says and answers what the API said.
async fn call(api: &Api, command: &Jobs) -> Result<Value, Failure> {
    let path = |job: &str, rest: &str| format!("/api/v1/jobs/{job}{rest}");
    Ok(match command {
        Jobs::List(list) => all(api, list).await?,
        Jobs::Show(one) if one.wait => until_over(api, &one.job, View::quiet(), one.timeout, &one.reach).await?,
        Jobs::Show(ShowJob { job, .. }) | Jobs::Watch(Watch { job, .. }) => {
            api.fetch(Method::GET, &path(job, ""), None).await?
        }
        Jobs::Output(one) => api.fetch(Method::GET, &path(&one.job, ""), None).await?,
        Jobs::Attempts(one) => api.fetch(Method::GET, &path(&one.job, "/attempts"), None).await?,
        Jobs::Resolve(resolve) => {
            let body = resolution(&resolve.resolution, &resolve.reason);
            api.fetch(Method::POST, &path(&resolve.job, "/resolve"), Some(&body)).await?
        }
        Jobs::Cancel(one) => api.fetch(Method::POST, &path(&one.job, "/cancel"), None).await?,
    })
}

/// Shows a job until its end.
async fn watch(api: &Api, watch: &Watch) -> Result<Exit, Failure> {
    let as_json = watch.show.is_json();
    let job = until_over(api, &watch.job, View::all(as_json), watch.timeout, &watch.reach).await?;
    if as_json {
        print(format!("{job:#}\n").as_bytes())?;
    } else {
        tell_end(&job);
    }
    Ok(Exit::of(&job))
}

/// Follows a job until it is over. Ctrl-C and the end of patience leave it running, and say how to come back.
pub(super) async fn until_over(
    api: &Api,
    id: &str,
    mut view: View,
    timeout: Option<Duration>,
    reach: &Reach,
) -> Result<Value, Failure> {
    let back = format!(
        "  the job goes on\n  follow it:  runwarden jobs watch {id}{0}\n  stop it:    runwarden jobs cancel {id}{0}",
        reach.repeated()
    );
    let following = async {
        let outcome = match timeout {
            Some(limit) => tokio::time::timeout(limit, follow(api, id, &mut view)).await.unwrap_or_else(|_| {
                let limit = humantime::format_duration(limit);
                Err(Failure::new(Exit::NotNow, format!("{id} was not over after {limit}")))
            }),
            None => follow(api, id, &mut view).await,
        };
        outcome.map_err(|failure| match failure.exit {
            Exit::NotNow | Exit::NobodyReads => failure.hinting(&back),
            _ => failure,
        })
    };
    unless_interrupted(following, || format!("interrupted\n{back}")).await
}

/// How a job that was followed ended, for people.
pub(super) fn tell_end(job: &Value) {
    let text = |key: &str| job.get(key).and_then(Value::as_str).map(plain).unwrap_or_default();
    let state = render::state(Colours::on(&std::io::stderr()), &text("state"));
    match (text("reason"), text("reason_detail")) {
        (reason, _) if reason.is_empty() => eprintln!("{} {state}", text("id")),
        (reason, detail) if detail.is_empty() => eprintln!("{} {state}: {reason}", text("id")),
        (reason, detail) => eprintln!("{} {state}: {detail} ({reason})", text("id")),
    }
    if Exit::of(job) == Exit::JobUnknown {
        eprintln!("{}", HINT_ON_UNKNOWN.trim());
    }
}

/// What is to be done about a job that no machine can decide about.
const HINT_ON_UNKNOWN: &str =
    "\nA person must decide: see `runwarden jobs attempts`, look at the controller, then `runwarden jobs resolve`.\n";

/// What the API is told about a launch.
fn resolution(resolution: &Resolution, reason: &str) -> Value {
    match resolution {
        Resolution { bind: Some(run), .. } => json!({"action": "bind", "run": run, "reason": reason}),
        Resolution { retry: true, .. } => json!({"action": "retry", "reason": reason}),
        // The command line takes exactly one of the three.
        Resolution { .. } => json!({"action": "give_up", "reason": reason}),
    }
}

/// As many jobs as were asked for, as one page.
async fn all(api: &Api, list: &List) -> Result<Value, Failure> {
    let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let (items, next) = pages::all(api, "/api/v1/jobs", &filter(list), limit).await?;
    Ok(json!({"items": items, "next_page_token": next}))
}

/// What a list is filtered by, as it goes into an address.
fn filter(list: &List) -> String {
    let mut filter = String::new();
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            // Of all that names, words and times hold, only the plus of a time zone means something else there.
            filter.push_str(&format!("&{name}={}", value.replace('+', "%2B")));
        }
    };
    let states = list.state.join(",");
    add("state", Some(states.as_str()).filter(|states| !states.is_empty()));
    add("template", list.template.as_deref());
    add("project", list.project.as_deref());
    add("created_after", list.created_after.as_deref());
    filter
}

/// An answer for people.
fn shown(command: &Jobs, answer: &Value) -> String {
    let items = pages::items(answer);
    match command {
        Jobs::List(_) => {
            let more = answer.get("next_page_token").and_then(Value::as_str).is_some_and(|token| !token.is_empty());
            let hint = if more { "there are more: raise --limit, or ask for a --state or a --template\n" } else { "" };
            format!("{}{hint}", render::jobs(items))
        }
        Jobs::Attempts(_) => render::attempts(items),
        Jobs::Show(_) | Jobs::Watch(_) | Jobs::Output(_) | Jobs::Resolve(_) | Jobs::Cancel(_) => {
            let unknown = Exit::of(answer) == Exit::JobUnknown;
            format!("{}{}", render::job(answer), if unknown { HINT_ON_UNKNOWN } else { "" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{filter, resolution};
    use crate::cli::{Arguments, Command, Jobs, List, Resolution};
    use clap::Parser as _;
    use serde_json::json;

    #[test]
    fn exactly_what_was_said_of_a_launch_is_sent() {
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
    fn a_list_is_filtered_by_what_was_said() {
        assert_eq!(filter(&list("")), "");
        let line = "--state unknown,error --template deploy --project web --created-after 2027-01-31T23:00:00+01:00";
        assert_eq!(
            filter(&list(line)),
            "&state=unknown,error&template=deploy&project=web&created_after=2027-01-31T23:00:00%2B01:00"
        );
    }
}
