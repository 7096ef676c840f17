//! Whom a request is for: the `Host` header of HTTP/1, the `:authority` of HTTP/2 (RFC 9110 section 7.2, RFC 9112
//! section 3.2, RFC 9113 section 8.3.1). Nothing here depends on it, but a proxy in front may, and two that read two
//! hosts out of one request can be played off against each other.

use std::net::Ipv6Addr;

use axum::extract::Request;
use http::header::{CONNECTION, HOST};
use http::{HeaderMap, HeaderValue, Version};
use runwarden_kit::ErrorReason;

use crate::problem::{Problem, Result};

/// Refuses a request that does not say whom it is for, or says it twice or unreadably.
///
/// # Errors
///
/// 400. Over HTTP/1 the connection ends with it: what follows may have been meant for another host.
pub fn check(request: &Request) -> Result<()> {
    let version = request.version();
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    wrong(version, target, request.headers()).map_or(Ok(()), |detail| {
        let problem = Problem::new(ErrorReason::MalformedRequest, detail);
        Err(if version < Version::HTTP_2 { problem.with_header(CONNECTION, "close") } else { problem })
    })
}

fn wrong(version: Version, target: Option<&str>, headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Some("The header Host is given more than once.");
    }
    if host.is_some_and(|host| !is_authority(host)) || target.is_some_and(|target| !is_authority(target.as_bytes())) {
        return Some("The host must be a name or an address, optionally with a port, such as runwarden.example:8080.");
    }
    match (version, target, host) {
        (Version::HTTP_11, _, None) => Some("The header Host is missing; every request since HTTP/1.1 must have it."),
        (Version::HTTP_2, None, None) => Some("Neither :authority nor Host names the host this request is for."),
        (_, Some(target), Some(host)) if !target.as_bytes().eq_ignore_ascii_case(host) => {
            Some("The request target and the header Host name different hosts.")
        }
        _ => None,
    }
}

/// `uri-host [ ":" port ]` of RFC 3986, without user information and with a host that is not empty.
fn is_authority(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let after_host = match text.strip_prefix('[') {
        Some(literal) => literal.split_once(']').filter(|(address, _)| address.parse::<Ipv6Addr>().is_ok()),
        None => Some(text.split_at(text.find(':').unwrap_or(text.len()))).filter(|(host, _)| is_name(host)),
    };
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    after_host.is_some_and(|(_, rest)| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// A registered name: letters, digits and what RFC 3986 takes beside them.
fn is_name(host: &str) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(b);
    let mut rest = host.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            (byte, after) if plain(byte) => after,
            _ => return false,
        };
    }
    (1..=255).contains(&host.len())
}

#[cfg(test)]
mod tests {
    use super::{is_authority, wrong};
    use http::header::HOST;
    use http::{HeaderMap, HeaderValue, Version};
    use proptest::prelude::*;

    fn hosts(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HOST, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for good in [
            "a",
            "runwarden.example",
            "edge_1:8080",
            "127.0.0.1:80",
            "[::1]",
            "[2001:db8::1]:443",
            "a:",
            "a%2Db",
            "xn--bcher-kva.example",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "a/b",
            "a:b",
            "a:80:90",
            "a:123456",
            "me@a",
            "[::1",
            "[a]",
            "[::1]x",
            "::1",
            "a%zz",
            "a%2",
            "é",
            "a\\b",
            &"a".repeat(256),
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn each_version_has_its_rule() {
        for (version, target, headers, refused) in [
            (Version::HTTP_11, None, hosts(&["a"]), false),
            (Version::HTTP_11, None, hosts(&[]), true),
            (Version::HTTP_11, Some("a"), hosts(&[]), true),
            (Version::HTTP_11, None, hosts(&["a", "a"]), true),
            (Version::HTTP_11, None, hosts(&["a, b"]), true),
            (Version::HTTP_11, Some("a"), hosts(&["b"]), true),
            (Version::HTTP_11, Some("A"), hosts(&["a"]), false),
            (Version::HTTP_10, None, hosts(&[]), false),
            (Version::HTTP_10, None, hosts(&["a", "b"]), true),
            (Version::HTTP_2, Some("a"), hosts(&[]), false),
            (Version::HTTP_2, None, hosts(&["a"]), false),
            (Version::HTTP_2, None, hosts(&[]), true),
            (Version::HTTP_2, Some("a:443"), hosts(&["A:443"]), false),
            (Version::HTTP_2, Some("a"), hosts(&["b"]), true),
            (Version::HTTP_2, Some("me@a"), hosts(&[]), true),
        ] {
            assert_eq!(wrong(version, target, &headers).is_some(), refused, "{version:?} {target:?} {headers:?}");
        }
    }

    proptest! {
        #[test]
        fn one_byte_that_ends_a_host_spoils_it(
            name in "[a-z0-9.-]{1,40}",
            port in "(:[0-9]{0,5})?",
            at in 0..50_usize,
            bad in prop::sample::select(b" /?#@\\\"<>^`{|}[]\t\r\n\0\x7f\xff".to_vec()),
        ) {
            let mut text = [name.as_bytes(), port.as_bytes()].concat();
            prop_assert!(is_authority(&text), "{name}{port}");
            text.insert(at.min(text.len()), bad);
            prop_assert!(!is_authority(&text), "{text:?}");
        }

        #[test]
        fn of_any_bytes_only_what_can_be_written_is_a_host(text in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(!is_authority(&text) || text.iter().all(u8::is_ascii_graphic));
        }
    }
}
