//! Paths as AWX and the proxy in front of it read them, confusions included.
//!
//! `/v2/api/job_templates/9/launch`, `//`, `.`, `..`, `09`, `%39` and names in place of ids all reach template 9.

use crate::state::State;

/// A path that belongs to the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiPath {
    /// `/api` or `/api/controller`: all addresses in the answer start with it.
    pub(crate) base: String,
    /// What follows the base, without empty segments.
    pub(crate) segments: Vec<String>,
    /// The final slash is missing and matters: answer 301.
    pub(crate) needs_slash: bool,
}

/// Resources that may be addressed by name; a missing final slash is forgiven below them.
const NAMED: &[&str] = &[
    "job_templates",
    "workflow_job_templates",
    "organizations",
    "projects",
    "inventories",
    "credentials",
    "labels",
    "hosts",
    "users",
    "instance_groups",
    "execution_environments",
];

/// Reads a path, `None` if it is none of the API's.
pub(crate) fn parse(raw: &str, bases: &[String]) -> Option<ApiPath> {
    let mut segments: Vec<String> = Vec::new();
    for piece in raw.split('/') {
        match decode(piece).as_str() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            piece => segments.push(piece.to_owned()),
        }
    }
    let ends_well = raw.ends_with('/') || raw.ends_with("/.") || raw.ends_with("/..");
    // The middleware asks whether both words are there, not in which order.
    if let [first, second, resource, ..] = segments.as_mut_slice()
        && first == "v2"
        && second == "api"
        && NAMED.contains(&resource.as_str())
    {
        std::mem::swap(first, second);
    }
    let base = bases.iter().filter(|base| starts_with(&segments, base)).max_by_key(|base| base.len())?.clone();
    let depth = base.split('/').filter(|s| !s.is_empty()).count();
    let segments: Vec<String> = segments.into_iter().skip(depth).collect();
    let forgiven =
        matches!(segments.as_slice(), [v2, resource, _, ..] if v2 == "v2" && NAMED.contains(&resource.as_str()));
    Some(ApiPath { base, segments, needs_slash: !ends_well && !forgiven })
}

fn starts_with(segments: &[String], base: &str) -> bool {
    let mut have = segments.iter();
    base.split('/').filter(|s| !s.is_empty()).all(|want| have.next().is_some_and(|s| s == want))
}

/// The id a segment stands for: digits with or without leading zeros, or the name of a thing that has one.
pub(crate) fn id(state: &State, resource: &str, segment: &str) -> Option<u64> {
    if segment.bytes().all(|b| b.is_ascii_digit()) {
        return segment.parse().ok();
    }
    if !NAMED.contains(&resource) {
        return None;
    }
    let name = segment.split("++").next().unwrap_or(segment);
    if resource.ends_with("job_templates") {
        return state.templates.values().find(|t| t.kind.collection() == resource && t.name == name).map(|t| t.id);
    }
    if resource == "users" {
        return state.accounts.iter().find(|a| a.username == name).map(|a| a.id);
    }
    let row = state.rows(resource).iter().find(|row| row.get("name").and_then(|n| n.as_str()) == Some(name))?;
    row.get("id")?.as_u64()
}

/// Percent-decoding, twice over if need be: `%252B` in a name means `+` to AWX.
fn decode(piece: &str) -> String {
    let once = decode_once(piece);
    if once.contains('%') { decode_once(&once) } else { once }
}

fn decode_once(piece: &str) -> String {
    let mut bytes = Vec::with_capacity(piece.len());
    let mut rest = piece.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut ahead = rest.clone();
            let digits = ahead.next().zip(ahead.next());
            if let Some((Some(high), Some(low))) = digits.map(|(h, l)| (hex(h), hex(l))) {
                bytes.push(high * 16 + low);
                rest = ahead;
                continue;
            }
        }
        bytes.push(byte);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(raw: &str) -> ApiPath {
        parse(raw, &["/api".to_owned()]).unwrap()
    }

    #[test]
    fn all_spellings_reach_the_same_template() {
        let state = State::fresh();
        for raw in [
            "/api/v2/job_templates/9/launch/",
            "/v2/api/job_templates/9/launch",
            "/api/v2/job_templates//9/launch/",
            "/api/v2/./job_templates/9/launch/",
            "/api/v2/job_templates/9/launch/x/../",
            "/api/v2/job_templates/09/launch/",
            "/api/v2/job_templates/%39/launch/",
            "/api/v2/job_templates/plain/launch/",
            "/api/v2/job_templates/plain++Default/launch/",
            "/api/v2/job_templates/plain%2B%2BDefault/launch/",
            "/api/v2/job_templates/9/launch",
        ] {
            let path = read(raw);
            assert!(!path.needs_slash, "{raw}");
            assert_eq!(path.segments[..2], ["v2", "job_templates"], "{raw}");
            assert_eq!(id(&state, "job_templates", &path.segments[2]), Some(9), "{raw}");
            assert_eq!(path.segments[3..], ["launch"], "{raw}");
        }
    }

    #[test]
    fn a_missing_slash_matters_elsewhere() {
        assert!(read("/api/v2/unified_jobs").needs_slash);
        assert!(read("/api/v2/jobs/5").needs_slash);
        assert!(parse("/elsewhere/", &["/api".to_owned()]).is_none());
    }

    #[test]
    fn the_longest_base_wins() {
        let bases = ["/api".to_owned(), "/api/controller".to_owned()];
        assert_eq!(parse("/api/controller/v2/ping/", &bases).unwrap().base, "/api/controller");
        assert_eq!(parse("/api/v2/ping/", &bases).unwrap().base, "/api");
    }

    proptest! {
        #[test]
        fn never_panics(raw in "/?(api|v2|job_templates|[%./+0-9a-z\\PC]{0,8}|/){0,12}") {
            let _ = parse(&raw, &["/api".to_owned()]);
        }
    }
}
