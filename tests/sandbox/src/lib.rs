//! The sandbox controller: a stand-in for AWX 24.6.1 that behaves like the real one, warts included.
//!
//! It answers the part of AWX's API that a launching client and the official command line need, runs playbooks with
//! `ansible-playbook` where there is one and simulates them where there is none, and keeps a ledger of what was really
//! launched. It is for demos and tests: its accounts, templates and inventories are made up, and it must never be
//! reachable by strangers, because whoever can launch may run playbooks on this machine.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use runwarden_sandbox::{Options, Sandbox};
//! let sandbox = Sandbox::start(Options::default()).await?;
//! println!("{} {}", sandbox.url(), sandbox.token());
//! sandbox.stop().await;
//! # Ok(()) }
//! ```

mod app;
mod faults;
mod http;
mod launch;
mod notify;
mod options;
mod python;
mod requests;
mod run;
mod sandbox;
mod server;
mod state;
mod yaml;

pub use options::{Options, UseAnsible};
pub use sandbox::{Account, Sandbox};
pub use state::ledger::{LedgerEntry, Ran};
