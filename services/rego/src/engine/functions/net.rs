//! Addresses and networks: `net.cidr_*`.
//!
//! IPv4 addresses that are written as IPv6 ones (`::ffff:10.0.0.1`) are the IPv4 addresses they stand for, as in OPA.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, bail, ensure};
use regorus::Value;

use super::arguments::{Arguments, array_of, set_of};

/// The most addresses that are listed one by one.
const MOST_ADDRESSES: u128 = 65_536;
/// The most pairs of networks that are compared in one call.
const MOST_PAIRS: usize = 1_000_000;
/// Where IPv4 addresses begin among those of IPv6: `::ffff:0:0`.
const MAPPED: u128 = 0xffff_0000_0000;

/// A network: all addresses that agree in their first `prefix` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    first: IpAddr,
    prefix: u32,
}

/// An address without a zone; one that stands for an IPv4 address is that.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// The bits of a network's mask that are set, in a family of so many bits.
fn mask(prefix: u32, width: u32) -> u128 {
    let all = u128::MAX >> (128 - width.min(128));
    all & !all.checked_shr(prefix).unwrap_or(0)
}

impl Network {
    fn parse(text: &str) -> Result<Self> {
        let invalid = || format!("`{text}` is not a network such as 10.0.0.0/8");
        let (address, prefix) = text.split_once('/').with_context(invalid)?;
        let address: IpAddr = address.parse().ok().with_context(invalid)?;
        let (value, width) = bits(address);
        ensure!(!prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit()), invalid());
        let prefix: u32 = prefix.parse().ok().filter(|prefix| *prefix <= width).with_context(invalid)?;
        let first = value & mask(prefix, width);
        Ok(match address {
            IpAddr::V4(_) => Self { first: IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(first)?)), prefix },
            IpAddr::V6(_) => match Ipv6Addr::from_bits(first).to_canonical() {
                // A mask that leaves the marker of such an address alone is at least 96 bits long.
                first @ IpAddr::V4(_) => Self { first, prefix: prefix.saturating_sub(96) },
                first @ IpAddr::V6(_) => Self { first, prefix },
            },
        })
    }

    fn contains(self, address: IpAddr) -> bool {
        let ((first, width), (address, of_address)) = (bits(self.first), bits(address));
        width == of_address && address & mask(self.prefix, width) == first
    }

    fn contains_network(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.first)
    }

    /// Its first and last address among those of IPv6.
    fn range(self) -> (u128, u128) {
        let (first, width) = bits(self.first);
        let last = first | (mask(width, width) & !mask(self.prefix, width));
        let offset = if width == 32 { MAPPED } else { 0 };
        (first + offset, last + offset)
    }
}

fn of_bits(bits: u128) -> IpAddr {
    Ipv6Addr::from_bits(bits).to_canonical()
}

/// Whether a network contains an address or another network.
fn holds(network: &str, other: &str) -> Result<bool> {
    let network = Network::parse(network)?;
    if let Some(address) = address(other) {
        return Ok(network.contains(address));
    }
    Ok(network.contains_network(Network::parse(other)?))
}

pub(super) fn cidr_contains(arguments: &Arguments<'_>) -> Result<Value> {
    Ok(holds(arguments.text(0)?, arguments.text(1)?)?.into())
}

pub(super) fn cidr_intersects(arguments: &Arguments<'_>) -> Result<Value> {
    let (one, other) = (Network::parse(arguments.text(0)?)?, Network::parse(arguments.text(1)?)?);
    Ok((one.contains(other.first) || other.contains(one.first)).into())
}

pub(super) fn cidr_is_valid(arguments: &Arguments<'_>) -> Result<Value> {
    Ok(arguments.text(0).is_ok_and(|text| Network::parse(text).is_ok()).into())
}

pub(super) fn cidr_expand(arguments: &Arguments<'_>) -> Result<Value> {
    let (first, last) = Network::parse(arguments.text(0)?)?.range();
    ensure!(
        last - first < MOST_ADDRESSES,
        "a network of more than {MOST_ADDRESSES} addresses is not listed; use `net.cidr_contains`"
    );
    Ok(set_of((first..=last).map(|bits| of_bits(bits).to_string().into())))
}

/// Networks of an operand, each with what names it in the result.
fn named(operand: &Value) -> Result<Vec<(Result<Value>, Value)>> {
    let network = |entry: &Value| match entry {
        Value::String(_) => Ok(entry.clone()),
        Value::Array(items) => match items.iter().next() {
            Some(first) => Ok(first.clone()),
            None => bail!("an element is an empty array"),
        },
        _ => bail!("an element is neither a string nor an array"),
    };
    Ok(match operand {
        Value::String(_) => vec![(Ok(operand.clone()), operand.clone())],
        Value::Array(items) => {
            items.iter().enumerate().map(|(place, item)| (network(item), Value::from(place))).collect()
        }
        Value::Set(items) => items.iter().map(|item| (network(item), item.clone())).collect(),
        Value::Object(fields) => fields.iter_sorted().map(|(key, item)| (network(item), key.clone())).collect(),
        _ => Vec::new(),
    })
}

