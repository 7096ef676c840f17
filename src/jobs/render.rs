//! Jobs and attempts as text: a table, or one line for each field.

use serde_json::{Map, Value};

use crate::terminal::plain;

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

/// A list of jobs.
pub(super) fn jobs(items: &[Value]) -> String {
    if items.is_empty() {
        return "no jobs\n".to_owned();
    }
    let head: Vec<String> = COLUMNS.iter().map(|(title, _)| (*title).to_owned()).collect();
    let rows = items.iter().map(|job| COLUMNS.iter().map(|(_, field)| cell(job, field)).collect());
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

fn cell(job: &Value, field: &str) -> String {
    let text = job.get(field).map(value).unwrap_or_default();
    // In a table whole seconds are enough.
    match text.split_once('.') {
        Some((seconds, _)) if field == "created_at" => format!("{seconds}Z"),
        Some(_) | None => text,
    }
}

fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS.len()).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
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
    use super::{attempts, job, jobs};
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
}
