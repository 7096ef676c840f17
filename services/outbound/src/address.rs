//! Where a request goes: checked when it is configured, and again when it is used.

use std::net::IpAddr;

use url::{Host, Url};

use crate::Exceptions;

/// The longest address, bytes.
const LONGEST: usize = 2000;

/// An address that may be sent requests, as far as can be said without resolving its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: Url,
    host: String,
    literal: Option<IpAddr>,
    port: u16,
}

/// Why an address cannot be used, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressProblem(pub(crate) &'static str);

pub(crate) const NOT_PUBLIC: AddressProblem = AddressProblem(
    "leads to an address that is not public (private, local, reserved or a cloud's own); only the operator can allow it",
);

impl Address {
    /// Parses and checks an address. Nothing is resolved: a name is checked again whenever it is used.
    pub fn parse(text: &str, exceptions: &Exceptions) -> Result<Self, AddressProblem> {
        let wrong = |detail| Err(AddressProblem(detail));
        if text.len() > LONGEST {
            return wrong("is longer than 2000 bytes");
        }
        // The parser removes or repairs these; what was written would not be what is used.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return wrong("must not contain spaces, control characters or backslashes");
        }
        let Ok(url) = Url::parse(text) else { return wrong("is not an address such as https://receiver.example/path") };
        if !matches!(url.scheme(), "https" | "http") {
            return wrong("must start with https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("must not contain a user name or password");
        }
        if url.fragment().is_some() {
            return wrong("must not contain a fragment (#)");
        }
        let (host, literal) = match url.host() {
            Some(Host::Domain(name)) if name.ends_with('.') => return wrong("has a host name that ends in a dot"),
            Some(Host::Domain(name)) => (name.to_owned(), None),
            Some(Host::Ipv4(ip)) => (ip.to_string(), Some(IpAddr::V4(ip))),
            Some(Host::Ipv6(ip)) => (ip.to_string(), Some(IpAddr::V6(ip))),
            None => return wrong("has no host"),
        };
        let Some(port) = url.port_or_known_default().filter(|port| *port != 0) else {
            return wrong("has no usable port");
        };
        if url.scheme() == "http" && !exceptions.permit_plain(&host, port, literal) {
            return wrong("must start with https://: only the operator can allow http:// for a host");
        }
        // Another parser has the last word, when the request is made.
        if url.as_str().parse::<http::Uri>().is_err() {
            return wrong("has characters that cannot be sent; write them as %xx");
        }
        if literal.is_some_and(|ip| !exceptions.permit(&host, port, ip)) {
            return Err(NOT_PUBLIC);
        }
        Ok(Self { url, host, literal, port })
    }

