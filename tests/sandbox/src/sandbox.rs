//! A running sandbox, as its starter sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpListener;

use crate::app::{App, Engine};
use crate::options::{Options, UseAnsible};
use crate::run;
use crate::server;
use crate::state::account::{self, Rank, random_key};
use crate::state::ledger::LedgerEntry;
use crate::state::store::Store;
use crate::state::{State, catalogue, seed};

/// How long runs get to come to an end when the sandbox stops.
const GRACE: Duration = Duration::from_secs(5);

/// The operator account, `runwarden`.
const OPERATOR: u64 = 2;

/// A user name and a password of the controller.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Account {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

/// A running stand-in for AWX. Call [`Sandbox::stop`] to end it in order; dropping it stops it without saving once more.
pub struct Sandbox {
    app: Arc<App>,
    address: SocketAddr,
    api_root: String,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts listening and dispatching. With a data directory it continues where the last run ended.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let bases = bases(&options.api_root)?;
        if !options.speed.is_finite() || options.speed <= 0.0 {
            bail!("--speed must be above zero");
        }
        let store = options.data_dir.as_deref().map(Store::open).transpose()?;
        let mut state = match &store {
            Some(store) => store.load()?.unwrap_or_else(State::fresh),
            None => State::fresh(),
        };
        if options.room == Some(0) {
            bail!("--room must be at least 1");
        }
        prepare(&mut state, &options);
        let found = match options.use_ansible {
            UseAnsible::Never => None,
            UseAnsible::Auto => run::ansible::find(options.ansible_playbook.as_deref()).await,
        };
        let engine = found.map_or(Engine::Simulated, Engine::Ansible);
        let listener =
            TcpListener::bind(options.listen).await.with_context(|| format!("cannot listen on {}", options.listen))?;
        let address = listener.local_addr()?;
        let app = App::new(state, engine, &options, bases, store);
        app.save(1).await;
        app.tasks.spawn(server::serve(Arc::clone(&app), listener));
        app.tasks.spawn(run::dispatch(Arc::clone(&app)));
        app.tasks.spawn(Arc::clone(&app).keep_saving());
        Ok(Self { app, address, api_root: options.api_root })
    }

    /// `http://127.0.0.1:PORT`, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root of the API it was started with.
    pub fn api_root(&self) -> &str {
        &self.api_root
    }

    /// A token of the operator account, which may execute every template that is not restricted.
    pub fn token(&self) -> String {
        let state = self.app.read();
        state.tokens.iter().find(|t| t.user == OPERATOR).map(|t| t.value.clone()).unwrap_or_default()
    }

    /// The operator account's user name.
    pub fn username(&self) -> String {
        self.account("runwarden").username
    }

    /// The operator account's password.
    pub fn password(&self) -> String {
        self.account("runwarden").password
    }

    /// One of the accounts: `admin`, `runwarden`, `viewer`, `outsider`. Unknown names get an account that opens nothing.
    pub fn account(&self, username: &str) -> Account {
        let state = self.app.read();
        let password = state.accounts.iter().find(|a| a.username == username).map(|a| a.password.clone());
        Account { username: username.to_owned(), password: password.unwrap_or_default() }
    }

    /// The token of the control API under `/sandbox/`.
    pub fn control_token(&self) -> String {
        self.app.read().control_token.clone()
    }

    /// `ansible` if jobs run real playbooks, `simulated` if not.
    pub fn engine(&self) -> &'static str {
        self.app.engine.name()
    }

    /// Every launch so far, with what came of it.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        self.app.read().ledger_of(|_| true)
    }

    /// How many launches the ledger has.
    pub fn launched(&self) -> usize {
        self.app.read().ledger.len()
    }

    /// Stops in order: runs end as interrupted, everything is saved.
    pub async fn stop(self) {
        self.app.stop.cancel();
        self.app.tasks.close();
        if tokio::time::timeout(GRACE, self.app.tasks.wait()).await.is_err() {
            tracing::warn!("some runs did not stop in time");
        }
        self.app.read().shut_down();
        self.app.save(u64::MAX).await;
    }

    /// Stops as if the machine had lost power: whatever runs stays marked as running, and is reaped at the next start.
    pub async fn crash(self) {
        self.app.durable().await;
        self.app.stop.cancel();
        self.app.tasks.close();
        // What is still under way must let go of its processes before this returns.
        let _ = tokio::time::timeout(GRACE, self.app.tasks.wait()).await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.app.stop.cancel();
    }
}

/// `/api`, and the prefix of a platform that has one.
fn bases(api_root: &str) -> anyhow::Result<Vec<String>> {
    match api_root.trim_end_matches('/') {
        "/api/v2" => Ok(vec!["/api".to_owned()]),
        "/api/controller/v2" => Ok(vec!["/api".to_owned(), "/api/controller".to_owned()]),
        other => bail!("--api-root must be /api/v2 or /api/controller/v2, not {other}"),
    }
}

/// Seeds what is always the same, makes what is missing, reaps what was interrupted.
fn prepare(state: &mut State, options: &Options) {
    state.templates = seed::templates().into_iter().map(|t| (t.id, t)).collect();
    for (name, rows) in catalogue::seed() {
        state.catalogue.entry(name).or_insert(rows);
    }
    let ranks = [
        ("admin", Rank::Superuser),
        ("runwarden", Rank::Operator),
        ("viewer", Rank::Viewer),
        ("outsider", Rank::Outsider),
    ];
    for (id, (username, rank)) in (1u64..).zip(ranks) {
        if state.account(id).is_none() {
            let (username, password) = (username.to_owned(), random_key());
            state.accounts.push(account::Account { id, username, password, rank, locked: false });
        }
    }
    if !state.tokens.iter().any(|token| token.user == OPERATOR) {
        state.make_token(OPERATOR, "made by the sandbox", "write");
    }
    if let (Some(token), Some(first)) = (&options.token, state.tokens.iter_mut().find(|token| token.user == OPERATOR)) {
        first.value.clone_from(token);
    }
    if let Some(token) = &options.control_token {
        state.control_token.clone_from(token);
    } else if state.control_token.is_empty() {
        state.control_token = random_key();
    }
    state.reap();
}
