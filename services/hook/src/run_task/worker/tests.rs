//! Run tasks against a Terraform that takes nothing but what its documentation says.

mod terraform;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use runwarden_engines::{EngineSettings, Engines};
use runwarden_kit::audit::{Entry, Outbox, OutboxStore};
use runwarden_kit::clock::{Clock, HeldClock, Moment};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use runwarden_outbound::{Client, Settings, SystemResolver};
use runwarden_webhooks::run_task::ACCESS_TOKEN;
use serde_json::json;

use super::{Reporting, RunTasks};
use crate::by_hook::ByHook;
use crate::failpoint::Failpoint;
use crate::inbox::delivery::{Arrival, Asked, Content, Delivery, DeliveryState};
use crate::inbox::tokens::Tokens;
use crate::ports::Plans as _;
use crate::run_task::plan::TerraformPlans;
use crate::run_task::terraform::Terraform;
use crate::store::run_tasks::{RunTask, RunTaskStore};
use crate::store::{InboxStore, Room, Stores, Taken, conformance};
use crate::tests::fakes::Others;
use crate::turns::Turns;
use terraform::{Double, Wart};

const ROOM: Room = Room { waiting: 1000, kept: 1000, bytes: 1 << 30, forget_before: Moment::from_micros(0) };

/// A delivery of a run task that stands here.
pub(crate) fn delivery(state: DeliveryState) -> Delivery {
    Delivery { state, ..conformance::arrival("taskrs-1").delivery }
}

struct World {
    folder: tempfile::TempDir,
    clock: HeldClock,
    others: Arc<Others>,
    store: Arc<dyn InboxStore>,
    tasks: Arc<dyn RunTaskStore>,
    entries: Arc<dyn OutboxStore>,
    worker: Arc<RunTasks>,
    terraform: Double,
    delivery: String,
}

impl World {
    /// A run task that was just taken.
    async fn new() -> Self {
        let clock = HeldClock::at(Moment::from_micros(1_700_000_000_000_000));
        let terraform = Double::start(clock.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let others = Arc::new(Others::default());
        let (store, tasks, entries, worker) = open(&folder, &clock, &others, &terraform).await;
        let mut arrival = conformance::arrival("taskrs-1");
        arrival.delivery.received_at = clock.now();
        let event =
            json!({"body": {"task_result_callback_url": terraform.callback(), "capabilities": {"outcomes": true}}});
        let sealed = BTreeMap::from([(ACCESS_TOKEN.to_owned(), vec![7])]);
        let content = Content { event: event.to_string(), sealed };
        let delivery = arrival.delivery.id.clone();
        let taken = store.take(vec![Arrival { content, ..arrival }], ROOM).await.unwrap();
        assert!(matches!(taken, Taken::Kept(_)));
        Self { folder, clock, others, store, tasks, entries, worker, terraform, delivery }
    }

    /// As after `kill -9`.
    async fn restart(&mut self) {
        let opened = open(&self.folder, &self.clock, &self.others, &self.terraform).await;
        (self.store, self.tasks, self.entries, self.worker) = opened;
    }

    /// The delivery became a job.
    async fn submitted(&self) {
        self.becomes(|delivery| {
            delivery.job = Some("job_1".into());
            delivery.asked = Some(Asked {
                template: "deploy".into(),
                client_id: "client_1".into(),
                parameters: serde_json::Map::new(),
                sealed: None,
                reference: String::new(),
                since: delivery.received_at,
                start_by: None,
            });
            delivery.finish(DeliveryState::Submitted, delivery.received_at);
        })
        .await;
    }

    async fn becomes(&self, change: impl FnOnce(&mut Delivery)) {
        let tenant = TenantId::trusted("acme");
        let mut delivery = self.store.get(&tenant, &self.delivery).await.unwrap().unwrap();
        change(&mut delivery);
        assert!(self.store.advance(delivery, Vec::new()).await.unwrap());
    }

    fn job(&self, state: &str, detail: &str) {
        *self.others.job.lock().unwrap() = Some((state.to_owned(), detail.to_owned()));
    }

    /// Time goes by, and whatever is due is worked on, second by second.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            let (acme, now) = (TenantId::trusted("acme"), self.clock.now());
            for task in self.tasks.due(&acme, now, 10).await.unwrap() {
                self.worker.work(task).await;
            }
        }
    }

    /// Whether there is nothing left to say.
    async fn is_over(&self) -> bool {
        let ever = Moment::from_micros(i64::MAX);
        self.tasks.tenants_due(ever).await.unwrap().is_empty()
    }
}

