//! Everything about the edge that can be set.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use runwarden_kit::mesh;
use runwarden_kit::seats::CallerLimits;
use runwarden_kit::service::listen_address;

use crate::limits::address::Network;
use crate::route_table::LITTLE;

/// The edge's settings. Each has a flag, an environment variable and a default.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "edge_settings")]
pub struct Config {
    /// Address of the public listener: tokens, jobs, own templates, health, documentation.
    #[arg(long, env = "RUNWARDEN_EDGE_LISTEN", default_value = "127.0.0.1:8080", value_parser = listen_address)]
    pub listen: SocketAddr,

    /// Address of the admin listener, which serves everything. Keep it on an internal network.
    #[arg(long, env = "RUNWARDEN_EDGE_ADMIN_LISTEN", default_value = "127.0.0.1:8081", value_parser = listen_address)]
    pub admin_listen: SocketAddr,

    /// How outside callers reach the public listener, such as https://runwarden.example. Empty: derived from the listener.
    #[arg(long, env = "RUNWARDEN_EDGE_PUBLIC_URL", default_value = "")]
    pub public_url: String,

    /// PEM file with the certificate chain of both listeners. Read again when it changes and on SIGHUP.
    #[arg(long, env = "RUNWARDEN_EDGE_TLS_CERT", requires = "edge_tls_key")]
    pub edge_tls_cert: Option<PathBuf>,

    /// PEM file with the private key of the certificate.
    #[arg(long, env = "RUNWARDEN_EDGE_TLS_KEY", requires = "edge_tls_cert")]
    pub edge_tls_key: Option<PathBuf>,

    /// Allow plain HTTP on addresses other than loopback, because a proxy in front terminates TLS.
    #[arg(long, env = "RUNWARDEN_EDGE_PLAIN_BEHIND_PROXY", default_value_t = false)]
    pub plain_behind_proxy: bool,

    /// Networks of proxies whose X-Forwarded-For is trusted, such as 10.0.0.0/8. None: the header is ignored.
    #[arg(long, env = "RUNWARDEN_EDGE_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,

    /// Origins whose pages may call the API from a browser, such as https://portal.example. None: CORS is off.
    #[arg(long, env = "RUNWARDEN_EDGE_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<String>,

    /// Largest request body in bytes.
    #[arg(long, env = "RUNWARDEN_EDGE_BODY_LIMIT", default_value_t = 1024 * 1024)]
    pub body_limit: usize,

    /// Largest header section in bytes.
    #[arg(long, env = "RUNWARDEN_EDGE_HEADER_LIMIT", default_value_t = 32 * 1024)]
    pub header_limit: usize,

    /// Time for a request's headers to arrive; also how long a connection may stay idle.
    #[arg(long, env = "RUNWARDEN_EDGE_HEADER_TIMEOUT", default_value = "15s", value_parser = duration)]
    pub header_timeout: Duration,

    /// Time for a request's body to arrive.
    #[arg(long, env = "RUNWARDEN_EDGE_BODY_TIMEOUT", default_value = "15s", value_parser = duration)]
    pub body_timeout: Duration,

    /// Time for a whole request; the time of `?wait=` is added to it.
    #[arg(long, env = "RUNWARDEN_EDGE_REQUEST_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub request_timeout: Duration,

    /// How long a client may read nothing of its answer. The answer is then cut off and its place is free again.
    #[arg(long, env = "RUNWARDEN_EDGE_ANSWER_TIMEOUT", default_value = "60s", value_parser = duration)]
    pub answer_timeout: Duration,

    /// Connections at once, on each listener.
    #[arg(long, env = "RUNWARDEN_EDGE_MAX_CONNECTIONS", default_value_t = 4096)]
    pub max_connections: usize,

    /// Connections at once from one address, on each listener. Trusted proxies may have all but a sixteenth.
    #[arg(long, env = "RUNWARDEN_EDGE_ADDRESS_CONNECTIONS", default_value_t = 256)]
    pub address_connections: usize,

    /// Long-lived answers at once, on both listeners together: event streams, waits, output, exports.
    #[arg(long, env = "RUNWARDEN_EDGE_MAX_STREAMS", default_value_t = 2048)]
    pub max_streams: usize,

    /// Long-lived answers at once, of one tenant's principals.
    #[arg(long, env = "RUNWARDEN_EDGE_TENANT_STREAMS", default_value_t = 512)]
    pub tenant_streams: usize,

