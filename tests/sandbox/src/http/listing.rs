//! Collections: filter, order, cut into pages.

use std::cmp::Ordering;

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::call::Call;
use super::filter::{Filter, Record, Schema};
use super::reply::{Refusal, typed};

const DEFAULT_SIZE: usize = 25;
/// Larger values are silently capped.
const MAX_SIZE: usize = 200;

/// One page of rows.
pub(crate) struct Page<R> {
    pub(crate) rows: Vec<R>,
    count: usize,
    number: usize,
    pages: usize,
    counted: bool,
}

/// Filters, orders and cuts.
pub(crate) fn select<R: Record>(
    call: &Call,
    schema: &Schema,
    rows: impl Iterator<Item = R>,
    order: &str,
) -> Result<Page<R>, Refusal> {
    let filter = Filter::parse(schema, &call.query)?;
    cut(call, schema, rows.filter(|row| filter.keeps(row)).collect(), order)
}

/// Orders and cuts rows that are filtered already.
pub(crate) fn cut<R: Record>(call: &Call, schema: &Schema, mut rows: Vec<R>, order: &str) -> Result<Page<R>, Refusal> {
    let order_by = call.param("order_by").or_else(|| call.param("order")).filter(|o| !o.is_empty()).unwrap_or(order);
    let mut keys = Vec::new();
    for key in order_by.split(',') {
        let (name, down) = match key.strip_prefix('-') {
            Some(name) => (name, true),
            None => (key, false),
        };
        let Some((field, _)) = schema.kind(name) else {
            let choices: Vec<&str> = schema.fields.iter().map(|(name, _)| *name).collect();
            let text = format!("Cannot resolve keyword '{name}' into field. Choices are: {}", choices.join(", "));
            return Err(Refusal::detail(StatusCode::BAD_REQUEST, text));
        };
        keys.push((field, down));
    }
    rows.sort_by(|a, b| compare(&keys, a, b));
    let size = call
        .param("page_size")
        .and_then(|s| s.parse::<usize>().ok())
        .filter(|s| *s > 0)
        .map_or(DEFAULT_SIZE, |s| s.min(MAX_SIZE));
    let count = rows.len();
    let pages = count.div_ceil(size).max(1);
    let number = match call.param("page") {
        None => 1,
        Some("last") => pages,
        Some(text) => text.parse().ok().filter(|n| (1..=pages).contains(n)).ok_or_else(invalid_page)?,
    };
    let rows = rows.into_iter().skip((number - 1) * size).take(size).collect();
    Ok(Page { rows, count, number, pages, counted: call.param("count_disabled").is_none() })
}

fn invalid_page() -> Refusal {
    Refusal::detail(StatusCode::NOT_FOUND, "Invalid page.")
}

fn compare<R: Record>(keys: &[(&str, bool)], a: &R, b: &R) -> Ordering {
    for (field, down) in keys {
        let (a, b) = (a.values(field), b.values(field));
        let order = match (a.first(), b.first()) {
            // Nulls come last going up, as in PostgreSQL.
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        };
        let order = if *down { order.reverse() } else { order };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

impl<R> Page<R> {
    /// The envelope around the rows as they are shown.
    pub(crate) fn answer(&self, call: &Call, rows: Vec<Value>) -> Response {
        self.answer_text(call, &rows.iter().map(Value::to_string).collect::<Vec<_>>())
    }

    /// The same around rows that are JSON already.
    pub(crate) fn answer_text(&self, call: &Call, rows: &[String]) -> Response {
        let rows = rows.join(",");
        if !self.counted {
            return typed(StatusCode::OK, "application/json", format!("{{\"results\":[{rows}]}}"));
        }
        let to = |number: usize, there: bool| json!(there.then(|| address(call, number)));
        let next = to(self.number + 1, self.number < self.pages);
        let previous = to(self.number.saturating_sub(1), self.number > 1);
        let count = self.count;
        let text = format!("{{\"count\":{count},\"next\":{next},\"previous\":{previous},\"results\":[{rows}]}}");
        typed(StatusCode::OK, "application/json", text)
    }
}

/// The same list at another page, as a relative path with sorted parameters.
fn address(call: &Call, number: usize) -> String {
    let mut query: Vec<(String, String)> = call.query.iter().filter(|(name, _)| name != "page").cloned().collect();
    query.push(("page".to_owned(), number.to_string()));
    query.sort();
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    format!("{}/{}/?{}", call.path.base, call.path.segments.join("/"), pairs.join("&"))
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
