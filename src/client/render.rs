//! Answers as text: a table, or one line for each field.

use serde_json::{Map, Value};

use super::parameters::{ParameterSchema, word};
use super::reach::quoted;
use crate::terminal::{Colours, plain};

/// What is worth reading first of a job; what else there is follows.
const FIRST: &[&str] = &[
    "id",
    "state",
    "reason",
    "reason_detail",
    "template",
    "project",
    "priority",
    "queue",
    "start_at",
    "start_by",
    "max_duration_seconds",
    "requested_by_name",
    "requested_by",
    "created_at",
    "launched_at",
    "finished_at",
    "progress",
    "cancel_requested",
    "parameters",
    "outcome",
];
/// What is worth reading first of an attempt.
const FIRST_OF_ATTEMPT: &[&str] = &[
    "number",
    "state",
    "detail",
    "installation",
    "controller_address",
    "controller_template",
    "account",
    "sent_at",
    "controller_time",
    "marker",
    "marker_placement",
    "run",
    "candidates",
];
/// What is worth reading first of a template.
const FIRST_OF_TEMPLATE: &[&str] = &[
    "name",
    "description",
    "project",
    "controller",
    "controller_template",
    "controller_template_name",
    "fixed",
    "drift",
    "on_drift",
    "request_info",
];
/// The columns of a list of jobs: title and field.
const COLUMNS: [(&str, &str); 7] = [
    ("ID", "id"),
    ("STATE", "state"),
    ("TEMPLATE", "template"),
    ("PROJECT", "project"),
    ("CREATED", "created_at"),
    ("REQUESTED BY", "requested_by_name"),
    ("REASON", "reason"),
];

/// The columns of a list of templates.
const TEMPLATE_COLUMNS: [(&str, &str); 4] =
    [("NAME", "name"), ("PROJECT", "project"), ("CONTROLLER", "controller"), ("DESCRIPTION", "description")];
/// The columns of a list of profiles.
const PROFILE_COLUMNS: [(&str, &str); 5] =
    [("", "current"), ("NAME", "name"), ("URL", "url"), ("CLIENT", "client_id"), ("TENANT", "tenant")];

/// A list of jobs.
pub(super) fn jobs(items: &[Value]) -> String {
    list(items, &COLUMNS, "no jobs\n")
}

/// A list of templates.
pub(super) fn templates(items: &[Value]) -> String {
    list(items, &TEMPLATE_COLUMNS, "no templates that you may see\n")
}

/// A list of profiles.
pub(super) fn profiles(items: &[Value]) -> String {
    list(items, &PROFILE_COLUMNS, "no profiles: `runwarden login` makes one\n")
}

fn list(items: &[Value], columns: &[(&str, &str)], none: &str) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    let head: Vec<String> = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
    let rows = items.iter().map(|item| columns.iter().map(|(_, field)| cell(item, field)).collect());
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), Colours::on(&std::io::stdout()))
}

fn cell(item: &Value, field: &str) -> String {
    let text = item.get(field).map(value).unwrap_or_default();
    // In a table whole seconds are enough.
    match (field, text.split_once('.')) {
        ("created_at", Some((seconds, _))) => format!("{seconds}Z"),
        ("current", _) => if text == "true" { "*" } else { "" }.to_owned(),
        _ => text,
    }
}

/// A state in its colour.
pub(super) fn state(colours: Colours, state: &str) -> String {
    let code = match state {
        "succeeded" => "32",
        "failed" | "error" => "31",
        "unknown" => "1;35",
        "canceled" => "33",
        "running" | "launching" => "36",
        _ => "",
    };
    colours.paint(code, state)
}

