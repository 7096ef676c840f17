//! Everything the sandbox knows, in one struct behind one lock.

pub(crate) mod account;
pub(crate) mod catalogue;
pub(crate) mod job;
pub(crate) mod ledger;
pub(crate) mod seed;
pub(crate) mod store;
pub(crate) mod template;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use self::account::{Account, Session, Token};
use self::job::{Event, Job, JobKind, Status};
use self::ledger::{LedgerEntry, Ran};
use self::template::{Template, TemplateKind};

const REAPED: &str = "Task was marked as running at system start up. The system must have not shut down properly, so it has been marked as failed.";
const SHUT_DOWN: &str = "Task was canceled due to receiving a shutdown signal.";

/// The controller's database.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) accounts: Vec<Account>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) control_token: String,
    pub(crate) last_job: u64,
    pub(crate) last_node: u64,
    pub(crate) last_event: u64,
    pub(crate) last_token: u64,
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) ledger: Vec<LedgerEntry>,
    /// Rows of the simple resources, by collection name.
    pub(crate) catalogue: BTreeMap<String, Vec<Value>>,
    /// Seeded anew at each start, so that their ids and prompts stay as documented.
    #[serde(skip)]
    pub(crate) templates: BTreeMap<u64, Template>,
    #[serde(skip)]
    pub(crate) sessions: Vec<Session>,
    /// Ids of jobs that are not over.
    #[serde(skip)]
    pub(crate) active: BTreeSet<u64>,
    /// While the dispatcher is down, launches are accepted and nothing starts.
    #[serde(skip)]
    pub(crate) dispatcher_down: bool,
}

impl State {
    /// A controller nobody used yet, its accounts without a way in.
    pub(crate) fn fresh() -> Self {
        Self {
            accounts: Vec::new(),
            tokens: Vec::new(),
            control_token: String::new(),
            last_job: 0,
            last_node: 0,
            last_event: 0,
            last_token: 0,
            jobs: BTreeMap::new(),
            ledger: Vec::new(),
            catalogue: catalogue::seed(),
            templates: seed::templates().into_iter().map(|t| (t.id, t)).collect(),
            sessions: Vec::new(),
            active: BTreeSet::new(),
            dispatcher_down: false,
        }
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

    /// Puts a new job on the books.
    pub(crate) fn insert(&mut self, job: Job) {
        self.active.insert(job.id);
        self.jobs.insert(job.id, job);
    }

    /// Changes a job's state and keeps the set of active ones in step.
    pub(crate) fn turn(&mut self, id: u64, status: Status) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.turn(status, now());
            if !status.is_active() {
                self.active.remove(&id);
            }
        }
    }

    /// Files an event under its job; its id is that of its arrival, not of its counter.
    pub(crate) fn arrive(&mut self, job: u64, mut event: Event) -> Option<Event> {
        self.last_event += 1;
        event.id = self.last_event;
        let job = self.jobs.get_mut(&job)?;
        job.events.push(event.clone());
        Some(event)
    }

    /// The ledger with what came of each launch.
    pub(crate) fn ledger(&self) -> Vec<LedgerEntry> {
        self.ledger
            .iter()
            .map(|entry| {
                let mut entry = entry.clone();
                entry.ran = match self.jobs.get(&entry.run) {
                    Some(job) => Ran {
                        engine: job.engine.clone(),
                        playbook: job.playbook.clone(),
                        starts: job.starts,
                        status: job.status.name().to_owned(),
                        lines: job.lines,
                    },
                    None => Ran { status: "deleted".to_owned(), ..Ran::default() },
                };
                entry
            })
            .collect()
    }

    /// After an unclean stop: whatever was under way is failed, as AWX does at its start.
    pub(crate) fn reap(&mut self) {
        self.active = self.jobs.values().filter(|j| j.status.is_active()).map(|j| j.id).collect();
        let lost: Vec<u64> = self.under_way();
        for id in lost {
            self.fail(id, REAPED, false);
        }
    }

    /// At an orderly stop, running jobs are told so.
    pub(crate) fn shut_down(&mut self) {
        let lost: Vec<u64> = self.under_way();
        for id in lost {
            self.fail(id, SHUT_DOWN, true);
        }
    }

    /// Fails one job the way AWX's reaper does; its events never count as complete.
    pub(crate) fn reap_one(&mut self, id: u64) {
        self.fail(id, REAPED, false);
    }

    fn under_way(&self) -> Vec<u64> {
        self.active
            .iter()
            .filter_map(|id| self.jobs.get(id))
            .filter(|j| j.kind == JobKind::Job && j.status != Status::Pending)
            .map(|j| j.id)
            .collect()
    }

    fn fail(&mut self, id: u64, why: &str, complete: bool) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.job_explanation = why.to_owned();
            job.event_processing_finished = complete;
        }
        self.turn(id, Status::Failed);
    }
}

/// The controller's clock, in microseconds: what an answer shows must compare equal to what is stored.
pub(crate) fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_microsecond(now.microsecond()).unwrap_or(now)
}