    /// The whole address, normalised. May contain a secret: many receivers put one into the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also if it was not written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Scheme, host and port: what may be shown and logged.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    pub(crate) fn literal(&self) -> Option<IpAddr> {
        self.literal
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({}/..)", self.origin())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Address, AddressProblem> {
        Address::parse(text, &Exceptions::default())
    }

    #[test]
    fn usual_addresses_are_fine() {
        for (text, host, port) in [
            ("https://receiver.example/hooks/1?x=y", "receiver.example", 443),
            ("https://receiver.example:8443", "receiver.example", 8443),
            ("https://1.1.1.1/x", "1.1.1.1", 443),
            ("https://[2606:4700:4700::1111]/x", "2606:4700:4700::1111", 443),
            ("https://bücher.example/", "xn--bcher-kva.example", 443),
            ("HTTPS://Receiver.EXAMPLE/Path", "receiver.example", 443),
        ] {
            let address = parse(text).unwrap();
            assert_eq!((address.host(), address.port()), (host, port), "{text}");
        }
    }

    #[test]
    fn odd_notations_of_local_addresses_are_seen_through() {
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "0177.1",
            "017700000001",
            "127.0.0.1.",
            "127.0.0.0x1",
            "0",
            "0.0.0.0",
            "0x0",
            "10.0.0.1",
            "167772161",
            "0xa9fea9fe",
            "169.254.169.254",
            "2852039166",
            "0251.0376.0251.0376",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:a00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2001:0:53aa:64c::1]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[2001:db8::1]",
            "１２７.0.0.1",
            "127。0。0。1",
            "①②⑦.⓪.⓪.①",
            "%31%32%37.0.0.1",
            "192.0.2.1",
            "198.51.100.1",
            "100.64.0.1",
        ] {
            assert_eq!(parse(&format!("https://{host}/")).unwrap_err(), NOT_PUBLIC, "{host}");
        }
    }

    #[test]
    fn what_is_not_a_plain_address_is_refused() {
        for text in [
            "",
            "receiver.example",
            "/path",
            "//receiver.example",
            "ftp://receiver.example",
            "file:///etc/passwd",
            "gopher://receiver.example",
            "data:text/plain,x",
            "javascript:x",
            "http://receiver.example",
            "https://",
            "https:///",
            "https://user@receiver.example",
            "https://user:secret@receiver.example",
            "https://:x@receiver.example",
            "https://receiver.example@127.0.0.1/",
            "https://1.1.1.1 @127.0.0.1/",
            "https://receiver.example#x",
            "https://receiver.example./",
            "https://localhost./",
            "https://receiver.example:0/",
            "https://receiver.example:99999/",
            "https://127.0.0.1\\@receiver.example/",
            "https:\\\\receiver.example",
            " https://receiver.example",
            "https://receiver.example/\r\nX: y",
            "https://rece\tiver.example",
            "https://[::1",
            "https://[fe80::1%25eth0]/",
            "https://256.256.256.256/",
            "https://1.2.3.4.5/",
            "https://0x.0x.0x.0x.0x/",
            "https://a%00b.example/",
            "https://a%2fb/",
            "unix:/run/docker.sock",
            "https://xn--/",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("https://receiver.example/{}", "x".repeat(2000))).is_err());
    }

    #[test]
    fn only_the_operator_allows_what_is_not_public() {
        let list = "127.0.0.1:8443,http://hooks.internal".parse().unwrap();
        assert!(Address::parse("https://127.0.0.1:8443/", &list).is_ok());
        assert!(Address::parse("https://0x7f.1:8443/", &list).is_ok(), "the same address");
        assert!(Address::parse("https://127.0.0.1/", &list).is_err());
        assert!(Address::parse("http://127.0.0.1:8443/", &list).is_err());
        assert!(Address::parse("http://hooks.internal/x", &list).is_ok());
        assert!(Address::parse("http://other.internal/x", &list).is_err());
    }

    #[test]
    fn a_path_with_a_secret_is_not_printed() {
        let address = parse("https://receiver.example/services/T0/s3cret?token=t0ken").unwrap();
        assert_eq!(format!("{address:?}"), "Address(https://receiver.example/..)");
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_stable(text in "(https?://)?[a-z0-9.:@/\\[\\]%#?ａ１。-]{0,40}") {
            if let Ok(address) = parse(&text) {
                let again = parse(address.as_str()).unwrap();
                prop_assert_eq!(&again, &address);
            }
        }

        #[test]
        fn no_notation_of_a_private_address_is_accepted(last in 0u32..=0xff_ffff, style in 0usize..5) {
            let bits = 0x0a00_0000 | last;
            let [a, b, c, d] = bits.to_be_bytes();
            let host = match style {
                0 => format!("{bits}"),
                1 => format!("{bits:#x}"),
                2 => format!("{a:#o}.{b:#x}.{c}.{d}").replace("0o", "0"),
                3 => format!("[::ffff:{:x}:{:x}]", bits >> 16, bits & 0xffff),
                _ => format!("{a}.{}", bits & 0xff_ffff),
            };
            let address = format!("https://{host}/");
            prop_assert_eq!(parse(&address).unwrap_err(), NOT_PUBLIC);
        }
    }
}
