//! Which IP addresses are somebody on the internet, and which lead into a network, a machine or a cloud's own services.
//! From the registries of special-purpose addresses (RFC 6890 and its successors). For IPv6 what is not known to be
//! public is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    network: u128,
    /// Leading bits that count, of 128; for IPv4 those of its mapped form.
    bits: u32,
    is_v4: bool,
}

impl Block {
    /// The block with this address and prefix length; `None` if the length is too large or bits beyond it are set.
    pub(crate) fn new(address: IpAddr, length: u32) -> Option<Self> {
        let (is_v4, width) = (address.is_ipv4(), if address.is_ipv4() { 32 } else { 128 });
        let bits = 128 - width + length;
        (length <= width && mask(bits) & number(address) == number(address)).then_some(Self {
            network: number(address),
            bits,
            is_v4,
        })
    }

    const fn v4(a: u8, b: u8, c: u8, d: u8, length: u32) -> Self {
        let network = Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().to_bits();
        Self { network, bits: 96 + length, is_v4: true }
    }

    const fn v6(first: u16, second: u16, third: u16, length: u32) -> Self {
        Self { network: Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0).to_bits(), bits: length, is_v4: false }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.is_v4 == address.is_ipv4() && number(address) & mask(self.bits) == self.network
    }

    /// Whether it is one address and no more.
    pub(crate) fn is_single(&self) -> bool {
        self.bits == 128
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

const NOT_PUBLIC_V4: [Block; 16] = [
    Block::v4(0, 0, 0, 0, 8),
    Block::v4(10, 0, 0, 0, 8),
    // Shared between a provider and its customers (carrier-grade NAT); one cloud's metadata service is in it.
    Block::v4(100, 64, 0, 0, 10),
    Block::v4(127, 0, 0, 0, 8),
    Block::v4(168, 63, 129, 16, 32),
    Block::v4(169, 254, 0, 0, 16),
    Block::v4(172, 16, 0, 0, 12),
    Block::v4(192, 0, 0, 0, 24),
    Block::v4(192, 0, 2, 0, 24),
    Block::v4(192, 88, 99, 0, 24),
    Block::v4(192, 168, 0, 0, 16),
    Block::v4(198, 18, 0, 0, 15),
    Block::v4(198, 51, 100, 0, 24),
    Block::v4(203, 0, 113, 0, 24),
    Block::v4(224, 0, 0, 0, 4),
    Block::v4(240, 0, 0, 0, 4),
];

/// Global unicast; all else of IPv6 is local, multicast, reserved, or holds an IPv4 address (mapped, compatible, NAT64).
const GLOBAL_V6: Block = Block::v6(0x2000, 0, 0, 3);

const NOT_PUBLIC_V6: [Block; 4] = [
    // Protocol assignments: Teredo, benchmarking, ORCHID.
    Block::v6(0x2001, 0, 0, 23),
    Block::v6(0x2001, 0xdb8, 0, 32),
    // 6to4.
    Block::v6(0x2002, 0, 0, 16),
    // Documentation.
    Block::v6(0x3fff, 0, 0, 20),
];

/// Where clouds and hosts serve what is only for the machine itself, credentials among it.
const INFRASTRUCTURE: [Block; 7] = [
    Block::v4(100, 100, 100, 200, 32),
    Block::v4(168, 63, 129, 16, 32),
    Block::v4(169, 254, 0, 0, 16),
    Block::v4(192, 0, 0, 192, 32),
    Block::v6(0xfe80, 0, 0, 10),
    // Two clouds' own services, metadata among them.
    Block::v6(0xfd00, 0xec2, 0, 32),
    Block::v6(0xfd20, 0xce, 0, 32),
];

/// Blocks whose addresses end with an IPv4 address: compatible, translated (SIIT), NAT64.
const ENDS_WITH_V4: [Block; 3] = [
    Block::v6(0, 0, 0, 96),
    Block { network: 0xffff_0000_0000_0000, bits: 96, is_v4: false },
    Block::v6(0x64, 0xff9b, 0, 96),
];
/// NAT64 as a network itself configures it: with any of the prefix lengths of RFC 6052 that fit.
const LOCAL_NAT64: Block = Block::v6(0x64, 0xff9b, 1, 48);
const SIX_TO_FOUR: Block = Block::v6(0x2002, 0, 0, 16);
/// Holds the IPv4 address of its host, inverted.
const TEREDO: Block = Block::v6(0x2001, 0, 0, 32);

/// The address as it is meant: an IPv4 address that is written as IPv6 is IPv4.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether anybody may be sent a request at this address.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match plain(address) {
        v4 @ IpAddr::V4(_) => !NOT_PUBLIC_V4.iter().any(|block| block.contains(v4)),
        v6 @ IpAddr::V6(_) => GLOBAL_V6.contains(v6) && !NOT_PUBLIC_V6.iter().any(|block| block.contains(v6)),
    }
}

