//! Ports that are nobody else's: tests run side by side, and what is started again must be where it was.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// A loopback port for TCP that no other test takes while this lives: its holder holds the UDP port of the same number.
pub struct Port {
    address: SocketAddr,
    _held: UdpSocket,
}

impl Port {
    /// Takes one, below those that the system hands out by itself.
    ///
    /// # Panics
    /// When none is free.
    #[must_use]
    pub fn take() -> Self {
        let range = 12_000_u32..32_000;
        let width = range.end - range.start;
        // Processes that start together begin at different places.
        let first = std::process::id().wrapping_mul(7919) % width;
        (0..width)
            .filter_map(|step| u16::try_from(range.start + (first + step) % width).ok())
            .find_map(|port| {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let held = UdpSocket::bind(address).ok()?;
                TcpListener::bind(address).ok()?;
                Some(Self { address, _held: held })
            })
            .expect("one of 20 000 ports is free")
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
