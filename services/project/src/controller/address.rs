//! A controller's address: a bare origin and the path its API begins at. Whatever could make a request go elsewhere
//! than it seems (user info, path, query, fragment, dots) is refused.

use std::net::{IpAddr, Ipv6Addr};

use runwarden_kit::{Error, Result};

/// Where AWX has its API when nothing else is said.
pub(crate) const DEFAULT_API_ROOT: &str = "/api/v2";
const LONGEST_URL: usize = 300;
const LONGEST_ROOT: usize = 200;

/// Checks a URL and writes it in one form: lower-case scheme and host, no default port, no final slash.
pub(crate) fn url(given: &str, allow_plain_http: bool) -> Result<String> {
    let wrong = |detail: &str| Error::invalid("/url", detail);
    if given.len() > LONGEST_URL {
        return Err(wrong("is too long"));
    }
    if given.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(wrong("must be a URL in visible ASCII characters; write international names in their xn-- form"));
    }
    let (scheme, rest) = given.split_once("://").ok_or_else(|| wrong("must begin with https://"))?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "https" && scheme != "http" {
        return Err(wrong("must begin with https://"));
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        return Err(wrong("must not contain a user name or password; they belong in the credential"));
    }
    if authority.contains(['/', '?', '#', '\\']) {
        return Err(wrong("must be scheme, host and port only; the path of the API belongs in api_root"));
    }
    let (host, port) = split_port(authority).ok_or_else(|| wrong("has no valid port"))?;
    let host = Host::parse(host).ok_or_else(|| wrong("has no valid host name or address"))?;
    if host.is_forbidden() {
        return Err(wrong("names an address that no controller can have"));
    }
    if scheme == "http" && !allow_plain_http && !host.is_loopback() {
        return Err(wrong(
            "must begin with https://; http:// is for loopback addresses only, because the credential would travel in clear text",
        ));
    }
    let default = if scheme == "https" { 443 } else { 80 };
    Ok(match port.filter(|port| *port != default) {
        None => format!("{scheme}://{host}"),
        Some(port) => format!("{scheme}://{host}:{port}"),
    })
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        // [::1]:8443
        Some(rest) => {
            let end = rest.find(']')? + 2;
            let (host, after) = authority.split_at_checked(end)?;
            match after {
                "" => (host, None),
                other => (host, Some(other.strip_prefix(':')?)),
            }
        }
        None => match authority.split_once(':') {
            None => (authority, None),
            Some((host, port)) => (host, Some(port)),
        },
    };
    match port {
        None => Some((host, None)),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0).map(|port| (host, Some(port)))
        }
        Some(_) => None,
    }
}