pub(super) fn cidr_contains_matches(arguments: &Arguments<'_>) -> Result<Value> {
    let (networks, others) = (named(arguments.value(0)?)?, named(arguments.value(1)?)?);
    ensure!(networks.len().saturating_mul(others.len()) <= MOST_PAIRS, "more than {MOST_PAIRS} pairs of networks");
    let text = |value: &Result<Value>| -> Result<std::sync::Arc<str>> {
        match value {
            Ok(value) => Ok(value.as_string()?.clone()),
            Err(error) => bail!("{error}"),
        }
    };
    let mut found = Vec::new();
    for (network, name) in &networks {
        if network.is_err() {
            text(network)?;
        }
        for (other, other_name) in &others {
            if other.is_err() {
                text(other)?;
            }
            if holds(&text(network)?, &text(other)?)? {
                found.push(array_of([name.clone(), other_name.clone()]));
            }
        }
    }
    Ok(set_of(found))
}

/// Neighbouring and nested networks become one; the others stay as they are.
pub(super) fn cidr_merge(arguments: &Arguments<'_>) -> Result<Value> {
    let mut ranges = Vec::new();
    for item in arguments.items(0)? {
        let text = item.as_string()?;
        let network = match address(text) {
            // The network of an address alone is that of its class, from the time before there were prefixes.
            Some(IpAddr::V4(address)) => {
                let prefix = match address.octets() {
                    [0..=127, ..] => 8,
                    [128..=191, ..] => 16,
                    _ => 24,
                };
                Network { first: IpAddr::V4(address), prefix }
            }
            Some(IpAddr::V6(_)) => bail!("`{text}` needs a prefix length"),
            None => Network::parse(text)?,
        };
        let whole = bits(network.first);
        let (_, last) = network.range();
        let (first, _) = Network { first: masked(network.first, mask(network.prefix, whole.1))?, ..network }.range();
        ranges.push((last, first, Some(network)));
    }
    ranges.sort_by_key(|(last, first, _)| (*last, *first));

    let mut merged: Vec<(u128, u128, Option<Network>)> = Vec::new();
    for (last, mut first, mut network) in ranges {
        // What ends just before this one begins, or later, is part of it.
        while let Some((previous_last, previous_first, _)) = merged.last() {
            if first.saturating_sub(u128::from(first != MAPPED)) > *previous_last {
                break;
            }
            first = first.min(*previous_first);
            network = None;
            merged.pop();
        }
        merged.push((last, first, network));
    }
    let mut texts = Vec::new();
    for (last, first, network) in merged {
        match network {
            Some(network) => texts.push(Value::from(format!("{}/{}", network.first, network.prefix))),
            None => between(first, last, &mut texts),
        }
    }
    Ok(set_of(texts))
}

fn masked(address: IpAddr, mask: u128) -> Result<IpAddr> {
    Ok(match address {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & u32::try_from(mask)?)),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask)),
    })
}

/// The fewest networks that make up a range.
fn between(mut first: u128, last: u128, texts: &mut Vec<Value>) {
    loop {
        // As many free bits as its beginning and what is left of the range allow.
        let free = match (last - first).checked_add(1) {
            Some(left) => first.trailing_zeros().min(left.ilog2()),
            None => 128,
        };
        let address = of_bits(first);
        texts.push(Value::from(format!("{address}/{}", bits(address).1.saturating_sub(free))));
        match 1_u128.checked_shl(free).and_then(|size| first.checked_add(size)) {
            Some(next) if next <= last => first = next,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::functions::tests::{call, fails};

    #[test]
    fn networks_hold_addresses_and_networks() {
        for (network, other, holds) in [
            ("10.0.0.0/8", "10.200.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.1.0.0/16", "10.0.0.0/8", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("::/0", "10.0.0.1", false),
            ("2001:db8::/32", "2001:db8:1::/48", true),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("2001:db8::1/128", "2001:db8::1", true),
        ] {
            assert_eq!(
                call("net.cidr_contains", &[network.into(), other.into()]),
                Value::from(holds),
                "{network} {other}"
            );
        }
        for (network, other) in [
            ("10.0.0.0", "10.0.0.1"),
            ("10.0.0.0/33", "10.0.0.1"),
            ("10.0.0.0/8", "ten"),
            ("10.0.0.0/ 8", "10.0.0.1"),
            ("fe80::1%eth0/64", "fe80::1"),
        ] {
            fails("net.cidr_contains", &[network.into(), other.into()]);
        }
    }

    #[test]
    fn neighbours_are_merged() {
        let merge = |networks: &[&str]| {
            let networks = array_of(networks.iter().map(|network| Value::from(*network)));
            call("net.cidr_merge", &[networks]).to_string()
        };
        assert_eq!(merge(&["192.0.2.0/25", "192.0.2.128/25", "10.0.0.0/8"]), r#"["10.0.0.0/8","192.0.2.0/24"]"#);
        assert_eq!(merge(&["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"]), r#"["10.0.0.1/32","10.0.0.2/31"]"#);
        assert_eq!(merge(&["0.0.0.0/1", "128.0.0.0/1"]), r#"["0.0.0.0/0"]"#);
        assert_eq!(merge(&["8000::/1", "::/1"]), r#"["::/0"]"#);
    }

    #[test]
    fn large_networks_are_not_listed() {
        assert_eq!(call("net.cidr_expand", &["10.0.0.7/31".into()]).to_string(), r#"["10.0.0.6","10.0.0.7"]"#);
        for network in ["10.0.0.0/8", "::/0", "2001:db8::/64"] {
            fails("net.cidr_expand", &[network.into()]);
        }
        let many = array_of((0..1_001).map(|_| Value::from("10.0.0.0/8")));
        fails("net.cidr_contains_matches", &[many.clone(), many]);
    }
}
