//! The sandbox's settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Whether jobs run real playbooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UseAnsible {
    /// If a working `ansible-playbook` is found; simulated otherwise.
    #[default]
    Auto,
    /// Always simulated.
    Never,
}

/// How to start a sandbox.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "RUNWARDEN_SANDBOX_LISTEN", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))]
    pub listen: SocketAddr,

    /// Directory to keep accounts, runs and the ledger in; without it everything is lost at the end.
    #[arg(long, env = "RUNWARDEN_SANDBOX_DATA_DIR")]
    pub data_dir: Option<PathBuf>,

    /// Root of the API: `/api/v2`, or `/api/controller/v2` to serve it there as well, as AAP 2.5 does.
    #[arg(long, env = "RUNWARDEN_SANDBOX_API_ROOT", default_value = "/api/v2")]
    pub api_root: String,

    /// Whether jobs run real playbooks.
    #[arg(long, value_enum, env = "RUNWARDEN_SANDBOX_USE_ANSIBLE", default_value_t = UseAnsible::Auto)]
    pub use_ansible: UseAnsible,

    /// The `ansible-playbook` to use instead of the first on the PATH.
    #[arg(long, env = "RUNWARDEN_SANDBOX_ANSIBLE_PLAYBOOK")]
    pub ansible_playbook: Option<PathBuf>,

    /// How fast things happen: 1 is for people to watch, 20 for tests.
    #[arg(long, env = "RUNWARDEN_SANDBOX_SPEED", default_value_t = 1.0)]
    pub speed: f64,

    /// How many jobs may be in progress at once; by default 200 simulated ones, or 4 real ones. Others stay pending.
    #[arg(long, env = "RUNWARDEN_SANDBOX_ROOM")]
    pub room: Option<usize>,

    /// Every request to the controller is answered this many milliseconds after it arrived, or as soon as possible
    /// after that.
    #[arg(long, env = "RUNWARDEN_SANDBOX_LATENCY_MS", default_value_t = 0)]
    pub latency_ms: u64,

    /// Token of the operator account; by default a random one, kept in the data directory.
    #[arg(long, env = "RUNWARDEN_SANDBOX_TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// Token of the control API (`/sandbox/…`); by default a random one, kept in the data directory.
    #[arg(long, env = "RUNWARDEN_SANDBOX_CONTROL_TOKEN", hide_env_values = true)]
    pub control_token: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data_dir: None,
            api_root: "/api/v2".to_owned(),
            use_ansible: UseAnsible::Auto,
            ansible_playbook: None,
            speed: 1.0,
            room: None,
            latency_ms: 0,
            token: None,
            control_token: None,
        }
    }
}
