//! Whether a caller takes what a route answers with.

use http::HeaderMap;
use http::header::ACCEPT;

/// Whether the `Accept` headers allow a media type. No header allows everything; the most specific range decides.
#[must_use]
pub fn allows(headers: &HeaderMap, media_type: &str) -> bool {
    let mut ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(Range::read)
        .peekable();
    if ranges.peek().is_none() {
        return headers.get(ACCEPT).is_none_or(|value| value.as_bytes().trim_ascii().is_empty());
    }
    let best = ranges.filter_map(|range| range.specificity(media_type).map(|rank| (rank, range.wanted))).max();
    best.is_some_and(|(_, wanted)| wanted)
}

struct Range {
    kind: String,
    subkind: String,
    wanted: bool,
}

impl Range {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subkind) = parts.next()?.split_once('/')?;
        let zero = |weight: &str| weight.starts_with('0') && weight.bytes().all(|b| matches!(b, b'0' | b'.'));
        let unwanted = parts.any(|part| {
            part.split_once('=')
                .is_some_and(|(name, weight)| name.trim().eq_ignore_ascii_case("q") && zero(weight.trim()))
        });
        Some(Self { kind: kind.to_ascii_lowercase(), subkind: subkind.to_ascii_lowercase(), wanted: !unwanted })
    }

    fn specificity(&self, media_type: &str) -> Option<u8> {
        let (kind, subkind) = media_type.split_once('/')?;
        match (self.kind.as_str(), self.subkind.as_str()) {
            ("*", "*") => Some(0),
            (own, "*") if own == kind => Some(1),
            (own, own_sub) if own == kind && own_sub == subkind => Some(2),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::allows;
    use http::header::ACCEPT;
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    fn accept(line: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(line).unwrap());
        headers
    }

    #[test]
    fn ranges_are_honoured() {
        let json = "application/json";
        assert!(allows(&HeaderMap::new(), json));
        for yes in ["*/*", "application/*", "application/json", "Application/JSON; q=0.5", "image/png, */*;q=0.1", ""] {
            assert!(allows(&accept(yes), json), "{yes}");
        }
        for no in ["image/png", "text/*", "application/json;q=0", "*/*;q=0.0", "*/*, application/json;q=0", "nonsense"]
        {
            assert!(!allows(&accept(no), json), "{no}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_answered(line in "[ -~]{0,100}") {
            let _ = allows(&accept(&line), "application/json");
        }
    }
}
