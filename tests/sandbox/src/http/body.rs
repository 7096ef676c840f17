//! Request bodies: JSON objects, with AWX's words for everything else.

use http::{StatusCode, header};
use serde_json::{Map, Value};

use super::call::Call;
use super::reply::Refusal;
use crate::launch::variables::json_error_text;

/// The body as an object; none at all is an empty one.
pub(crate) fn object(call: &Call) -> Result<Map<String, Value>, Refusal> {
    if call.body.is_empty() {
        return Ok(Map::new());
    }
    let kind = call.header(header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or(kind).trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::detail(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "You did not use correct Content-Type in your HTTP request. If you are using our REST API, the Content-Type must be application/json",
        ));
    }
    let text = std::str::from_utf8(&call.body).map_err(|error| {
        bad(format!(
            "JSON parse error - 'utf-8' codec can't decode byte in position {}: invalid start byte",
            error.valid_up_to()
        ))
    })?;
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        // `null` passes for an empty body.
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(bad("JSON parse error - not a JSON object".to_owned())),
        Err(error) => {
            Err(bad(format!("JSON parse error - {}\nPossible cause: trailing comma.", json_error_text(text, &error))))
        }
    }
}

/// A form, as a browser's login page sends it.
pub(crate) fn form(call: &Call) -> Vec<(String, String)> {
    pairs(&String::from_utf8_lossy(&call.body))
}

/// Name and value pairs of a query or a form.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let uri = format!("/?{text}").parse::<http::Uri>();
    uri.ok()
        .and_then(|uri| axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri).ok())
        .map(|query| query.0)
        .unwrap_or_default()
}

fn bad(text: String) -> Refusal {
    Refusal::detail(StatusCode::BAD_REQUEST, text)
}