fn reaching(settings: Settings) -> Terraform {
    Terraform(ByHook::all(Client::new(settings, Arc::new(SystemResolver::default())).unwrap()))
}

type Opened = (Arc<dyn InboxStore>, Arc<dyn RunTaskStore>, Arc<dyn OutboxStore>, Arc<RunTasks>);

async fn open(folder: &tempfile::TempDir, clock: &HeldClock, others: &Arc<Others>, terraform: &Double) -> Opened {
    let engines = Engines::open(EngineSettings::embedded(folder.path())).unwrap();
    let Stores { inbox, run_tasks, outbox } = Stores::open(&engines).await.unwrap();
    let settings = Settings { exceptions: terraform.exception().parse().unwrap(), ..Settings::default() };
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let worker = RunTasks {
        tasks: Arc::clone(&run_tasks),
        inbox: Arc::clone(&inbox),
        outbox: Outbox::undrained(Arc::clone(&outbox)),
        keys: others.clone(),
        jobs: others.clone(),
        tokens: Arc::new(Tokens::new(others.clone(), Arc::clone(&clock))),
        terraform: reaching(settings),
        clock,
        reporting: ByHook::all(Reporting {
            wait: Duration::from_secs(57 * 60),
            poll: Duration::from_secs(2),
            link: Some("https://runwarden.example/help".into()),
        }),
        at_once: 4,
        failpoint: Failpoint::default(),
        woken: Arc::default(),
        turns: Turns::pausing(super::PAUSES),
    };
    (inbox, run_tasks, outbox, Arc::new(worker))
}

#[tokio::test]
async fn terraform_hears_that_it_runs_and_then_how_it_ended_with_hosts_and_tasks() {
    let world = World::new().await;
    world.pass(1).await;
    assert_eq!(world.terraform.running(), ["Waiting to be run."]);
    world.submitted().await;
    world.pass(240).await;
    assert_eq!(world.terraform.running().last().unwrap(), "Job job_1 is running.");
    "TASK [Install] **\nfatal: [web1]: FAILED! => {\"msg\": \"no package\"}\nPLAY RECAP **\nweb1 : ok=1 changed=0 unreachable=0 failed=1\n"
        .clone_into(&mut world.others.printed.lock().unwrap());
    world.job("failed", "The playbook failed.");
    // It has run for minutes, so that it is looked at less often.
    world.pass(31).await;
    let last = world.terraform.last();
    assert_eq!(last["data"]["attributes"]["status"], "failed");
    assert_eq!(last["data"]["attributes"]["message"], "Job job_1 failed. The playbook failed.");
    assert_eq!(last["data"]["attributes"]["url"], "https://runwarden.example/help");
    let outcome = &last["data"]["relationships"]["outcomes"]["data"][0]["attributes"];
    assert_eq!(outcome["description"], "web1: Install failed");
    assert_eq!(outcome["tags"]["Status"][0], json!({"label": "Failed", "level": "error"}));
    assert!(world.is_over().await);
    let entry = world.entries.pending("acme", 100).await.unwrap().pop().unwrap();
    assert_eq!(entry.action, "run_task.report");
}

