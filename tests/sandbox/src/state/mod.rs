//! Everything the sandbox knows, in one struct behind one lock.

pub(crate) mod account;
pub(crate) mod catalogue;
pub(crate) mod course;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod ledger;
pub(crate) mod row;
pub(crate) mod schedule;
pub(crate) mod seed;
pub(crate) mod stamp;
pub(crate) mod store;
pub(crate) mod template;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::notify::Notices;

use self::account::{Account, Session, Token};
use self::job::{Job, JobKind};
use self::jobs::Jobs;
use self::ledger::LedgerEntry;
use self::schedule::Schedule;
use self::template::{Template, TemplateKind};

fn new_install_uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The controller's database.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// What `ping/` calls this installation. A database that is restored keeps it, one that is set up anew has another.
    #[serde(default = "new_install_uuid")]
    pub(crate) install_uuid: String,
    pub(crate) accounts: Vec<Account>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) control_token: String,
    pub(crate) last_job: u64,
    pub(crate) last_node: u64,
    pub(crate) last_event: u64,
    pub(crate) last_token: u64,
    pub(crate) jobs: Jobs,
    pub(crate) ledger: Vec<LedgerEntry>,
    /// Rows of the simple resources, by collection name.
    pub(crate) catalogue: BTreeMap<String, Vec<Value>>,
    /// How far the controller's clock is ahead of this machine's; negative if it is behind.
    #[serde(default)]
    pub(crate) clock_offset_ms: i64,
    /// Seeded anew at each start, so that their ids and prompts stay as documented.
    #[serde(skip)]
    pub(crate) templates: BTreeMap<u64, Template>,
    #[serde(skip)]
    pub(crate) sessions: Vec<Session>,
    #[serde(skip)]
    pub(crate) schedule: Schedule,
    /// While the dispatcher is down, launches are accepted and nothing starts.
    #[serde(skip)]
    pub(crate) dispatcher_down: bool,
    #[serde(skip)]
    pub(crate) notices: Notices,
}

impl State {
    /// A controller nobody used yet, its accounts without a way in.
    pub(crate) fn fresh() -> Self {
        Self {
            install_uuid: new_install_uuid(),
            accounts: Vec::new(),
            tokens: Vec::new(),
            control_token: String::new(),
            last_job: 0,
            last_node: 0,
            last_event: 0,
            last_token: 0,
            jobs: Jobs::default(),
            ledger: Vec::new(),
            catalogue: catalogue::seed(),
            clock_offset_ms: 0,
            templates: seed::templates().into_iter().map(|t| (t.id, t)).collect(),
            sessions: Vec::new(),
            schedule: Schedule::default(),
            dispatcher_down: false,
            notices: Notices::default(),
        }
    }

    /// The controller's clock, in microseconds: what an answer shows must compare equal to what is stored.
    pub(crate) fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc();
        let now = now.checked_add(Duration::milliseconds(self.clock_offset_ms)).unwrap_or(now);
        now.replace_microsecond(now.microsecond()).unwrap_or(now)
    }

    pub(crate) fn account(&self, id: u64) -> Option<&Account> {
        self.accounts.iter().find(|a| a.id == id)
    }

    pub(crate) fn template(&self, kind: TemplateKind, id: u64) -> Option<&Template> {
        self.templates.get(&id).filter(|t| t.kind == kind)
    }

    pub(crate) fn job(&self, kind: JobKind, id: u64) -> Option<&Job> {
        self.jobs.get(&id).filter(|j| j.kind == kind)
    }

    /// Whether only superusers may see what this job came from.
    pub(crate) fn restricted(&self, job: &Job) -> bool {
        // An approval is as visible as its workflow.
        let job = match job.kind {
            JobKind::Approval => job.parent.and_then(|id| self.jobs.get(&id)).unwrap_or(job),
            JobKind::Job | JobKind::Workflow => job,
        };
        job.template.and_then(|id| self.templates.get(&id)).is_some_and(|t| t.restricted)
    }

    pub(crate) fn next_job_id(&mut self) -> u64 {
        self.last_job += 1;
        self.last_job
    }

    pub(crate) fn next_node_id(&mut self) -> u64 {
        self.last_node += 1;
        self.last_node
    }
}
