//! Refusals of unknown callers, counted by address and minute: a flood of bad tokens becomes a few audit entries, not a
//! full log. Refusals of known principals are recorded one by one by the service that refused them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use runwarden_kit::seats::address_key;

/// How many addresses are counted separately in one minute; the rest are counted together.
const MOST_ADDRESSES: usize = 500;

/// The counts of the current minute.
#[derive(Debug, Default)]
pub struct Refusals {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_address: HashMap<IpAddr, u64>,
    others: u64,
}

/// What to record for one address, or for all addresses that are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The address, of IPv6 the /64 network; `None` for the rest.
    pub address: Option<IpAddr>,
    /// How many refusals.
    pub count: u64,
}

impl Refusals {
    /// Counts one refusal. An IPv6 client controls its whole /64, so refusals are counted for that.
    pub fn note(&self, address: IpAddr) {
        let address = address_key(address);
        let mut counts = self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(count) = counts.by_address.get_mut(&address) {
            *count += 1;
        } else if counts.by_address.len() < MOST_ADDRESSES {
            counts.by_address.insert(address, 1);
        } else {
            counts.others += 1;
        }
    }

    /// Puts a count back that could not be recorded, for the next minute.
    pub fn put_back(&self, counted: &Counted) {
        let mut counts = self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match counted.address {
            Some(address) if counts.by_address.len() < MOST_ADDRESSES || counts.by_address.contains_key(&address) => {
                *counts.by_address.entry(address).or_default() += counted.count;
            }
            Some(_) | None => counts.others += counted.count,
        }
    }

    /// Takes the minute's counts, addresses in order.
    pub fn take(&self) -> Vec<Counted> {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let mut taken: Vec<Counted> =
            counts.by_address.into_iter().map(|(address, count)| Counted { address: Some(address), count }).collect();
        taken.sort_by_key(|counted| counted.address);
        if counts.others > 0 {
            taken.push(Counted { address: None, count: counts.others });
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::{Counted, MOST_ADDRESSES, Refusals};
    use std::net::{IpAddr, Ipv4Addr};

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(n))
    }

    #[test]
    fn each_address_is_counted_once_a_minute() {
        let refusals = Refusals::default();
        for _ in 0..1000 {
            refusals.note(address(7));
        }
        refusals.note(address(8));
        let expected =
            [Counted { address: Some(address(7)), count: 1000 }, Counted { address: Some(address(8)), count: 1 }];
        assert_eq!(refusals.take(), expected);
        assert_eq!(refusals.take(), []);
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_count_as_one() {
        let refusals = Refusals::default();
        for n in 0..1000_u128 {
            refusals.note(IpAddr::V6((0x2001_0db8 << 96 | n).into()));
        }
        assert_eq!(refusals.take(), [Counted { address: "2001:db8::".parse().ok(), count: 1000 }]);
    }

    #[test]
    fn a_flood_of_addresses_stays_bounded() {
        let refusals = Refusals::default();
        for n in 0..10_000 {
            refusals.note(address(n));
        }
        let taken = refusals.take();
        assert_eq!(taken.len(), MOST_ADDRESSES + 1);
        assert_eq!(taken.iter().map(|counted| counted.count).sum::<u64>(), 10_000);
    }

    #[test]
    fn what_could_not_be_recorded_is_not_lost() {
        let refusals = Refusals::default();
        refusals.note(address(1));
        for counted in refusals.take() {
            refusals.put_back(&counted);
        }
        refusals.put_back(&Counted { address: None, count: 5 });
        let expected = [Counted { address: Some(address(1)), count: 1 }, Counted { address: None, count: 5 }];
        assert_eq!(refusals.take(), expected);
    }
}
