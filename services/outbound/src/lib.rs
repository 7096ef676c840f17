//! HTTP requests to addresses that tenants choose: callbacks, and the answers that a sender's delivery asks for.
//!
//! Whoever can make a server send requests can reach what only that server reaches: cloud metadata, internal services,
//! the server itself. So every request is made like this, and there is no other way to make one:
//!
//! - The address is parsed once, as browsers do ([`Address`]): `http://0x7f.1/` is `127.0.0.1` here, too. User names,
//!   fragments and names that end in a dot are refused.
//! - `https` only, except where the operator lists the host with `http://` ([`Exceptions`]).
//! - The name is resolved here, **every** address it has is checked ([`ranges`](crate::ranges)), and the connection is
//!   made to one of the addresses that were checked. It is never resolved a second time, so a name server that changes
//!   its answer gains nothing; a connection that is reused still leads to the address that was checked.
//! - Redirects are answers, not instructions. There are no cookies, and the environment's proxy variables are ignored.
//! - Connecting, the whole request, the answer's head and its body have limits; so has the number of requests that one
//!   host and the process have at a time.
//!
//! With an egress proxy ([`Settings::proxy`]) the same checks are made, and the proxy is asked to connect to the address
//! that was checked.

mod address;
mod answer;
mod client;
mod connect;
mod exceptions;
mod failure;
mod hosts;
mod ranges;
mod request;
mod resolver;
mod settings;
mod stream;
mod tls;

#[cfg(test)]
mod tests;

pub use address::{Address, AddressProblem};
pub use answer::Answer;
pub use client::Client;
pub use exceptions::{Exceptions, ExceptionsProblem};
pub use failure::Failure;
pub use request::{Request, RequestProblem};
pub use resolver::{Resolver, SystemResolver};
pub use settings::{Proxy, Settings, SettingsProblem};
