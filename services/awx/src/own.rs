//! Whether an answer is AWX's own. A proxy, a log-in page or an internal service may stand where a controller should
//! be: their answers settle nothing, and none of their text is passed on.

use http::HeaderMap;
use serde::de::IgnoredAny;

use super::answer::Answer;

/// AWX puts this on every answer of its API, refusals included (`api/generics.py`), and no proxy in front of it does:
/// a proxy's own error page takes the place of all of AWX's headers.
const PRODUCT: &str = "x-api-product-name";

impl Answer {
    /// Whether AWX itself answered this: it carries AWX's mark, and its body is JSON or empty.
    pub(super) fn is_own(&self) -> bool {
        self.body.as_deref().is_ok_and(|body| is_own(&self.headers, body))
    }
}

/// Whether a whole answer is AWX's own.
fn is_own(headers: &HeaderMap, body: &[u8]) -> bool {
    is_marked(headers) && is_json_or_empty(body)
}

/// Whether the head of an answer is AWX's.
pub(super) fn is_marked(headers: &HeaderMap) -> bool {
    headers.get(PRODUCT).is_some_and(|name| !name.as_bytes().trim_ascii().is_empty())
}

fn is_json_or_empty(body: &[u8]) -> bool {
    body.trim_ascii().is_empty() || serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn own(product: Option<&'static str>, body: &str) -> bool {
        let marks = product.map(|name| (HeaderName::from_static(PRODUCT), HeaderValue::from_static(name)));
        is_own(&marks.into_iter().collect(), body.as_bytes())
    }

    #[test]
    fn only_what_carries_the_mark_and_is_no_page_is_awxs_own() {
        for product in ["AWX", "Red Hat Ansible Automation Platform", "a fork of it"] {
            assert!(own(Some(product), r#"{"detail": "no"}"#));
            assert!(own(Some(product), ""));
            assert!(!own(Some(product), "<html>no</html>"));
            assert!(!own(Some(product), r#"{"detail": "n"#));
        }
        for product in [None, Some(""), Some(" ")] {
            assert!(!own(product, r#"{"detail": "no"}"#));
            assert!(!own(product, ""));
        }
    }
}