/// Whether it is where a cloud or the host itself answers.
pub(crate) fn is_infrastructure(address: IpAddr) -> bool {
    INFRASTRUCTURE.iter().any(|block| block.contains(plain(address)))
}

/// The IPv4 addresses that a gateway may connect to for this IPv6 address. None of `0.0.0.0/8`, where no host is: they
/// come of reading zeros.
pub(crate) fn behind(address: IpAddr) -> Vec<IpAddr> {
    let bits = number(address);
    let end = |right: u32| bits >> right & 0xffff_ffff;
    let found = if ENDS_WITH_V4.iter().any(|block| block.contains(address)) {
        vec![end(0)]
    } else if LOCAL_NAT64.contains(address) {
        // Of lengths 96, 64, 56 and 48; bits 64 to 71 are never a part of it.
        let (of_56, of_48) =
            (bits >> 40 & 0xff00_0000 | end(32) & 0xff_ffff, bits >> 48 & 0xffff_0000 | end(40) & 0xffff);
        vec![end(0), end(24), of_56, of_48]
    } else if SIX_TO_FOUR.contains(address) {
        vec![end(80)]
    } else if TEREDO.contains(address) {
        vec![!bits & 0xffff_ffff]
    } else {
        Vec::new()
    };
    let v4 = found.into_iter().filter_map(|bits| u32::try_from(bits).ok());
    v4.filter(|bits| bits >> 24 != 0).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_internet_is_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:5ef5:79fb::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip(address)), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "3ffe::1",
            "2620:4f:8000::1",
        ] {
            assert!(is_public(ip(address)), "{address}");
        }
    }

    #[test]
    fn gateways_are_seen_through() {
        for address in [
            "64:ff9b::10.1.2.3",
            "64:ff9b:1::10.1.2.3",
            "64:ff9b:1:a01:2:300::",
            "64:ff9b:1:a:1:203::",
            "64:ff9b:1:0:a:102:300::",
            "2002:a01:203::1",
            "::10.1.2.3",
            "::ffff:0:10.1.2.3",
            "2001:0:1234:5678:0:0:f5fe:fdfc",
        ] {
            assert!(behind(ip(address)).contains(&ip("10.1.2.3")), "{address}: {:?}", behind(ip(address)));
        }
        for address in ["10.0.0.1", "::1", "::", "2001:db8::10.1.2.3", "fd00::10.1.2.3", "64:ff9b:2::10.1.2.3"] {
            assert!(behind(ip(address)).is_empty(), "{address}");
        }
        assert_eq!(behind(ip("64:ff9b:1::8.8.8.8")), [ip("8.8.8.8")], "nothing but what it is");
    }

    #[test]
    fn clouds_own_services_are_known_in_every_form() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "fe80::a9fe:a9fe",
            "100.100.100.200",
            "fd00:ec2::23",
            "fd20:ce::254",
        ] {
            assert!(is_infrastructure(ip(address)), "{address}");
        }
        assert!(!is_infrastructure(ip("10.0.0.1")) && !is_infrastructure(ip("fd00::1")));
    }

    #[test]
    fn blocks_have_no_bits_beyond_their_length() {
        assert!(Block::new(ip("10.0.0.0"), 8).is_some() && Block::new(ip("::"), 0).is_some());
        assert!(Block::new(ip("0.0.0.0"), 0).unwrap().contains(ip("255.1.2.3")));
        assert!(!Block::new(ip("::"), 0).unwrap().contains(ip("10.0.0.1")), "families are apart");
        assert_eq!(Block::new(ip("10.0.0.1"), 8), None);
        assert_eq!(Block::new(ip("10.0.0.0"), 33), None);
        assert_eq!(Block::new(ip("fd00::"), 129), None);
        assert!(Block::new(ip("fd00::1"), 128).unwrap().is_single());
    }
}
