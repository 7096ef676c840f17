use std::net::IpAddr;

use reqwest::Url;

use super::ClientLimits;
use super::resolve::is_forbidden;

/// Where a controller is, as it was configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Scheme, host and port, such as `https://awx.example`.
    pub url: String,
    /// Where its API begins: `/api/v2` (also when empty) or `/api/controller/v2`.
    pub api_root: String,
    /// The certificate authority to trust for it, PEM; empty for the system's.
    pub ca_pem: String,
}

/// Why a [`Target`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetProblem {
    /// Which part is wrong: `/url`, `/api_root`, `/ca_pem`, or `/credential`.
    pub pointer: &'static str,
    /// What is wrong with it, for people.
    pub detail: String,
}

impl TargetProblem {
    pub(super) fn new(pointer: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer, detail: detail.into() }
    }
}

impl std::fmt::Display for TargetProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.pointer, self.detail)
    }
}

impl std::error::Error for TargetProblem {}

/// A checked base that every address of one controller starts with.
#[derive(Clone, Debug)]
pub(super) struct Address {
    root: Url,
}

/// A path below the API root: fixed words and numeric ids, never text from outside. AWX reaches the same template
/// by many spellings of a path; we know exactly one.
#[derive(Clone, Debug)]
pub(super) struct Path(String);

impl Path {
    /// The API root itself.
    pub(super) fn root() -> Self {
        Self(String::new())
    }

    pub(super) fn to(word: &'static str) -> Self {
        Self(format!("{word}/"))
    }

    pub(super) fn id(mut self, id: i64) -> Self {
        self.0.push_str(&format!("{id}/"));
        self
    }

    pub(super) fn then(mut self, word: &'static str) -> Self {
        self.0.push_str(word);
        self.0.push('/');
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Address {
    pub(super) fn parse(target: &Target, limits: &ClientLimits) -> Result<Self, TargetProblem> {
        let wrong = |detail: &str| TargetProblem::new("/url", detail);
        let mut root =
            Url::parse(target.url.trim()).map_err(|_| wrong("is not an address such as https://awx.example"))?;
        if !matches!(root.scheme(), "http" | "https") {
            return Err(wrong("must start with https:// (or http://)"));
        }
        if !root.username().is_empty() || root.password().is_some() {
            return Err(wrong("must not contain a user name or password; they belong in the credential"));
        }
        if root.query().is_some() || root.fragment().is_some() || root.path() != "/" {
            return Err(wrong("must be scheme, host and port only; a path belongs in api_root"));
        }
        let host = root.host_str().unwrap_or_default().to_owned();
        let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        if literal.is_some_and(is_forbidden) {
            return Err(wrong("points to an address that no controller can have"));
        }
        let local = host.eq_ignore_ascii_case("localhost") || literal.is_some_and(|ip| ip.is_loopback());
        if root.scheme() == "http" && !local && !limits.allow_plain_http {
            return Err(wrong("must start with https://: over http:// the credential would travel in clear"));
        }
        root.set_path(&format!("{}/", checked_api_root(&target.api_root)?));
        Ok(Self { root })
    }

    pub(super) fn is_plain(&self) -> bool {
        self.root.scheme() == "http"
    }

    pub(super) fn host(&self) -> Option<&str> {
        self.root.host_str()
    }

    /// The path its API begins with, such as `/api/v2/`.
    pub(super) fn root(&self) -> &str {
        self.root.path()
    }

    pub(super) fn at(&self, path: &Path, query: &[(&'static str, String)]) -> Url {
        let mut url = self.root.clone();
        url.set_path(&format!("{}{}", self.root.path(), path.0));
        if !query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for (name, value) in query {
                pairs.append_pair(name, value);
            }
        }
        url
    }
}

fn checked_api_root(api_root: &str) -> Result<String, TargetProblem> {
    let api_root = match api_root.trim() {
        "" => "/api/v2",
        other => other,
    };
    let segments = api_root.strip_prefix('/').map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let fine = segments.is_some_and(|segments| {
        segments.split('/').all(|segment| {
            !segment.is_empty()
                && segment.len() <= 64
                && segment != "."
                && segment != ".."
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        })
    });
    match segments {
        Some(segments) if fine => Ok(format!("/{segments}")),
        _ => Err(TargetProblem::new("/api_root", "must be a plain path such as /api/v2 or /api/controller/v2")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::usual;

    fn parse(url: &str, api_root: &str) -> Result<Address, TargetProblem> {
        let target = Target { url: url.into(), api_root: api_root.into(), ca_pem: String::new() };
        Address::parse(&target, &usual())
    }

    #[test]
    fn addresses_are_base_root_words_and_ids() {
        let address = parse("https://awx.example:8443", "/api/controller/v2/").unwrap();
        let url = address
            .at(&Path::to("jobs").id(7).then("stdout"), &[("format", "json".into()), ("start_line", "3".into())]);
        assert_eq!(url.as_str(), "https://awx.example:8443/api/controller/v2/jobs/7/stdout/?format=json&start_line=3");
    }

    #[test]
    fn query_values_cannot_add_parameters() {
        let address = parse("https://awx.example", "").unwrap();
        let url = address.at(&Path::to("jobs"), &[("id__in", "1&x=2#y".into())]);
        assert_eq!(url.as_str(), "https://awx.example/api/v2/jobs/?id__in=1%26x%3D2%23y");
    }

    #[test]
    fn what_is_no_bare_base_is_refused() {
        for url in [
            "",
            "awx.example",
            "ftp://awx.example",
            "file:///etc/passwd",
            "https://u:p@awx.example",
            "https://awx.example/sub",
            "https://awx.example?x=1",
            "https://awx.example#x",
            "http://awx.example",
            "https://169.254.169.254",
            "http://[fe80::1]",
            "https://0.0.0.0",
        ] {
            assert_eq!(parse(url, "").unwrap_err().pointer, "/url", "{url}");
        }
        for root in ["api", "/api//v2", "/api/../x", "/api/./v2", "/api?x", "/a%2fb", "/", "//evil"] {
            assert_eq!(parse("https://awx.example", root).unwrap_err().pointer, "/api_root", "{root}");
        }
    }

    #[test]
    fn plain_http_reaches_this_machine_only_unless_allowed() {
        assert!(parse("http://127.0.0.1:8052", "").is_ok());
        assert!(parse("http://localhost:8052", "").is_ok());
        assert!(parse("http://[::1]:8052", "").is_ok());
        let target = Target { url: "http://awx.internal".into(), api_root: String::new(), ca_pem: String::new() };
        let limits = ClientLimits { allow_plain_http: true, ..usual() };
        assert!(Address::parse(&target, &limits).is_ok());
    }
}
