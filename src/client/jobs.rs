//! `runwarden jobs`: what callers and operators do about jobs.

use reqwest::Method;
use serde_json::{Value, json};

use super::accepted::Accepted;
use super::failure::{Exit, Failure};
use super::view::View;
use super::{output, pages, render};
use crate::api::{Api, CallError};
use crate::cli::{Jobs, List, Reach, Resolution};
use crate::terminal::{Colours, document, plain, print, say};

/// `runwarden jobs …`.
pub(super) async fn run(command: &Jobs) -> Result<Exit, Failure> {
    let (reach, show) = command.common();
    let api = reach.log_in().await?;
    let path = |job: &str, rest: &str| format!("/api/v1/jobs/{job}{rest}");
    let read = async |path: String| api.fetch(Method::GET, &path, None).await;
    let over = async |job: &str, view, timeout| {
        let accepted = Accepted::new(&api, job, reach);
        accepted.until_over(view, timeout).await.map_err(|failure| accepted.unseen(failure))
    };
    let (answer, text, exit) = match command {
        Jobs::Output(one) => return output::print_all(&api, one).await,
        Jobs::List(list) => well(all(&api, list).await?, listed),
        Jobs::Show(show) if show.wait => {
            let job = over(&show.one.job, View::quiet(), show.timeout).await?;
            let (text, exit) = (shown(&job), Exit::of(&job));
            (job, text, exit)
        }
        Jobs::Show(show) => well(read(path(&show.one.job, "")).await?, shown),
        Jobs::Watch(watch) => {
            let job = over(&watch.one.job, View::all(show.is_json()), watch.timeout).await?;
            let exit = Exit::of(&job);
            if !show.is_json() {
                tell_end(&job);
                return Ok(exit);
            }
            (job, String::new(), exit)
        }
        Jobs::Attempts(one) => {
            well(read(path(&one.job, "/attempts")).await?, |answer| render::attempts(pages::items(answer)))
        }
        Jobs::Cancel(one) => {
            let done = api.fetch(Method::POST, &path(&one.job, "/cancel"), None).await;
            well(done.map_err(|error| perhaps_done(error, &one.job, reach))?, shown)
        }
        Jobs::Resolve(resolve) => {
            let job = &resolve.one.job;
            let body = resolution(&resolve.resolution, &resolve.reason);
            let done = api.fetch(Method::POST, &path(job, "/resolve"), Some(&body)).await;
            well(done.map_err(|error| perhaps_done(error, job, reach))?, shown)
        }
    };
    let text = if show.is_json() { document(&answer) } else { text };
    print(text.as_bytes())?;
    Ok(exit)
}

/// An answer, as it is shown, of a command that went well.
fn well(answer: Value, shown: impl Fn(&Value) -> String) -> (Value, String, Exit) {
    let text = shown(&answer);
    (answer, text, Exit::Well)
}

/// Why something was not done to a job, or perhaps was: it is not sent twice, since the second answer would say no.
fn perhaps_done(error: CallError, job: &str, reach: &Reach) -> Failure {
    let perhaps = error.perhaps_done;
    let failure = Failure::from(error).with("job", job);
    if perhaps {
        let again = reach.repeated();
        failure.hinting(&format!("  it may have been done all the same: see `runwarden jobs show {job}{again}`"))
    } else {
        failure
    }
}

/// How a job that was followed ended, for people.
pub(super) fn tell_end(job: &Value) {
    let text = |key: &str| job.get(key).and_then(Value::as_str).map(plain).unwrap_or_default();
    let state = render::state(Colours::on(&std::io::stderr()), &text("state"));
    match (text("reason"), text("reason_detail")) {
        (reason, _) if reason.is_empty() => say(format_args!("{} {state}", text("id"))),
        (reason, detail) if detail.is_empty() => say(format_args!("{} {state}: {reason}", text("id"))),
        (reason, detail) => say(format_args!("{} {state}: {detail} ({reason})", text("id"))),
    }
    if Exit::of(job) == Exit::JobUnknown {
        say(HINT_ON_UNKNOWN.trim());
    }
}

/// What to do about a job whose launch is ambiguous.
const HINT_ON_UNKNOWN: &str = "\nAn operator must decide: see `runwarden jobs attempts`, look at the controller, then \
     `runwarden jobs resolve`.\n";

/// What is sent to the API about a launch.
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

/// Jobs for people.
fn listed(answer: &Value) -> String {
    let more = answer.get("next_page_token").and_then(Value::as_str).is_some_and(|token| !token.is_empty());
    let hint = if more { "there are more: raise --limit, or ask for a --state or a --template\n" } else { "" };
    format!("{}{hint}", render::jobs(pages::items(answer)))
}

/// A job for people.
fn shown(job: &Value) -> String {
    let unknown = Exit::of(job) == Exit::JobUnknown;
    format!("{}{}", render::job(job), if unknown { HINT_ON_UNKNOWN } else { "" })
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
