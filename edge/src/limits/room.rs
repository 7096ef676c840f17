//! Limits on concurrent work, so that no caller can use up the share of others: calls in progress, long-lived answers,
//! and bytes of bodies on their way in.

use std::net::IpAddr;
use std::time::Duration;

use runwarden_kit::caller::Caller;
use runwarden_kit::seats::{CallerSeat, CallerSeats, Full, Seat, Seats, address_key};
use runwarden_kit::{Error, ErrorReason, Result};

use crate::config::Config;
use crate::route_table::{Access, Lasts, Route, Takes};

/// The part of the bytes in flight that one address, or one tenant, may have.
const SHARE: usize = 8;

/// All there is.
#[derive(Debug)]
pub struct Room {
    open_calls: Seats<String>,
    calls: CallerSeats,
    streams: CallerSeats,
    open_bytes: Seats<String>,
    known_bytes: Seats<String>,
    delivered_bytes: Seats<String>,
}

/// What a request takes up while it is answered; free again when dropped.
#[derive(Debug)]
pub enum HeldSeat {
    /// Nothing: its answer is at hand.
    None,
    /// A call of an unknown caller.
    Open(Seat<String>),
    /// A caller's call or stream.
    Caller(CallerSeat),
}

impl Room {
    /// As much as the settings say.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            open_calls: Seats::new(config.max_calls, config.principal_calls),
            calls: CallerSeats::new("calls", ErrorReason::RateLimited, config.call_limits()),
            streams: CallerSeats::new("streams and waits", ErrorReason::TooManyStreams, config.stream_limits()),
            open_bytes: Seats::new(config.open_bytes, config.open_bytes / SHARE),
            known_bytes: Seats::new(config.body_bytes, config.body_bytes / SHARE),
            delivered_bytes: Seats::new(config.body_bytes, config.body_bytes / SHARE),
        }
    }

    /// A seat for a request. `waits`: whether it asks to wait for something.
    ///
    /// # Errors
    ///
    /// 429 when the principal, its tenant or the address has used up its share; 503 when everything is in use.
    pub fn enter(&self, route: &Route, waits: bool, address: IpAddr, caller: Option<&Caller>) -> Result<HeldSeat> {
        let lasts = match route.lasts {
            Lasts::NoSeat => return Ok(HeldSeat::None),
            Lasts::Call => false,
            Lasts::Wait => waits,
            Lasts::Stream => true,
        };
        match (route.access, caller) {
            (Access::Caller, Some(caller)) if lasts => self.streams.take(caller).map(HeldSeat::Caller),
            (Access::Caller, Some(caller)) => self.calls.take(caller).map(HeldSeat::Caller),
            (Access::Open, _) | (Access::Caller, None) => {
                let seat = self.open_calls.take(address_key(address).to_string(), 1);
                seat.map(HeldSeat::Open).map_err(|full| refusal(full, "calls", "address"))
            }
        }
    }

    /// What a request's body is paid from.
    #[must_use]
    pub fn purse(&self, takes: Takes, address: IpAddr, caller: Option<&Caller>) -> Purse {
        let (seats, key, whose) = match caller {
            None if takes == Takes::Delivery => (&self.delivered_bytes, address_key(address).to_string(), "address"),
            Some(caller) => {
                (&self.known_bytes, caller.home_tenant.clone().map(String::from).unwrap_or_default(), "tenant")
            }
            None => (&self.open_bytes, address_key(address).to_string(), "address"),
        };
        Purse { seat: seats.empty(key), whose }
    }
}

/// Pays for the bytes of one body as they arrive, until it is dropped.
#[derive(Debug)]
pub struct Purse {
    seat: Seat<String>,
    whose: &'static str,
}

impl Purse {
    /// Pays for more.
    ///
    /// # Errors
    ///
    /// 429 when this address or tenant has its share of all bytes in flight; 503 when all are in flight.
    pub fn pay(&mut self, bytes: usize) -> Result<()> {
        self.seat.take_more(bytes).map_err(|full| refusal(full, "bytes of request bodies", self.whose))
    }
}