#[tokio::test]
async fn each_end_is_one_final_result() {
    for (state, status) in [("succeeded", "passed"), ("failed", "failed"), ("canceled", "failed"), ("error", "failed")]
    {
        let world = World::new().await;
        world.submitted().await;
        world.job(state, "");
        world.pass(5).await;
        assert_eq!(world.terraform.last()["data"]["attributes"]["status"], status, "{state}");
        assert_eq!(world.terraform.finals(), 1);
    }
    for (state, status) in
        [(DeliveryState::Filtered, "passed"), (DeliveryState::Refused, "failed"), (DeliveryState::GivenUp, "failed")]
    {
        let world = World::new().await;
        world.becomes(|delivery| delivery.finish(state, delivery.received_at)).await;
        world.pass(5).await;
        assert_eq!(world.terraform.last()["data"]["attributes"]["status"], status, "{state:?}");
        assert_eq!((world.terraform.finals(), world.terraform.running().len()), (1, 0));
    }
}

#[tokio::test]
async fn a_job_that_runs_on_is_reported_in_time_and_fails_before_terraform_gives_up() {
    let world = World::new().await;
    world.submitted().await;
    world.pass(57 * 60 + 5).await;
    let message = world.terraform.last()["data"]["attributes"]["message"].clone();
    assert_eq!(message, "Terraform does not wait any longer. Job job_1 is running. It goes on.");
    assert_eq!(world.terraform.finals(), 1);
    assert!((12..20).contains(&world.terraform.running().len()));
}

#[tokio::test]
async fn a_restart_in_between_loses_and_repeats_nothing() {
    let mut world = World::new().await;
    world.submitted().await;
    world.pass(10).await;
    world.restart().await;
    // We are away for minutes.
    world.clock.advance(Duration::from_secs(300));
    world.job("succeeded", "");
    // The final result arrives, its answer does not, and we die before we know.
    world.terraform.next(Wart::TakesAndFails);
    world.pass(1).await;
    world.restart().await;
    // What is decided stays, whatever is said of the job now.
    world.job("failed", "");
    world.pass(60).await;
    assert_eq!((world.terraform.finals(), world.terraform.running().len()), (1, 1));
    assert_eq!(world.terraform.last()["data"]["attributes"]["status"], "passed");
    assert!(world.is_over().await);
}

#[tokio::test]
async fn that_a_final_result_may_have_arrived_is_durable_before_it_leaves() {
    let mut world = World::new().await;
    world.submitted().await;
    world.pass(1).await;
    world.job("succeeded", "");
    // It arrives, and we die before its answer.
    let task = world.tasks.get(&TenantId::trusted("acme"), &world.delivery).await.unwrap().unwrap();
    world.terraform.stall();
    let worker = Arc::clone(&world.worker);
    let dies = tokio::spawn(async move { worker.advance(task).await });
    world.terraform.stalled().await;
    dies.abort();
    world.restart().await;
    world.pass(60).await;
    assert_eq!(world.terraform.finals(), 1);
    let entry = world.entries.pending("acme", 100).await.unwrap().pop().unwrap();
    assert!(entry.details_json.contains("delivered"), "{}", entry.details_json);
}

