//! Port 0 takes a free port at the first start and the same one later, if it is still free: what was written down of
//! an address, and the tokens that name it, go on holding.

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;

use super::layout::Layout;

/// The addresses to bind: those of the last start where port 0 was asked for.
pub(super) fn keep(layout: &Layout, public: SocketAddr, admin: SocketAddr) -> (SocketAddr, SocketAddr) {
    let before = std::fs::read(layout.runwarden_json())
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .unwrap_or_default();
    let last = |key: &str, asked: SocketAddr| {
        let url = before.get(key).and_then(Value::as_str).unwrap_or_default();
        let used: Option<SocketAddr> = url.rsplit_once("//").and_then(|(_, address)| address.parse().ok());
        match used {
            Some(used) if asked.port() == 0 && used.ip() == asked.ip() && is_free(used) => used,
            _ => asked,
        }
    };
    (last("base_url", public), last("admin_base_url", admin))
}

/// An address, or port 0 of it if it is taken.
#[cfg(feature = "demo")]
pub(crate) fn prefer(address: SocketAddr) -> SocketAddr {
    if is_free(address) { address } else { SocketAddr::new(address.ip(), 0) }
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}
