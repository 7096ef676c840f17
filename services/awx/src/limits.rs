use std::time::Duration;

use super::memory::Memory;

/// How long and how much we are prepared to take from a controller.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// To resolve, connect and shake hands.
    pub connect: Duration,
    /// The same for a launch: what takes longer is not sent.
    pub connect_to_launch: Duration,
    /// How long the controller's machine may take to acknowledge what was sent of a launch before the connection is
    /// given up.
    pub acknowledge: Duration,
    /// For a whole reading request.
    pub request: Duration,
    /// For a whole launch. Longer than the controller's own maximum (two minutes by default), because an answer,
    /// even a bad one, settles what a time-out leaves open.
    pub launch: Duration,
    /// For a JSON answer, in bytes.
    pub answer_bytes: usize,
    /// For how a single run is, in bytes: it cannot be had in parts, and little of it is kept.
    pub run_bytes: usize,
    /// For a download of output, in bytes: it cannot be had in parts, and is never whole in memory.
    pub download_bytes: usize,
    /// For all that one operation reads, in bytes: a search, a page of templates, a piece of output.
    pub operation_bytes: usize,
    /// For what one operation keeps of that, in bytes of memory.
    pub kept_bytes: usize,
    /// For all that is in memory at a time, of every operation and controller.
    pub memory: Memory,
    /// Whether `http://` may be used to reach anything but this machine. Credentials would travel in clear.
    pub allow_plain_http: bool,
    /// Addresses of controllers, as [`Target::url`](super::Target::url) has them, whose certificates are not verified
    /// unless they have authorities of their own: whoever is in between can read the credential.
    pub unverified: Vec<String>,
    /// Authorities that an operator trusts for the controllers at an address, in place of the system's: the address, and
    /// PEM. As for [`Self::unverified`], a controller that has authorities of its own is verified by those.
    pub trusted: Vec<(String, String)>,
}

impl ClientLimits {
    /// The usual limits, for launches that may take so long to connect and then so long to be acknowledged.
    ///
    /// The launcher sets both: together they bound how late a launch can still arrive.
    #[must_use]
    pub fn new(connect_to_launch: Duration, acknowledge: Duration) -> Self {
        Self {
            connect: Duration::from_secs(5),
            connect_to_launch,
            acknowledge,
            request: Duration::from_secs(30),
            launch: Duration::from_secs(130),
            answer_bytes: 16 * 1024 * 1024,
            run_bytes: 32 * 1024 * 1024,
            download_bytes: 64 * 1024 * 1024,
            operation_bytes: 64 * 1024 * 1024,
            kept_bytes: 16 * 1024 * 1024,
            memory: Memory::new(256 * 1024 * 1024),
            allow_plain_http: false,
            unverified: Vec::new(),
            trusted: Vec::new(),
        }
    }

    /// The same with so much memory for the answers of all controllers together, bytes.
    #[must_use]
    pub fn with_memory(self, bytes: usize) -> Self {
        let memory = Memory::new(bytes);
        let share = memory.share();
        Self {
            answer_bytes: self.answer_bytes.min(share / 2),
            kept_bytes: self.kept_bytes.min(share / 2),
            run_bytes: self.run_bytes.min(share),
            memory,
            ..self
        }
    }

    /// The same for a tenant, whose controllers share a part of the memory.
    #[must_use]
    pub fn of_tenant(&self, tenant: &str) -> Self {
        Self { memory: self.memory.of(tenant), ..self.clone() }
    }
}
