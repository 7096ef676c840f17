//! What an operator lets requests reach besides the public internet.

use std::net::IpAddr;
use std::str::FromStr;

use url::Host;

use crate::ranges::{Block, behind, is_infrastructure, is_public, plain};

/// Hosts and networks that may be reached although they are not public, each with an optional port.
///
/// `10.1.0.0/16`, `10.1.2.3:8443`, `[fd12::/32]:8443`, `hooks.internal`, `hooks.internal:8443`. A host that is listed may
/// have any address. With `http://` in front, what is listed may be reached without encryption, too.
///
/// Addresses at which a cloud or the machine itself answers, such as `169.254.169.254`, are covered only by an entry for
/// exactly that address, or for the host's name: a list of private networks does not open them by accident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions(Vec<Exception>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    what: What,
    port: Option<u16>,
    /// Whether `http://` is fine.
    plain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Name(String),
    Block(Block),
}

/// An entry that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host, address or network such as hooks.internal:8443, 10.1.2.3 or [fd12::/32]:8443")]
pub struct ExceptionsProblem(String);

impl Exceptions {
    /// The networks of RFC 1918, carrier-grade NAT, unique local addresses and this machine.
    #[must_use]
    pub fn private_networks() -> Self {
        const V4: [([u8; 4], u32); 5] = [
            ([10, 0, 0, 0], 8),
            ([172, 16, 0, 0], 12),
            ([192, 168, 0, 0], 16),
            ([100, 64, 0, 0], 10),
            ([127, 0, 0, 0], 8),
        ];
        let v6 = [IpAddr::from([0xfc00, 0, 0, 0, 0, 0, 0, 0]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        let v4 = V4.into_iter().map(|(address, length)| Block::new(address.into(), length));
        let blocks = v4.chain(v6.into_iter().zip([7, 128]).map(|(address, length)| Block::new(address, length)));
        Self(blocks.flatten().map(|block| Exception { what: What::Block(block), port: None, plain: false }).collect())
    }

    /// These and those of `more`.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Whether a request may be sent to this address, which a host of this name has.
    pub(crate) fn permit(&self, host: &str, port: u16, address: IpAddr) -> bool {
        let address = plain(address);
        is_public(address)
            || self.on(port).any(|exception| exception.covers(host, address)) && {
                // A gateway passes it on to another address, which must be allowed as well.
                behind(address).into_iter().all(|behind| self.permit(host, port, behind))
            }
    }

    /// Whether `http://` may be used for this host, if it may be reached at all. An address counts as its own name.
    pub(crate) fn permit_plain(&self, host: &str, port: u16, address: Option<IpAddr>) -> bool {
        self.on(port).filter(|exception| exception.plain).any(|exception| match (&exception.what, address) {
            (What::Name(name), _) => name == host,
            (What::Block(block), Some(address)) => block.contains(plain(address)),
            (What::Block(_), None) => false,
        })
    }

    fn on(&self, port: u16) -> impl Iterator<Item = &Exception> {
        self.0.iter().filter(move |exception| exception.port.is_none_or(|only| only == port))
    }
}

impl Exception {
    fn covers(&self, host: &str, address: IpAddr) -> bool {
        match &self.what {
            What::Name(name) => name == host,
            What::Block(block) => block.contains(address) && (block.is_single() || !is_infrastructure(address)),
        }
    }
}

impl FromStr for Exceptions {
    type Err = ExceptionsProblem;

    /// From entries separated by commas or white space.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let entries = text.split([',', ' ', '\n', '\t', '\r']).filter(|entry| !entry.is_empty());
        entries
            .map(|entry| exception(entry).ok_or_else(|| ExceptionsProblem(entry.chars().take(200).collect())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn exception(entry: &str) -> Option<Exception> {
    let (plain, rest) = match entry.split_once("://") {
        Some(("http", rest)) => (true, rest),
        Some(("https", rest)) => (false, rest),
        Some(_) => return None,
        None => (false, entry),
    };
    let (what, port) = if let Some(bracketed) = rest.strip_prefix('[') {
        let (inside, after) = bracketed.split_once(']')?;
        let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
        (inside, port)
    } else if rest.matches(':').count() > 1 {
        (rest, None)
    } else {
        rest.split_once(':').map_or((rest, None), |(what, port)| (what, Some(port)))
    };
    let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or(())).transpose().ok()?;
    Some(Exception { what: self::what(what)?, port, plain })
}

fn what(text: &str) -> Option<What> {
    if let Some((address, length)) = text.split_once('/') {
        return Block::new(address.parse().ok()?, length.parse().ok()?).map(What::Block);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        let address = plain(address);
        return Block::new(address, if address.is_ipv4() { 32 } else { 128 }).map(What::Block);
    }
    match Host::parse(text).ok()? {
        Host::Domain(name) if is_name(&name) => Some(What::Name(name)),
        // A pattern, which is not supported, or an odd notation of an address, which does not say which one is meant.
        Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.ends_with('.') && name.chars().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Exceptions {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_exception_is_as_wide_as_it_says() {
        let list = list("10.1.0.0/16, 10.2.3.4:8443 hooks.internal:9443\n[fd12::/32]:8443,fd99::1");
        assert!(list.permit("a.example", 443, ip("10.1.255.1")));
        assert!(list.permit("a.example", 443, ip("::ffff:10.1.255.1")), "the same address, written as IPv6");
        assert!(!list.permit("a.example", 443, ip("10.2.3.4")) && list.permit("a.example", 8443, ip("10.2.3.4")));
        assert!(!list.permit("a.example", 8443, ip("10.2.3.5")));
        assert!(list.permit("hooks.internal", 9443, ip("192.168.0.1")));
        assert!(!list.permit("hooks.internal", 443, ip("192.168.0.1")));
        assert!(!list.permit("x.hooks.internal", 9443, ip("192.168.0.1")));
        assert!(list.permit("a.example", 8443, ip("fd12::9")) && !list.permit("a.example", 443, ip("fd12::9")));
        assert!(list.permit("a.example", 443, ip("fd99::1")) && !list.permit("a.example", 443, ip("fd99::2")));
        assert!(list.permit("a.example", 443, ip("1.1.1.1")), "what is public needs no exception");
    }

    #[test]
    fn a_wide_exception_does_not_open_metadata_services() {
        let wide = list("0.0.0.0/0,::/0");
        assert!(wide.permit("a", 80, ip("10.0.0.1")) && wide.permit("a", 80, ip("fd00::1")));
        for metadata in
            ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"]
        {
            assert!(!wide.permit("a", 80, ip(metadata)), "{metadata}");
            assert!(list(metadata).permit("a", 80, ip(metadata)), "{metadata}, by its own entry");
        }
        assert!(!Exceptions::private_networks().permit("a", 80, ip("169.254.169.254")));
        assert!(Exceptions::private_networks().permit("a", 80, ip("127.0.0.1")));
    }

    #[test]
    fn behind_a_nat64_gateway_the_same_rules_hold() {
        let gateway = list("64:ff9b::/96");
        assert!(gateway.permit("a", 443, ip("64:ff9b::8.8.8.8")));
        assert!(!gateway.permit("a", 443, ip("64:ff9b::10.0.0.1")));
        assert!(!gateway.permit("a", 443, ip("64:ff9b::169.254.169.254")));
        assert!(gateway.and(list("10.0.0.0/8")).permit("a", 443, ip("64:ff9b::10.0.0.1")));
    }

    #[test]
    fn a_wide_exception_does_not_open_what_a_gateway_passes_on() {
        let (v6, all) = (list("::/0"), list("0.0.0.0/0,::/0"));
        for address in ["64:ff9b:1::10.0.0.1", "64:ff9b:1:a00:0:100::", "2002:a00:1::1", "::10.0.0.1"] {
            assert!(!v6.permit("a", 443, ip(address)) && all.permit("a", 443, ip(address)), "{address}");
        }
        for address in ["64:ff9b:1::169.254.169.254", "2002:a9fe:a9fe::1", "::169.254.169.254"] {
            assert!(!all.permit("a", 443, ip(address)), "{address}");
        }
        let private = Exceptions::private_networks();
        assert!(!private.permit("a", 443, ip("fd20:ce::254")) && !private.permit("a", 443, ip("fd00:ec2::23")));
        assert!(private.permit("a", 443, ip("::1")) && private.permit("a", 443, ip("fd12::1")));
    }

    #[test]
    fn encryption_is_given_up_only_where_it_is_written() {
        let list = list("http://hooks.internal:8080,http://10.0.0.0/8,https://192.168.0.0/16");
        assert!(list.permit_plain("hooks.internal", 8080, None) && !list.permit_plain("hooks.internal", 80, None));
        assert!(list.permit_plain("10.0.0.1", 80, Some(ip("10.0.0.1"))));
        assert!(!list.permit_plain("192.168.0.1", 80, Some(ip("192.168.0.1"))));
        assert!(!list.permit_plain("a.example", 80, None));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for entry in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "/8",
            "ftp://x",
            "a.example:",
            "a.example:0",
            "a.example:99999",
            "[fd12::/32",
            "[fd12::1]x",
            "0x7f.1",
            "a b:c:d",
            "a.example.",
            "://",
            "*",
            "a/b",
        ] {
            assert!(entry.parse::<Exceptions>().is_err(), "{entry}");
        }
        assert_eq!("".parse(), Ok(Exceptions::default()));
    }
}