fn table(rows: &[Vec<String>], colours: Colours) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        // Colours take no room: what is behind a cell is counted from the cell without them.
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let room = " ".repeat(width.saturating_sub(cell.chars().count()));
            format!("{}{room}", state(colours, cell))
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// One template: what it runs, its parameters, and how to run it.
pub(super) fn template(template: &Value) -> String {
    let nothing = Value::Null;
    let schema = ParameterSchema(template.get("parameters").unwrap_or(&nothing));
    let required = schema.required();
    let mut rows = vec![["PARAMETER", "TAKES", "REQUIRED", "DEFAULT", "ABOUT"].map(str::to_owned).to_vec()];
    for name in schema.names() {
        let Some(expected) = schema.parameter(name) else { continue };
        let about =
            [expected.text("title"), expected.text("description")].into_iter().flatten().filter(|t| !t.is_empty());
        rows.push(vec![
            plain(name),
            plain(&expected.in_short()),
            if required.contains(&name) { "yes" } else { "" }.to_owned(),
            expected.default().map(|default| plain(&word(default))).unwrap_or_default(),
            plain(&about.collect::<Vec<_>>().join(": ")),
        ]);
    }
    let parameters =
        if rows.len() > 1 { table(&rows, Colours::on(&std::io::stdout())) } else { "no parameters\n".to_owned() };
    let mut about = template.as_object().cloned().unwrap_or_default();
    about.remove("parameters");
    about.retain(|_, value| !says_nothing(value));
    format!("{}\n{parameters}\n{}\n", lines(&Value::Object(about), FIRST_OF_TEMPLATE), example(template, schema))
}

/// Whether a field of a template is as it is where nothing was said of it.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) => false,
    }
}

/// A command line that runs a template.
fn example(template: &Value, schema: ParameterSchema<'_>) -> String {
    let name = template.get("name").and_then(Value::as_str).unwrap_or_default();
    let mut line = format!("runwarden run {}", plain(name));
    for required in schema.required() {
        let Some(expected) = schema.parameter(required) else { continue };
        if expected.is_secret() {
            line.push_str(&format!(" {}=@FILE", plain(required)));
            continue;
        }
        let choice = expected.choices().and_then(|choices| choices.first().copied());
        let some = expected.default().or(choice).map_or_else(|| "…".to_owned(), word);
        line.push_str(&format!(" {}={}", plain(required), if some == "…" { some } else { quoted(&plain(&some)) }));
    }
    line
}

/// One job.
pub(super) fn job(job: &Value) -> String {
    lines(job, FIRST)
}

/// The attempts of a job.
pub(super) fn attempts(items: &[Value]) -> String {
    if items.is_empty() {
        return "no attempts\n".to_owned();
    }
    let blocks: Vec<String> = items.iter().map(|attempt| lines(attempt, FIRST_OF_ATTEMPT)).collect();
    blocks.join("\n")
}

/// Each field on a line of its own, those named first and then the others.
fn lines(object: &Value, first: &[&str]) -> String {
    let nothing = Map::new();
    let fields = object.as_object().unwrap_or(&nothing);
    let others = fields.keys().map(String::as_str).filter(|name| !first.contains(name));
    let names: Vec<&str> = first.iter().copied().filter(|name| fields.contains_key(*name)).chain(others).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default() + 1;
    let mut text = String::new();
    for name in names {
        let shown = match fields.get(name) {
            Some(place @ Value::Object(_)) if name == "queue" => queue(place),
            Some(other) => value(other),
            None => continue,
        };
        let label = format!("{}:", plain(name));
        text.push_str(format!("{label:<width$} {shown}").trim_end());
        text.push('\n');
    }
    text
}

