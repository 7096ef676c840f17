//! Limits on what is in use at once: so much in total, and so much for each key. Nothing waits here: without a free
//! seat the request is refused at once, and a seat that is dropped is free again.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::reason::ErrorReason;

/// What platform principals, who have no tenant, are counted as. No tenant can have this name.
const PLATFORM: &str = "_platform";

/// The key that an address is counted by: an IPv4 address, or the /64 that an IPv6 address is in, since one caller usually
/// has all of it.
#[must_use]
pub fn address_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Counts units in use, in all and by key.
#[derive(Clone, Debug)]
pub struct Seats<K: Eq + Hash> {
    total: usize,
    each: usize,
    taken: Arc<Mutex<Taken<K>>>,
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    by_key: HashMap<K, usize>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// This key has all it may.
    Own,
    /// Everything is in use.
    All,
}

/// Units in use, given back when dropped.
#[derive(Debug)]
pub struct Seat<K: Eq + Hash> {
    seats: Seats<K>,
    key: K,
    each: usize,
    units: usize,
}

impl<K: Eq + Hash + Clone> Seats<K> {
    /// Room for `total` units, of which one key may have `each`.
    #[must_use]
    pub fn new(total: usize, each: usize) -> Self {
        Self { total, each, taken: Arc::new(Mutex::new(Taken { all: 0, by_key: HashMap::new() })) }
    }

    /// Takes units for a key.
    ///
    /// # Errors
    /// When there is no room for them; then nothing is taken.
    pub fn take(&self, key: K, units: usize) -> Result<Seat<K>, Full> {
        self.take_up_to(self.each, key, units)
    }

    /// Takes units for a key that may have another number than the others.
    ///
    /// # Errors
    /// As [`Seats::take`].
    pub fn take_up_to(&self, each: usize, key: K, units: usize) -> Result<Seat<K>, Full> {
        let mut seat = self.empty(key);
        seat.each = each;
        seat.take_more(units)?;
        Ok(seat)
    }

    /// A seat for a key without any units, to take them with as they are needed.
    #[must_use]
    pub fn empty(&self, key: K) -> Seat<K> {
        Seat { seats: self.clone(), key, each: self.each, units: 0 }
    }

    /// How many units are in use.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl<K: Eq + Hash + Clone> Seat<K> {
    /// Takes more units for the same key.
    ///
    /// # Errors
    /// When there is no room for them; what was taken before stays.
    pub fn take_more(&mut self, units: usize) -> Result<(), Full> {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |used: usize, limit: usize| used.checked_add(units).is_some_and(|sum| sum <= limit);
        if !fits(taken.by_key.get(&self.key).copied().unwrap_or_default(), self.each) {
            return Err(Full::Own);
        }
        if !fits(taken.all, self.seats.total) {
            return Err(Full::All);
        }
        taken.all += units;
        *taken.by_key.entry(self.key.clone()).or_default() += units;
        self.units += units;
        Ok(())
    }
}

impl<K: Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(self.units);
        if let Some(own) = taken.by_key.get_mut(&self.key) {
            *own = own.saturating_sub(self.units);
            // Keys come from outside: those without a seat are dropped.
            if *own == 0 {
                taken.by_key.remove(&self.key);
            }
        }
    }
}

/// How much callers may have in use at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerLimits {
    /// All callers together.
    pub total: usize,
    /// The principals of one tenant together.
    pub tenant: usize,
    /// One principal.
    pub principal: usize,
}

/// Room by principal and by tenant.
#[derive(Clone, Debug)]
pub struct CallerSeats {
    what: &'static str,
    reason: ErrorReason,
    limits: CallerLimits,
    tenants: Seats<String>,
    principals: Seats<String>,
}

/// A caller's seat, given back when dropped.
#[derive(Debug)]
pub struct CallerSeat {
    _tenant: Seat<String>,
    _principal: Seat<String>,
}

impl CallerSeats {
    /// Room for so many. `what` names them in refusals, such as `event streams`; `reason` is what those carry who have
    /// used up their own share.
    #[must_use]
    pub fn new(what: &'static str, reason: ErrorReason, limits: CallerLimits) -> Self {
        let tenants = Seats::new(limits.total, limits.tenant);
        Self { what, reason, limits, tenants, principals: Seats::new(usize::MAX, limits.principal) }
    }

