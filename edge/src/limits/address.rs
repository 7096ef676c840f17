//! The client's address: the peer's, or the one that a trusted proxy reports.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A network such as `10.0.0.0/8` or `fd00::/8`; an address alone is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether an address belongs to it. An IPv4 address written as IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, canonical(address)) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(u32::from(32 - self.prefix)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(u32::from(128 - self.prefix)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Why a text is not a network.
#[derive(Debug, PartialEq, Eq)]
pub struct NotANetwork;

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a network: write an IP address, or one with a prefix length such as 10.0.0.0/8")
    }
}

impl std::error::Error for NotANetwork {}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let base = canonical(address.parse().map_err(|_| NotANetwork)?);
        let widest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => widest,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().map_err(|_| NotANetwork)?,
            Some(_) => return Err(NotANetwork),
        };
        if prefix > widest { Err(NotANetwork) } else { Ok(Self { base, prefix }) }
    }
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The address a request counts for: the peer's; or, if the peer is a trusted proxy, the rightmost entry of
/// `X-Forwarded-For` that is not one. Entries to the left of that one are the caller's own invention.
#[must_use]
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut believed = canonical(peer);
    if !is_trusted(believed) {
        return believed;
    }
    let lines: Vec<&[u8]> = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    // A proxy may have added its entry to a line that is not text: each is read by itself.
    for entry in lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        let entry = std::str::from_utf8(entry).ok().map(str::trim);
        let Some(address) = entry.and_then(entry_address) else { break };
        believed = address;
        if !is_trusted(believed) {
            break;
        }
    }
    believed
}

/// An entry as proxies write it: an address, perhaps with a port, perhaps in brackets.
fn entry_address(entry: &str) -> Option<IpAddr> {
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Some(canonical(address));
    }
    if let Ok(with_port) = entry.parse::<std::net::SocketAddr>() {
        return Some(canonical(with_port.ip()));
    }
    let inner = entry.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<Ipv6Addr>().ok().map(|address| canonical(IpAddr::V6(address)))
}

#[cfg(test)]
mod tests {
    use super::{Network, NotANetwork, client};
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn forwarded(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        let headers = forwarded(&["1.2.3.4"]);
        assert_eq!(client(ip("203.0.113.9"), &headers, &["10.0.0.0/8".parse().unwrap()]), ip("203.0.113.9"));
        assert_eq!(client(ip("10.0.0.1"), &headers, &[]), ip("10.0.0.1"));
    }

    #[test]
    fn the_rightmost_untrusted_entry_counts() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let chain = forwarded(&["6.6.6.6, 198.51.100.7", "10.0.0.3"]);
        assert_eq!(client(ip("10.0.0.1"), &chain, &trusted), ip("198.51.100.7"));
        assert_eq!(client(ip("10.0.0.1"), &forwarded(&["198.51.100.7:4711"]), &trusted), ip("198.51.100.7"));
        assert_eq!(client(ip("10.0.0.1"), &forwarded(&["[2001:db8::1]"]), &trusted), ip("2001:db8::1"));
    }

    #[test]
    fn nonsense_in_the_header_ends_the_search() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        assert_eq!(client(ip("10.0.0.1"), &forwarded(&["1.2.3.4, what"]), &trusted), ip("10.0.0.1"));
        assert_eq!(client(ip("10.0.0.1"), &HeaderMap::new(), &trusted), ip("10.0.0.1"));
        let mut appended = HeaderMap::new();
        appended.insert("x-forwarded-for", HeaderValue::from_bytes(b"\xff, 198.51.100.7").unwrap());
        assert_eq!(client(ip("10.0.0.1"), &appended, &trusted), ip("198.51.100.7"), "what a proxy added still counts");
    }

    #[test]
    fn networks_are_read_and_compared() {
        let ten: Network = "10.0.0.0/8".parse().unwrap();
        assert!(ten.contains(ip("10.255.0.1")) && ten.contains(ip("::ffff:10.1.2.3")) && !ten.contains(ip("11.0.0.1")));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains(ip("8.8.8.8")) && !all.contains(ip("2001:db8::1")));
        let one: Network = "2001:db8::1".parse().unwrap();
        assert!(one.contains(ip("2001:db8::1")) && !one.contains(ip("2001:db8::2")));
        for wrong in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "host/8", "::/129"] {
            assert_eq!(wrong.parse::<Network>(), Err(NotANetwork), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_header_gives_some_address(line in "[ -~]{0,80}") {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", HeaderValue::from_str(&line).unwrap());
            let trusted = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
            let _ = client(ip("192.0.2.1"), &headers, &trusted);
            prop_assert_eq!(client(ip("192.0.2.1"), &headers, &[]), ip("192.0.2.1"));
        }

        #[test]
        fn any_text_is_a_network_or_is_not(text in "\\PC{0,40}") {
            let _ = text.parse::<Network>();
        }
    }
}
