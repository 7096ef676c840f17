//! Port 0 takes a free port at the first start and the same one later, if it is still free: what was written down of
//! an address, and the tokens that name it, go on holding.

use std::net::{SocketAddr, TcpListener};

use runwarden_kit::private_file;
use serde_json::{Value, json};

use super::layout::Layout;

const PUBLIC: &str = "public";
const ADMIN: &str = "admin";

/// The addresses to bind: those of the last start where port 0 was asked for.
pub(super) fn keep(layout: &Layout, public: SocketAddr, admin: SocketAddr) -> (SocketAddr, SocketAddr) {
    let before = std::fs::read(layout.addresses_json())
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .unwrap_or_default();
    let last = |key: &str, asked: SocketAddr| {
        let used: Option<SocketAddr> = before.get(key).and_then(|used| used.as_str()?.parse().ok());
        match used {
            Some(used) if asked.port() == 0 && used.ip() == asked.ip() && is_free(used) => used,
            _ => asked,
        }
    };
    (last(PUBLIC, public), last(ADMIN, admin))
}

/// Remembers the addresses for the next start.
pub(super) fn remember(layout: &Layout, public: SocketAddr, admin: SocketAddr) -> anyhow::Result<()> {
    let content = json!({ PUBLIC: public, ADMIN: admin });
    Ok(private_file::write(&layout.addresses_json(), format!("{content:#}\n").as_bytes())?)
}

/// An address, or port 0 of it if it is taken.
#[cfg(feature = "demo")]
pub(crate) fn prefer(address: SocketAddr) -> SocketAddr {
    if is_free(address) { address } else { SocketAddr::new(address.ip(), 0) }
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}