    /// Takes a seat. It counts for the tenant the principal belongs to, whichever it acts for: no one can use up the
    /// share of a tenant that is not theirs.
    ///
    /// # Errors
    /// The given reason if the principal or its tenant has used up its share; `UNAVAILABLE` if everything is in use.
    pub fn take(&self, caller: &Caller) -> Result<CallerSeat> {
        let own = |limit: usize, whose: &str| {
            let what = self.what;
            Error::new(self.reason, format!("This {whose} already has {limit} {what} open, which is the limit."))
        };
        let principal =
            self.principals.take(caller.principal.clone(), 1).map_err(|_| own(self.limits.principal, "principal"))?;
        let tenant = caller.home_tenant.as_deref().unwrap_or(PLATFORM);
        let tenant = self.tenants.take(tenant.to_owned(), 1).map_err(|full| match full {
            Full::Own => own(self.limits.tenant, "tenant"),
            Full::All => Error::unavailable(format!("There is no room for more {} now.", self.what)),
        })?;
        Ok(CallerSeat { _tenant: tenant, _principal: principal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Scope;
    use crate::tenant::TenantId;

    #[test]
    fn a_whole_ipv6_network_has_one_key() {
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1").to_string(), "192.0.2.1");
    }

    #[test]
    fn a_key_has_its_share_and_all_together_have_theirs() {
        let seats = Seats::new(5, 3);
        let mut first = seats.take("a", 2).unwrap();
        assert_eq!(seats.take("a", 2).unwrap_err(), Full::Own);
        first.take_more(1).unwrap();
        assert_eq!(first.take_more(1), Err(Full::Own));
        assert_eq!(seats.take("b", 3).unwrap_err(), Full::All);
        let second = seats.take("b", 2).unwrap();
        assert_eq!(seats.in_use(), 5);
        drop(first);
        assert_eq!(seats.in_use(), 2);
        drop(second);
        assert_eq!((seats.in_use(), seats.taken.lock().unwrap().by_key.len()), (0, 0), "keys are forgotten");
    }

    #[test]
    fn some_keys_may_have_more() {
        let seats = Seats::new(10, 1);
        let _proxy = seats.take_up_to(8, "proxy", 8).unwrap();
        assert_eq!(seats.take("other", 2).unwrap_err(), Full::Own);
        let _other = seats.take("other", 1).unwrap();
    }

    fn caller(principal: &str, tenant: Option<&str>) -> Caller {
        let tenant = tenant.map(TenantId::trusted);
        let mut caller = Caller::example(&[], tenant.as_ref().map_or_else(Scope::platform, Scope::tenant));
        caller.principal = principal.to_owned();
        caller.home_tenant = tenant;
        caller
    }

    #[test]
    fn neither_a_principal_nor_a_tenant_takes_what_belongs_to_others() {
        let limits = CallerLimits { total: 5, tenant: 3, principal: 2 };
        let seats = CallerSeats::new("event streams", ErrorReason::TooManyStreams, limits);
        let refusal = |caller: &Caller| seats.take(caller).unwrap_err().reason();
        let (one, two, other) = (caller("sa_1", Some("acme")), caller("sa_2", Some("acme")), caller("sa_3", Some("b")));
        let first = seats.take(&one).unwrap();
        let _second = seats.take(&one).unwrap();
        assert_eq!(refusal(&one), ErrorReason::TooManyStreams);
        let _third = seats.take(&two).unwrap();
        assert_eq!(refusal(&two), ErrorReason::TooManyStreams, "the tenant has its share");
        let mut acting = caller("sa_9", None);
        acting.acting_tenant = Some(TenantId::trusted("acme"));
        let _platform = seats.take(&acting).expect("it counts for the platform");
        let _fifth = seats.take(&other).unwrap();
        assert_eq!(refusal(&other), ErrorReason::Unavailable);
        drop(first);
        let again = seats.take(&one).expect("a seat that was given back");
        drop(again);
        // A refusal for the tenant's sake gives the principal's seat back.
        assert_eq!(seats.principals.in_use(), 4);
    }
}
