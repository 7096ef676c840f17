//! The free part of an entry, cut to what the audit log accepts: a refused entry would stop what it describes.

use serde_json::{Map, Value};

use crate::json;
use crate::text::shortened;

/// The most bytes of details that the audit log takes.
pub const MAX_DETAILS: usize = 16 * 1024;

/// Details as canonical JSON of at most [`MAX_DETAILS`] bytes. Where that is not enough, long texts and lists are cut, and
/// `"cut": true` says so.
pub(super) fn fitted(details: &Value) -> String {
    let whole = json::canonical(details);
    let Value::Object(details) = details else { return whole };
    if whole.len() <= MAX_DETAILS {
        return whole;
    }
    [2048, 512, 128, 32]
        .into_iter()
        .map(|most| {
            let mut cut = object_cut(details, most);
            cut.insert("cut".into(), true.into());
            json::canonical(&Value::Object(cut))
        })
        .find(|text| text.len() <= MAX_DETAILS)
        .unwrap_or_else(|| r#"{"cut":true}"#.into())
}

/// Texts of at most so many bytes, and lists of a few items.
fn cut(value: &Value, most: usize) -> Value {
    match value {
        Value::String(text) => Value::String(shortened(text.clone(), most)),
        Value::Array(items) => items.iter().take(most / 32).map(|item| cut(item, most)).collect(),
        Value::Object(map) => Value::Object(object_cut(map, most)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn object_cut(map: &Map<String, Value>, most: usize) -> Map<String, Value> {
    map.iter().take(most / 16).map(|(key, value)| (key.clone(), cut(value, most))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fitted_value(details: &Value) -> Value {
        let text = fitted(details);
        assert!(text.len() <= MAX_DETAILS, "{}", text.len());
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let details = json!({"reasons": ["only dev"], "template": "deploy"});
        assert_eq!(fitted_value(&details), details);
    }

    #[test]
    fn long_reasons_in_wide_characters_are_cut_and_the_rest_stays() {
        let reasons: Vec<String> = (0..16).map(|_| "𝕏".repeat(256)).collect();
        let told = fitted_value(&json!({"template": "deploy", "reasons": reasons}));
        assert_eq!((&told["template"], &told["cut"]), (&json!("deploy"), &json!(true)));
        let kept = told["reasons"].as_array().unwrap();
        assert!(kept.len() == 16 && kept.iter().all(|reason| reason.as_str().unwrap().starts_with("𝕏𝕏")));
    }

    #[test]
    fn whatever_it_is_it_fits() {
        let keys: Map<String, Value> = (0..1000).map(|n| (format!("{n}{}", "k".repeat(600)), json!(n))).collect();
        for details in [
            json!({"deep": vec![vec!["x".repeat(3000); 30]; 30]}),
            json!({"text": "ä".repeat(100_000)}),
            Value::Object(keys),
        ] {
            assert_eq!(fitted_value(&details)["cut"], true);
        }
    }
}
