//! Collections, page by page.

use reqwest::Method;
use serde_json::Value;

use super::failure::{Exit, Failure};
use crate::api::Api;

/// How many items are asked for at once.
const PAGE: usize = 200;

/// As many items as are wanted, and where the rest begins. Nothing in `filter` needs escaping: it is made of names,
/// words and times that were checked; tokens are base64url.
pub(super) async fn all(api: &Api, path: &str, filter: &str, limit: usize) -> Result<(Vec<Value>, String), Failure> {
    let (mut items, mut token): (Vec<Value>, String) = (Vec::new(), String::new());
    loop {
        let size = PAGE.min(limit.saturating_sub(items.len()));
        let mut page = format!("{path}?page_size={size}{filter}");
        if !token.is_empty() {
            page.push_str(&format!("&page_token={token}"));
        }
        let answer = api.fetch(Method::GET, &page, None).await?;
        items.extend(self::items(&answer).iter().cloned());
        let next = answer.get("next_page_token").and_then(Value::as_str).unwrap_or_default();
        if next.is_empty() || items.len() >= limit {
            return Ok((items, next.to_owned()));
        }
        if next == token {
            return Err(Failure::new(Exit::Broken, "the list does not end"));
        }
        next.clone_into(&mut token);
    }
}

/// The items of a collection.
pub(super) fn items(answer: &Value) -> &[Value] {
    answer.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
