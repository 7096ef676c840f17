//! Addresses to listen on, as people write them.

use std::net::{SocketAddr, ToSocketAddrs as _};

/// Reads an address to listen on: `127.0.0.1:8080`, or a name such as `localhost:8080`. For settings on a command line.
///
/// # Errors
/// When there is no port, or the name has no address on this machine.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let has_port = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !has_port {
        return Err("must be an address with a port, such as 127.0.0.1:8080 or localhost:8080".to_owned());
    }
    let found: Vec<SocketAddr> = text.to_socket_addrs().map_err(|error| format!("has no address: {error}"))?.collect();
    // One listener has one address; a client that is told `localhost` tries this one as well.
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| "has no address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::listen_address;

    #[test]
    fn an_address_or_a_name_with_a_port_is_taken() {
        assert_eq!(listen_address("[::1]:0").unwrap().to_string(), "[::1]:0");
        let named = listen_address("localhost:9000").unwrap();
        assert!(named.ip().is_loopback() && named.port() == 9000);
        for bad in ["localhost", ":9000", "localhost:port", "8080", "nowhere.invalid:80"] {
            assert!(listen_address(bad).is_err(), "{bad}");
        }
    }
}