    /// Long-lived answers at once, of one principal.
    #[arg(long, env = "RUNWARDEN_EDGE_PRINCIPAL_STREAMS", default_value_t = 128)]
    pub principal_streams: usize,

    /// Calls in progress at once, on both listeners together.
    #[arg(long, env = "RUNWARDEN_EDGE_MAX_CALLS", default_value_t = 4096)]
    pub max_calls: usize,

    /// Calls in progress at once, of one tenant's principals.
    #[arg(long, env = "RUNWARDEN_EDGE_TENANT_CALLS", default_value_t = 1024)]
    pub tenant_calls: usize,

    /// Calls in progress at once, of one principal, and of one address where the caller is not known yet.
    #[arg(long, env = "RUNWARDEN_EDGE_PRINCIPAL_CALLS", default_value_t = 256)]
    pub principal_calls: usize,

    /// Bytes of request bodies being received on routes without a token, in total; one address may have an eighth.
    #[arg(long, env = "RUNWARDEN_EDGE_OPEN_BYTES", default_value_t = 4 * 1024 * 1024)]
    pub open_bytes: usize,

    /// Bytes of request bodies being received from callers with a token, in total; one tenant may have an eighth.
    #[arg(long, env = "RUNWARDEN_EDGE_BODY_BYTES", default_value_t = 64 * 1024 * 1024)]
    pub body_bytes: usize,

    /// Requests a second of one principal in the long run; 0 for no limit.
    #[arg(long, env = "RUNWARDEN_EDGE_PRINCIPAL_RATE", default_value_t = 50)]
    pub principal_rate: u32,

    /// Requests of one principal at once before the rate counts.
    #[arg(long, env = "RUNWARDEN_EDGE_PRINCIPAL_BURST", default_value_t = 100)]
    pub principal_burst: u32,

    /// Requests a second from one address in the long run; 0 for no limit.
    #[arg(long, env = "RUNWARDEN_EDGE_ADDRESS_RATE", default_value_t = 100)]
    pub address_rate: u32,

    /// Requests from one address at once before the rate counts.
    #[arg(long, env = "RUNWARDEN_EDGE_ADDRESS_BURST", default_value_t = 200)]
    pub address_burst: u32,

    /// How long requests in progress may take to finish when the edge shuts down.
    #[arg(long, env = "RUNWARDEN_EDGE_DRAIN_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub drain_timeout: Duration,
}

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

impl Default for Config {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            listen: SocketAddr::new(loopback, 8080),
            admin_listen: SocketAddr::new(loopback, 8081),
            public_url: String::new(),
            edge_tls_cert: None,
            edge_tls_key: None,
            plain_behind_proxy: false,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            body_limit: 1024 * 1024,
            header_limit: 32 * 1024,
            header_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(60),
            max_connections: 4096,
            address_connections: 256,
            max_streams: 2048,
            tenant_streams: 512,
            principal_streams: 128,
            max_calls: 4096,
            tenant_calls: 1024,
            principal_calls: 256,
            open_bytes: 4 * 1024 * 1024,
            body_bytes: 64 * 1024 * 1024,
            principal_rate: 50,
            principal_burst: 100,
            address_rate: 100,
            address_burst: 200,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Refuses settings that are wrong or dangerous, in words an operator can act on.
    ///
    /// # Errors
    ///
    /// Plain HTTP beyond loopback without consent, an unusable URL or origin, or limits that would refuse everything.
    pub fn check(&self) -> anyhow::Result<()> {
        let plain = self.edge_tls_cert.is_none();
        for (name, address) in [("--listen", self.listen), ("--admin-listen", self.admin_listen)] {
            anyhow::ensure!(
                !plain || address.ip().is_loopback() || self.plain_behind_proxy,
                "{name} {address} would serve plain HTTP beyond this machine: give --edge-tls-cert and --edge-tls-key, or \
                 --plain-behind-proxy if a proxy in front terminates TLS"
            );
        }
        if !self.public_url.is_empty() {
            let uri: http::Uri = self.public_url.parse()?;
            anyhow::ensure!(
                matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none(),
                "--public-url must be http(s)://host[:port] without a query"
            );
        }
        for origin in &self.cors_origins {
            let uri: http::Uri = origin.parse()?;
            anyhow::ensure!(
                matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && !origin.ends_with('/'),
                "--cors-origins: {origin} is not an origin; write scheme://host[:port] without a path"
            );
        }
        anyhow::ensure!(self.body_limit >= 1024, "--body-limit below 1 KiB would refuse every request with a body");
        anyhow::ensure!(self.header_limit >= 8192, "--header-limit must be at least 8 KiB");
        self.check_room()?;
        anyhow::ensure!(
            self.open_bytes >= 8 * LITTLE,
            "--open-bytes must leave each address room for one body: at least {}",
            8 * LITTLE
        );
        anyhow::ensure!(
            self.body_bytes / 8 >= self.body_limit,
            "--body-bytes must be at least eight times --body-limit: a tenant has an eighth of it"
        );
        anyhow::ensure!(
            [self.header_timeout, self.body_timeout, self.request_timeout, self.answer_timeout]
                .iter()
                .all(|time| *time >= Duration::from_millis(1)),
            "timeouts must be at least 1ms"
        );
        Ok(())
    }

