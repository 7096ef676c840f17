use std::time::Duration;

use crate::protocol::{ACKNOWLEDGED_WITHIN, CONNECT_WITHIN};

/// How long and how much we are prepared to take from a controller.
#[derive(Clone, Debug)]
pub struct Limits {
    /// To resolve, connect and shake hands.
    pub connect: Duration,
    /// The same for a launch: what takes longer is not sent.
    pub connect_to_launch: Duration,
    /// For the controller's machine to acknowledge what was sent of a launch, before the connection is given up.
    pub acknowledge: Duration,
    /// For a whole reading request.
    pub request: Duration,
    /// For a whole launch. Longer than the controller's own maximum (two minutes by default), because an answer,
    /// even a bad one, settles what a time-out leaves open.
    pub launch: Duration,
    /// For a JSON answer, in bytes.
    pub answer_bytes: usize,
    /// For what cannot be had in parts and is not kept, in bytes: a download of output, how a single run is.
    pub download_bytes: usize,
    /// Whether `http://` may be used to reach anything but this machine. Credentials would travel in clear.
    pub allow_plain_http: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            connect_to_launch: CONNECT_WITHIN,
            acknowledge: ACKNOWLEDGED_WITHIN,
            request: Duration::from_secs(30),
            launch: Duration::from_secs(130),
            answer_bytes: 16 * 1024 * 1024,
            download_bytes: 64 * 1024 * 1024,
            allow_plain_http: false,
        }
    }
}