#[tokio::test]
async fn a_token_that_is_refused_is_forgotten_and_issued_anew() {
    let world = World::new().await;
    world.submitted().await;
    world.pass(1).await;
    let issued = world.others.issued.load(Ordering::SeqCst);
    world.others.refuse_token("token-1");
    world.job("succeeded", "");
    world.pass(10).await;
    assert_eq!(world.terraform.last()["data"]["attributes"]["status"], "passed");
    assert_eq!((issued, world.others.issued.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test]
async fn an_end_is_reported_before_the_task_is_due_again() {
    let world = World::new().await;
    world.submitted().await;
    world.pass(600).await;
    world.job("succeeded", "");
    let acme = TenantId::trusted("acme");
    assert!(world.tasks.tenants_due(world.clock.now()).await.unwrap().is_empty(), "not due");
    world.worker.woken.wake(&acme, &world.delivery);
    let mut working = tokio::task::JoinSet::new();
    world.worker.begin(&mut working).await.unwrap();
    while working.join_next().await.is_some() {}
    assert_eq!(world.terraform.finals(), 1);
}

#[tokio::test]
async fn a_tenant_with_many_tasks_does_not_delay_anothers() {
    let world = World::new().await;
    let content = world.store.content(&TenantId::trusted("acme"), &world.delivery).await.unwrap().unwrap();
    let add = async |tenant: &str, number: u32| {
        let mut arrival = conformance::arrival(&format!("{tenant}-{number}"));
        arrival.delivery.tenant = TenantId::trusted(tenant);
        arrival.delivery.received_at = world.clock.now();
        world.store.take(vec![Arrival { content: content.clone(), ..arrival }], ROOM).await.unwrap();
    };
    for number in 0..50 {
        add("acme", number).await;
    }
    add("zed", 0).await;
    // Four may be worked on at once, and it came last. That there is something to say about the others changes nothing.
    let acme = TenantId::trusted("acme");
    for task in world.tasks.due(&acme, world.clock.now(), 100).await.unwrap() {
        world.worker.woken.wake(&acme, &task.delivery);
    }
    let mut working = tokio::task::JoinSet::new();
    world.worker.begin(&mut working).await.unwrap();
    assert_eq!((world.worker.turns.count(), world.worker.turns.hidden(&TenantId::trusted("zed"))), (4, 1));
    while working.join_next().await.is_some() {}
    assert_eq!(world.worker.woken.take(|_| false).len(), 48, "the others wait on");
}

/// A store that can be read only, as on a full disk.
struct Full(Arc<dyn RunTaskStore>);

#[async_trait::async_trait]
impl RunTaskStore for Full {
    async fn tenants_due(&self, now: Moment) -> Result<Vec<TenantId>> {
        self.0.tenants_due(now).await
    }

    async fn due(&self, tenant: &TenantId, now: Moment, limit: usize) -> Result<Vec<RunTask>> {
        self.0.due(tenant, now, limit).await
    }

    async fn get(&self, tenant: &TenantId, delivery: &str) -> Result<Option<RunTask>> {
        self.0.get(tenant, delivery).await
    }

    async fn save(&self, _: RunTask, _: Option<Moment>, _: Vec<Entry>) -> Result<bool> {
        Err(Error::internal(std::io::Error::other("the disk is full")))
    }
}

#[tokio::test]
async fn while_nothing_can_be_written_terraform_is_not_told_the_same_again_and_again() {
    let mut world = World::new().await;
    let worker = Arc::get_mut(&mut world.worker).unwrap();
    worker.tasks = Arc::new(Full(Arc::clone(&worker.tasks)));
    let mut working = tokio::task::JoinSet::new();
    for second in 0..60 {
        for _ in 0..5 {
            world.worker.woken.wake(&TenantId::trusted("acme"), &world.delivery);
            world.worker.begin(&mut working).await.unwrap();
            while working.join_next().await.is_some() {}
        }
        world.clock.advance(Duration::from_secs(1));
        assert!(second > 3 || world.terraform.requests() == 1, "{}", world.terraform.requests());
    }
    assert_eq!(world.terraform.requests(), 4, "at once, and after 5, 10 and 20 seconds");
}

#[tokio::test]
async fn what_terraform_does_not_take_at_once_is_sent_again() {
    let world = World::new().await;
    world.submitted().await;
    world.job("succeeded", "");
    for wart in [Wart::Fails(503), Wart::Fails(429), Wart::Fails(502)] {
        world.terraform.next(wart);
    }
    world.pass(60).await;
    assert_eq!(world.terraform.finals(), 1);
    assert!(world.is_over().await);
}

#[tokio::test]
async fn a_task_that_terraform_gave_up_ends_here_too() {
    let world = World::new().await;
    world.submitted().await;
    world.pass(2).await;
    world.clock.advance(Duration::from_secs(3 * 3600));
    world.pass(5).await;
    assert_eq!(world.terraform.finals(), 0);
    assert!(world.is_over().await);
    let entry = world.entries.pending("acme", 100).await.unwrap().pop().unwrap();
    assert!(entry.details_json.contains("refused"), "{}", entry.details_json);
}

#[tokio::test]
async fn the_token_goes_nowhere_but_to_an_address_that_may_be_reached() {
    let mut world = World::new().await;
    world.terraform.hide();
    world.restart().await;
    world.submitted().await;
    world.pass(30).await;
    assert_eq!(world.terraform.requests(), 0);
    assert!(!world.is_over().await, "an operator may still allow it");
}

#[tokio::test]
async fn what_is_refused_on_the_way_to_terraform_is_sent_again() {
    let world = World::new().await;
    world.submitted().await;
    world.job("succeeded", "");
    for status in [301, 401, 403, 404] {
        world.terraform.next(Wart::Fails(status));
    }
    world.pass(60).await;
    assert_eq!(world.terraform.finals(), 1);
    assert!(world.is_over().await);
}

#[tokio::test]
async fn what_is_refused_until_terraform_does_not_wait_any_more_is_recorded_with_the_status() {
    let world = World::new().await;
    world.submitted().await;
    world.job("succeeded", "");
    for _ in 0..200 {
        world.terraform.next(Wart::Fails(403));
    }
    world.pass(3700).await;
    assert!(world.is_over().await);
    assert!((50..100).contains(&world.terraform.requests()), "{}", world.terraform.requests());
    let entry = world.entries.pending("acme", 100).await.unwrap().pop().unwrap();
    let details: serde_json::Value = serde_json::from_str(&entry.details_json).unwrap();
    assert_eq!((&details["result"], &details["status"]), (&json!("refused"), &json!(403)));
    assert_eq!(details["may_have_arrived"], false);
}

#[tokio::test]
async fn what_is_opened_to_reach_terraform_is_not_open_to_where_it_points() {
    let world = World::new().await;
    let other = Double::start(world.clock.clone()).await;
    let open = Settings {
        exceptions: format!("{},{}", world.terraform.exception(), other.exception()).parse().unwrap(),
        ..Settings::default()
    };
    let client = |settings| Client::new(settings, Arc::new(SystemResolver::default())).unwrap();
    let delivery = delivery(DeliveryState::Received);
    let own = ByHook::all(client(Settings::default())).but("acme", &delivery.hook, client(open.clone()));
    let plan = async |terraform, url: String| {
        let plans = TerraformPlans { terraform: Terraform(terraform), keys: world.others.clone() };
        let event = json!({"body": {"plan_json_api_url": url}}).to_string();
        let sealed = BTreeMap::from([(ACCESS_TOKEN.to_owned(), vec![7])]);
        plans.plan(&delivery, &Content { event, sealed }).await
    };
    let elsewhere = world.terraform.plan_at(&other);
    assert!(plan(own.clone(), world.terraform.plan()).await.unwrap().is_some(), "the same host");
    assert!(plan(own, elsewhere.clone()).await.is_err(), "another one");
    assert!(plan(ByHook::all(client(open)), elsewhere).await.unwrap().is_some(), "another one that is listed");
}

#[tokio::test]
async fn a_plan_is_read_with_the_token_from_terraform_and_without_it_from_its_storage() {
    let world = World::new().await;
    let settings = Settings { exceptions: world.terraform.exception().parse().unwrap(), ..Settings::default() };
    let plans = TerraformPlans { terraform: reaching(settings), keys: world.others.clone() };
    let content = |url: serde_json::Value| {
        let event = json!({"body": {"plan_json_api_url": url}}).to_string();
        Content { event, sealed: BTreeMap::from([(ACCESS_TOKEN.to_owned(), vec![7])]) }
    };
    let delivery = delivery(DeliveryState::Received);
    let plan = plans.plan(&delivery, &content(json!(world.terraform.plan()))).await.unwrap();
    assert!(plan.unwrap().contains("\"format_version\":\"1.2\""));
    assert_eq!(plans.plan(&delivery, &content(serde_json::Value::Null)).await.unwrap(), None, "before a plan");
    let elsewhere = plans.plan(&delivery, &content(json!("https://10.0.0.1/plan"))).await.unwrap_err();
    assert!(elsewhere.retry_after().is_none(), "{elsewhere}");
    let not_there = format!("{}x", world.terraform.plan());
    assert!(plans.plan(&delivery, &content(json!(not_there))).await.is_err());
}
