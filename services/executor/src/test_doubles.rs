//! Examples that several tests build on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use runwarden_awx::{Credential, Installation, Target, TemplateKind};
use runwarden_kit::audit::{Bell, Outbox};
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::SystemClock;
use runwarden_kit::contract::RequestInfo;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use serde_json::{Map, json};
use uuid::Uuid;

use crate::access::JobAccess;
use crate::breaker::Breaker;
use crate::controllers::{self, Controllers};
use crate::failpoint::Failpoint;
use crate::job::Job;
use crate::launch::authority::{Authority, Principal, Shown, Standing};
use crate::launch::patience::Patience;
use crate::launch::resolver::Resolver;
use crate::live::{Live, Waiter};
use crate::ports::{
    Controller, CredentialSource, Decision, Evaluation, Policies, Question, Standings, Template, Templates,
};
use crate::shared::Shared;
use crate::store::sqlite::SqliteJobs;
use crate::store::{JobStore, Room};
use crate::wait::limits::Limits;
use crate::work::WorkBell;

/// An installation, distinguished by a number.
pub(crate) fn installation(uuid: u128) -> Installation {
    Installation::new(Some(Uuid::from_u128(uuid)), &template().controller.target)
}

/// A template without parameters.
pub(crate) fn template() -> Template {
    Template {
        tenant: TenantId::trusted("acme"),
        name: "deploy".into(),
        project: "web".into(),
        revision: 1,
        controller: Controller {
            tenant: TenantId::trusted("acme"),
            name: "awx".into(),
            revision: 1,
            target: Target { url: "http://127.0.0.1:1".into(), api_root: "/api/v2".into(), ca_pem: String::new() },
            account: 1,
            secret_name: "controllers/awx".into(),
        },
        kind: TemplateKind::Job,
        controller_template: 9,
        schema: json!({"type": "object", "properties": {}, "additionalProperties": false}).into(),
        fixed: Map::new(),
        limits: Limits::default(),
        room: Room::default(),
        max_wait_seconds: 0,
        max_duration_seconds: 0,
        request_info: RequestInfo::None,
        refuse_drift: false,
        fingerprint: "f".into(),
        fingerprint_parts: json!({}),
        drift: Vec::new(),
        launch_digest: "d".into(),
        tenant_disabled: false,
    }
}

/// No credential can be read.
struct NoCredentials;

#[async_trait]
impl CredentialSource for NoCredentials {
    async fn read(&self, _: &TenantId, _: &str, _: &str) -> Result<Credential> {
        Err(Error::unavailable("no credential"))
    }
}

/// What everybody works with: this store, these templates, the system's clock, and no way to a controller.
pub(crate) fn shared(store: Arc<dyn JobStore>, templates: Arc<dyn Templates>) -> Shared {
    Shared {
        store,
        templates,
        controllers: Arc::new(Controllers::new(Arc::new(NoCredentials), controllers::limits())),
        breaker: Breaker::default(),
        known: Arc::default(),
        failpoint: Failpoint::default(),
        clock: Arc::new(SystemClock),
        live: Live::default(),
        work: WorkBell::default(),
        watch: WorkBell::default(),
        bell: Bell::default(),
        public_url: "https://runwarden.example".into(),
    }
}

/// Nothing is mapped.
pub(crate) struct NoTemplates;

#[async_trait]
impl Templates for NoTemplates {
    async fn template(&self, _: &TenantId, _: &str) -> Result<Option<Arc<Template>>> {
        Ok(None)
    }

    async fn controller(&self, _: &TenantId, _: &str) -> Result<Option<Controller>> {
        Ok(None)
    }

    async fn report_drift(&self, _: &Template, _: &[String]) -> Result<()> {
        Ok(())
    }
}

/// Jobs in this store, as callers reach them.
pub(crate) fn access(store: Arc<SqliteJobs>) -> JobAccess {
    let shared = shared(store.clone(), Arc::new(NoTemplates));
    let outbox = Outbox::undrained(store);
    let resolver = Resolver { shared: shared.clone(), outbox: outbox.clone(), patience: Patience::default() };
    JobAccess::new(shared, outbox, resolver)
}

/// What rang since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rung {
    /// For those who wait for the job.
    pub(crate) live: bool,
    /// For the launcher.
    pub(crate) work: bool,
    /// Because something ended.
    pub(crate) ended: bool,
    /// For the watcher of runs.
    pub(crate) watch: bool,
    /// For the audit log.
    pub(crate) bell: bool,
}

impl Rung {
    /// What rang in this executor, and for this waiter, since the last look.
    pub(crate) fn since(shared: &Shared, waiter: &mut Waiter) -> Self {
        Self {
            live: waiter.has_rung(),
            work: shared.work.has_rung(),
            ended: shared.work.has_ended(),
            watch: shared.watch.has_rung(),
            bell: shared.bell.heard().now_or_never().is_some(),
        }
    }
}

/// For how long what was shown counts in tests.
pub(crate) const SHOWN_IN_TESTS: Duration = Duration::from_secs(60);

/// Auth and policy with canned answers. By default they allow everything.
#[derive(Default)]
pub(crate) struct Said {
    /// What auth says.
    pub(crate) standing: Mutex<Option<Result<Standing>>>,
    /// What policy says.
    pub(crate) verdict: Mutex<Option<Result<Evaluation>>>,
    /// What policy was asked.
    pub(crate) questions: Mutex<Vec<(Principal, Question)>>,
}

impl Said {
    /// How often they were asked whether a job may begin.
    pub(crate) fn asked(&self) -> usize {
        self.questions.lock().unwrap().len()
    }

    /// Asks them, with nothing shown yet. A busy machine shall not make it forget.
    pub(crate) fn authority(self: &Arc<Self>) -> Arc<Authority> {
        let shown = Arc::new(Shown::lasting(SHOWN_IN_TESTS));
        Arc::new(Authority { standings: self.clone(), policies: self.clone(), shown })
    }
}

pub(crate) fn yes() -> Decision {
    Decision {
        allowed: true,
        reasons: Vec::new(),
        id: "dec_now".into(),
        policy_digest: "policies of now".into(),
        input_digest: "input of now".into(),
    }
}

#[async_trait]
impl Standings for Said {
    async fn standing(&self, job: &Job, _: Permission) -> Result<Standing> {
        let said = self.standing.lock().unwrap().clone();
        said.unwrap_or_else(|| Ok(Standing::Holds(Principal { id: job.requested_by.clone(), ..Principal::default() })))
    }
}

#[async_trait]
impl Policies for Said {
    async fn decide(&self, _: &Caller, _: Question) -> Result<Decision> {
        Ok(Decision { id: "dec_1".into(), ..yes() })
    }

    async fn decide_for(&self, principal: &Principal, question: Question) -> Result<Evaluation> {
        self.questions.lock().unwrap().push((principal.clone(), question));
        self.verdict.lock().unwrap().clone().unwrap_or_else(|| Ok(Evaluation::Decided(yes())))
    }
}