fn queue(place: &Value) -> String {
    let position = place.get("position").map(value).unwrap_or_default();
    match place.get("expected_start_at").map(value) {
        Some(expected) => format!("position {position}, expected to begin at {expected}"),
        None => format!("position {position}"),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Array(items) if items.iter().all(Value::is_number) => {
            items.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
        }
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => plain(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{attempts, job, jobs, profiles, table, template};
    use crate::terminal::Colours;
    use serde_json::json;

    #[test]
    fn a_list_is_a_table_whose_columns_stand_below_each_other() {
        let list = [
            json!({
                "id": "job_1", "state": "unknown", "template": "deploy", "project": "web", "reason": "ambiguous",
                "created_at": "2026-11-22T05:00:00.123456Z", "requested_by_name": "ci",
            }),
            json!({
                "id": "job_22", "state": "new", "template": "d", "project": "größer",
                "created_at": "2026-11-22T05:00:00.000000Z", "requested_by_name": "evil\u{1b}[2J",
            }),
        ];
        let want = "\
ID      STATE    TEMPLATE  PROJECT  CREATED               REQUESTED BY  REASON
job_1   unknown  deploy    web      2026-11-22T05:00:00Z  ci            ambiguous
job_22  new      d         größer   2026-11-22T05:00:00Z  evil\u{fffd}[2J
";
        assert_eq!(jobs(&list), want);
        assert_eq!(jobs(&[]), "no jobs\n");
    }

    #[test]
    fn a_job_is_shown_field_by_field_and_nothing_of_it_is_left_out() {
        let shown = job(&json!({
            "trace_id": "0af7", "later": true, "state": "new", "id": "job_1", "reason_detail": "one\ntwo",
            "queue": {"position": 3, "expected_start_at": "2026-11-22T05:00:00.000000Z"},
            "parameters": {"environment": "dev", "password": {"set": true}},
        }));
        let want = "\
id:            job_1
state:         new
reason_detail: one two
queue:         position 3, expected to begin at 2026-11-22T05:00:00.000000Z
parameters:    {\"environment\":\"dev\",\"password\":{\"set\":true}}
later:         true
trace_id:      0af7
";
        assert_eq!(shown, want);
        assert_eq!(job(&json!({"queue": {"position": 10_000}})), "queue: position 10000\n");
    }

    #[test]
    fn attempts_are_blocks_with_what_finds_their_runs() {
        let shown = attempts(&[
            json!({"number": 1, "state": "not_launched", "candidates": []}),
            json!({"number": 2, "state": "ambiguous", "marker": "rw_1", "candidates": [7, 8]}),
        ]);
        let want = "\
number:     1
state:      not_launched
candidates:

number:     2
state:      ambiguous
marker:     rw_1
candidates: 7, 8
";
        assert_eq!(shown, want);
        assert_eq!(attempts(&[]), "no attempts\n");
    }

    #[test]
    fn profiles_are_a_table_that_marks_the_current_one() {
        let items = [
            json!({"name": "a", "current": false, "url": "https://a", "client_id": "c", "tenant": null}),
            json!({"name": "b", "current": true, "url": "https://b", "client_id": "d", "tenant": "acme"}),
        ];
        let want = "   NAME  URL        CLIENT  TENANT
   a     https://a  c
*  b     https://b  d       acme
";
        assert_eq!(profiles(&items), want);
        assert_eq!(table(&[], Colours::none()), "");
    }

    #[test]
    fn a_template_is_shown_with_its_parameters_and_how_to_run_it() {
        let shown = template(&json!({
            "name": "deploy", "project": "web", "max_concurrent": 0, "drift": [], "description": "",
            "fixed": {"limit": "web-*"},
            "parameters": {
                "properties": {
                    "environment": {"enum": ["dev", "prod"], "title": "Environment"},
                    "password": {"type": "string", "writeOnly": true},
                    "replicas": {"type": "integer", "default": 2},
                },
                "required": ["environment", "password"],
            },
        }));
        let want = "\
name:    deploy
project: web
fixed:   {\"limit\":\"web-*\"}

PARAMETER    TAKES           REQUIRED  DEFAULT  ABOUT
environment  dev|prod        yes                Environment
password     string, secret  yes
replicas     integer                   2

runwarden run deploy environment=dev password=@FILE
";
        assert_eq!(shown, want);
    }
}