enum Host {
    Address(IpAddr),
    Name(String),
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse() {
            return match address {
                IpAddr::V4(v4) => Some(Self::Address(IpAddr::V4(v4))),
                // Without brackets it looks like a port.
                IpAddr::V6(_) => None,
            };
        }
        let name = text.to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // A last label of digits (or 0x…) is an address in disguise to many resolvers: 127.1, 0x7f.1, 2130706433.
        let last = name.rsplit('.').next()?;
        let disguised = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
        (name.len() <= 253 && name.split('.').all(label) && !disguised).then_some(Self::Name(name))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.to_canonical().is_loopback(),
            Self::Name(name) => name == "localhost",
        }
    }

    /// Link-local addresses are where clouds keep their metadata; the others lead nowhere or everywhere.
    fn is_forbidden(&self) -> bool {
        let Self::Address(address) = self else { return false };
        match address.to_canonical() {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast(),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Checks where the API begins; empty takes AWX's own place.
pub(crate) fn api_root(given: &str) -> Result<String> {
    let root = given.strip_suffix('/').unwrap_or(given);
    if given.is_empty() {
        return Ok(DEFAULT_API_ROOT.to_owned());
    }
    let clean = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    if root.split('/').any(|segment| segment.eq_ignore_ascii_case("gateway")) {
        let detail = "is the API of the platform's gateway; a controller behind it is at /api/controller/v2";
        return Err(Error::invalid("/api_root", detail));
    }
    match root.strip_prefix('/') {
        Some(path) if root.len() <= LONGEST_ROOT && path.split('/').all(clean) => Ok(root.to_owned()),
        _ => Err(Error::invalid("/api_root", "must be a plain absolute path such as /api/v2 or /api/controller/v2")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_root_of_the_platforms_gateway_is_told_from_the_controllers() {
        for root in ["/api/gateway/v1", "/api/gateway/v1/", "/api/Gateway"] {
            let error = api_root(root).unwrap_err();
            assert!(error.fields()[0].detail.contains("/api/controller/v2"), "{error:?}");
        }
        assert_eq!(api_root("/api/controller/v2/").unwrap(), "/api/controller/v2");
    }

    #[test]
    fn urls_are_written_in_one_form() {
        for (given, want) in [
            ("https://awx.example", "https://awx.example"),
            ("HTTPS://AWX.Example/", "https://awx.example"),
            ("https://awx.example:443", "https://awx.example"),
            ("https://awx.example:8443/", "https://awx.example:8443"),
            ("https://10.0.0.7:8443", "https://10.0.0.7:8443"),
            ("https://[2001:DB8::0:1]:8443", "https://[2001:db8::1]:8443"),
            ("http://127.0.0.1:8052", "http://127.0.0.1:8052"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://localhost:8052", "http://localhost:8052"),
        ] {
            assert_eq!(url(given, false).unwrap(), want, "{given}");
        }
    }

    #[test]
    fn urls_that_could_mislead_are_refused() {
        for given in [
            "",
            "awx.example",
            "//awx.example",
            "ftp://awx.example",
            "https://",
            "https:///",
            "https://user@awx.example",
            "https://user:pw@awx.example",
            "https://awx.example/api",
            "https://awx.example//",
            "https://awx.example?x",
            "https://awx.example#x",
            "https://awx.example\\@evil",
            "https://awx example",
            "https://awx.example\n",
            "https://äwx.example",
            "https://awx.example:0",
            "https://awx.example:65536",
            "https://awx.example:",
            "https://awx.example:+1",
            "https://awx..example",
            "https://-awx.example",
            "https://awx_x.example",
            "https://::1",
            "https://[::1",
            "https://[::1]x",
            "https://[fe80::1]",
            "https://[fe80::1%25eth0]",
            "https://127.1",
            "https://2130706433",
            "https://0x7f.1",
            "https://0x7f000001",
            "https://169.254.169.254",
            "https://[::ffff:169.254.169.254]",
            "https://0.0.0.0",
            "https://224.0.0.1",
            "https://a:b@c",
        ] {
            assert!(url(given, true).is_err(), "{given}");
        }
        assert!(url(&format!("https://{}.example", "a".repeat(LONGEST_URL)), true).is_err());
    }

    #[test]
    fn plain_http_is_for_loopback_unless_the_operator_allowed_it() {
        for given in ["http://awx.example", "http://10.0.0.7", "http://localhost.example", "http://127.0.0.1.example"] {
            assert!(url(given, false).is_err(), "{given}");
            assert!(url(given, true).is_ok(), "{given}");
        }
    }

    #[test]
    fn api_roots_are_plain_absolute_paths() {
        for (given, want) in [
            ("", "/api/v2"),
            ("/api/v2", "/api/v2"),
            ("/api/v2/", "/api/v2"),
            ("/api/controller/v2", "/api/controller/v2"),
        ] {
            assert_eq!(api_root(given).unwrap(), want);
        }
        for given in [
            "/",
            "//",
            "api/v2",
            "/api//v2",
            "/api/../v2",
            "/api/./v2",
            "/api/v2//",
            "/a b",
            "/a?b",
            "/a%2e",
            "/a#b",
            "/ä",
        ] {
            assert!(api_root(given).is_err(), "{given}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_a_bare_origin_and_stays_as_it_is(given in "[hH]ttps?://[ -~]{0,30}") {
            if let Ok(taken) = url(&given, true) {
                let rest = taken.split_once("://").unwrap().1;
                prop_assert!(!rest.contains(['/', '?', '#', '@', '\\', ' ', '%']), "{}", taken);
                prop_assert_eq!(url(&taken, true).unwrap(), taken);
            }
        }

        #[test]
        fn any_text_is_judged_without_panic(given in "\\PC{0,40}") {
            let _ = url(&given, true);
            let _ = api_root(&given);
        }
    }
}