fn refusal(full: Full, what: &str, whose: &str) -> Error {
    let error = match full {
        Full::Own => Error::new(ErrorReason::RateLimited, format!("Too many {what} are in progress for this {whose}.")),
        Full::All => Error::unavailable(format!("The server cannot take more {what} right now.")),
    };
    error.with_retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::{HeldSeat, Room};
    use crate::config::Config;
    use crate::route_table::{Listener, Route, Takes};
    use crate::routes;
    use runwarden_kit::ErrorReason;
    use runwarden_kit::caller::{Caller, Scope};
    use runwarden_kit::permission::Permission;
    use runwarden_kit::tenant::TenantId;
    use std::net::IpAddr;

    fn route(path: &str) -> &'static Route {
        routes::table().iter().find(|route| route.path == path).unwrap()
    }

    fn small() -> Room {
        let (max_calls, tenant_calls, principal_calls) = (4, 3, 2);
        let (max_streams, tenant_streams, principal_streams) = (4, 3, 2);
        Room::new(&Config {
            max_calls,
            tenant_calls,
            principal_calls,
            max_streams,
            tenant_streams,
            principal_streams,
            open_bytes: 800,
            ..Config::default()
        })
    }

    fn of(tenant: &str, principal: &str) -> Caller {
        let mut caller = Caller::example(&[Permission::JobsRead], Scope::tenant(&TenantId::trusted(tenant)));
        caller.principal = principal.to_owned();
        caller
    }

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn streams_and_waits_are_counted_apart_from_calls() {
        let room = small();
        let (one, job, events) = (of("acme", "sa_1"), route("/api/v1/jobs/{id}"), route("/api/v1/jobs/{id}/events"));
        let enter = |route, waits, caller: &Caller| room.enter(route, waits, ONE, Some(caller)).map_err(|e| e.reason());
        let mut held = vec![enter(events, false, &one).unwrap(), enter(job, true, &one).unwrap()];
        assert_eq!(enter(events, false, &one).unwrap_err(), ErrorReason::TooManyStreams);
        assert_eq!(enter(job, true, &one).unwrap_err(), ErrorReason::TooManyStreams);
        held.extend([enter(job, false, &one).unwrap(), enter(job, false, &one).unwrap()]);
        assert_eq!(enter(job, false, &one).unwrap_err(), ErrorReason::RateLimited);
        // Another principal of the tenant has what is left of the tenant's; another tenant has its own.
        held.push(enter(events, false, &of("acme", "sa_2")).unwrap());
        assert_eq!(enter(events, false, &of("acme", "sa_2")).unwrap_err(), ErrorReason::TooManyStreams);
        held.push(enter(events, false, &of("umbrella", "sa_3")).unwrap());
        assert_eq!(enter(events, false, &of("other", "sa_4")).unwrap_err(), ErrorReason::Unavailable);
        held.clear();
        assert!(enter(events, false, &one).is_ok());
    }

    #[test]
    fn an_address_takes_no_more_than_its_share_of_open_calls_and_health_is_always_answered() {
        let room = small();
        let (token, health) = (route("/api/v1/auth/token"), route("/api/v1/health/ready"));
        let enter = |route, address| room.enter(route, false, address, None).map_err(|e| e.reason());
        let held = [enter(token, ONE).unwrap(), enter(token, ONE).unwrap()];
        assert_eq!(enter(token, ONE).unwrap_err(), ErrorReason::RateLimited);
        let others = [enter(token, OTHER).unwrap(), enter(token, OTHER).unwrap()];
        let third = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 3));
        assert_eq!(enter(token, third).unwrap_err(), ErrorReason::Unavailable);
        assert!(matches!(enter(health, ONE), Ok(HeldSeat::None)));
        drop((held, others));
    }

    #[test]
    fn bytes_of_bodies_have_one_budget_and_each_address_a_share_of_it() {
        let room = small();
        let mut purse = room.purse(Takes::Little, ONE, None);
        purse.pay(100).unwrap();
        let error = purse.pay(1).unwrap_err();
        assert_eq!(error.reason(), ErrorReason::RateLimited);
        assert!(error.retry_after().is_some());
        let purses: Vec<_> = (2..9)
            .map(|n| {
                let mut purse = room.purse(Takes::Little, IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, n)), None);
                purse.pay(100).unwrap();
                purse
            })
            .collect();
        let mut late = room.purse(Takes::Little, IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 99)), None);
        assert_eq!(late.pay(1).unwrap_err().reason(), ErrorReason::Unavailable);
        // Callers who are known pay from elsewhere.
        room.purse(Takes::Little, ONE, Some(&of("acme", "sa_1"))).pay(1000).unwrap();
        room.purse(Takes::Delivery, ONE, None).pay(1000).unwrap();
        drop(purses);
        late.pay(100).unwrap();
    }

    #[test]
    fn every_route_has_a_place_to_go() {
        let room = small();
        for route in routes::table().of(Listener::Admin) {
            assert!(room.enter(route, false, ONE, Some(&of("acme", "sa_1"))).is_ok(), "{}", route.path);
        }
    }
}