    fn check_room(&self) -> anyhow::Result<()> {
        let groups = [
            (
                "connections",
                vec![("--address-connections", self.address_connections), ("--max-connections", self.max_connections)],
            ),
            (
                "streams",
                vec![
                    ("--principal-streams", self.principal_streams),
                    ("--tenant-streams", self.tenant_streams),
                    ("--max-streams", self.max_streams),
                ],
            ),
            (
                "calls",
                vec![
                    ("--principal-calls", self.principal_calls),
                    ("--tenant-calls", self.tenant_calls),
                    ("--max-calls", self.max_calls),
                ],
            ),
        ];
        for (what, limits) in groups {
            for (name, limit) in &limits {
                anyhow::ensure!(*limit > 0, "{name} must be at least 1, or there are no {what} at all");
            }
            for pair in limits.windows(2) {
                if let [(smaller, less), (larger, more)] = pair {
                    anyhow::ensure!(
                        less < more,
                        "{smaller} {less} must be less than {larger} {more}, so that one caller cannot take everything"
                    );
                }
            }
        }
        let mesh = usize::try_from(mesh::MAX_STREAMS)? / 2;
        for (name, limit) in [("--max-streams", self.max_streams), ("--max-calls", self.max_calls)] {
            anyhow::ensure!(limit <= mesh, "{name} {limit} is more than the {mesh} that services accept from one edge");
        }
        Ok(())
    }

    /// How many answers that last callers may have open.
    #[must_use]
    pub fn stream_limits(&self) -> CallerLimits {
        CallerLimits { total: self.max_streams, tenant: self.tenant_streams, principal: self.principal_streams }
    }

    /// How many calls callers may have under way.
    #[must_use]
    pub fn call_limits(&self) -> CallerLimits {
        CallerLimits { total: self.max_calls, tenant: self.tenant_calls, principal: self.principal_calls }
    }

    /// `https` with a certificate, else `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.edge_tls_cert.is_some() { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use clap::Parser;
    use std::time::Duration;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn the_command_line_defaults_are_the_defaults() {
        let parsed = Line::try_parse_from(["edge"]).unwrap().config;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn plain_http_beyond_loopback_needs_consent() {
        let open = Config { listen: "0.0.0.0:80".parse().unwrap(), ..Config::default() };
        assert!(open.check().unwrap_err().to_string().contains("--plain-behind-proxy"));
        assert!(Config { plain_behind_proxy: true, ..open }.check().is_ok());
    }

    #[test]
    fn nobody_s_share_is_everything() {
        let limits = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check()
        };
        assert!(limits(|_| {}).is_ok());
        let bad: [fn(&mut Config); 6] = [
            |c| c.address_connections = c.max_connections,
            |c| c.principal_streams = c.tenant_streams,
            |c| c.tenant_streams = c.max_streams + 1,
            |c| c.principal_calls = 0,
            |c| c.tenant_calls = c.max_calls,
            // More than the mesh carries for one edge.
            |c| c.max_streams = 10_000,
        ];
        for change in bad {
            assert!(limits(change).unwrap_err().to_string().starts_with("--"));
        }
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        assert!(Line::try_parse_from(["edge", "--edge-tls-cert", "a.pem"]).is_err());
    }

    #[test]
    fn a_timeout_too_short_to_be_measured_is_refused() {
        let config = Config { header_timeout: Duration::from_nanos(3), ..Config::default() };
        assert!(config.check().is_err());
    }

    #[test]
    fn origins_with_a_path_are_refused() {
        let config = Config { cors_origins: vec!["https://portal.example/".into()], ..Config::default() };
        assert!(config.check().is_err());
    }
}
