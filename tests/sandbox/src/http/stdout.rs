//! `stdout/`: one text in many formats, each with its own idea of ranges and of what is too much.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::call::{Call, Visitor, Wants};
use super::jobs;
use super::reply::{Outcome, Refusal, html, ok, page, typed};
use crate::run::narrator::strip_ansi;
use crate::state::job::JobKind;

/// STDOUT_MAX_BYTES_DISPLAY.
const MAX_SHOWN: usize = 1_048_576;

pub(crate) fn show(call: &Call, visitor: &Visitor, id: u64) -> Outcome {
    let (text, name) = {
        let state = call.app.read();
        let job = jobs::visible(&state, visitor, JobKind::Job, id)?;
        (job.output(), format!("job_{}.txt", job.id))
    };
    let format = match (call.param("format"), call.wants()) {
        (None, Wants::Json) => "json",
        (None, Wants::Text) => "txt",
        // Whoever does not say what they take gets a page.
        (None, Wants::Html | Wants::Anything) => "html",
        (None, Wants::Other) => return Err(Refusal::not_acceptable()),
        (Some(format), wants) => {
            let fits = match format {
                "json" => matches!(wants, Wants::Json | Wants::Anything),
                "html" | "api" => matches!(wants, Wants::Html | Wants::Anything),
                "txt" | "ansi" | "txt_download" | "ansi_download" => matches!(wants, Wants::Text | Wants::Anything),
                _ => return Err(Refusal::detail(StatusCode::NOT_FOUND, "Not found.")),
            };
            if !fits {
                return Err(Refusal::not_acceptable());
            }
            format
        }
    };
    let too_large = text.len() > MAX_SHOWN;
    let instead = || {
        format!(
            "Standard Output too large to display ({} bytes), only download supported for sizes over {MAX_SHOWN} bytes.",
            text.len()
        )
    };
    Ok(match format {
        "json" if too_large => ok(&json!({"range": {"start": 0, "end": 1, "absolute_end": 1}, "content": instead()})),
        "json" => as_json(call, &text),
        "html" | "api" => {
            html(StatusCode::OK, &page("Standard Out", &if too_large { instead() } else { strip_ansi(&text) }))
        }
        "txt" | "ansi" if too_large => plain(instead()),
        "txt" => plain(strip_ansi(&text)),
        "ansi" => plain(text),
        "txt_download" => download(plain(strip_ansi(&text)), &name),
        _ => download(plain(text), &name),
    })
}

fn as_json(call: &Call, text: &str) -> Response {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let number = |name: &str| call.param(name).and_then(|v| v.parse::<usize>().ok());
    let absolute_end = lines.len();
    let start = number("start_line").unwrap_or(0).min(absolute_end);
    let end = number("end_line").unwrap_or(absolute_end).clamp(start, absolute_end);
    let content: String = lines.into_iter().skip(start).take(end - start).collect();
    let content = if call.param("content_encoding") == Some("base64") { STANDARD.encode(content) } else { content };
    ok(&json!({"range": {"start": start, "end": end, "absolute_end": absolute_end}, "content": content}))
}

fn plain(text: String) -> Response {
    typed(StatusCode::OK, "text/plain; charset=utf-8", text)
}

fn download(mut response: Response, name: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}
