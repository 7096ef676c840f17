//! One round: trouble, calm, and then the truth.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use runwarden_harness::fleet::Restart;
use runwarden_harness::jobs::text;
use runwarden_harness::{Controller, Fleet, Settings, Signal, Tenant};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use crate::caller::Caller;
use crate::dice::Dice;
use crate::kinds::{self, SHARED};
use crate::levers::Levers;
use crate::operator::{Operator, Resolved};
use crate::plan::{Act, Manner, Order, Plan, TENANTS, World};
use crate::promises::{Broken, Promise};
use crate::report::Report;
use crate::trail::{self, Trail};
use crate::truth::{Truth, same_story, strangers};
use crate::witness::Witness;

/// How long all of it may take to settle when the trouble is over: pauses between tries grow to a minute.
const SETTLE: Duration = Duration::from_secs(240);
/// How often a long round says how far it is.
const PROGRESS: Duration = Duration::from_secs(15);
/// What a kill explains at level ERROR.
const EXPLAINED: &[&str] = &[
    // A service was killed in the middle of an answer to another.
    "h2 protocol error: error reading a body from connection",
];

/// Everything that takes part.
struct Round {
    plan: Arc<Plan>,
    levers: Arc<Levers>,
    fleet: Arc<Fleet>,
    witness: Arc<Witness>,
    callers: Vec<Caller>,
    admins: Vec<Caller>,
}

/// Carries out a plan with this program, and says what came of it.
pub(crate) async fn run(plan: Plan, program: &str) -> Report {
    let round = Round::start(plan, program).await;
    // Should anything here panic, what there is by then is kept all the same.
    let mut report = Report::of(round.plan.clone(), round.fleet.clone(), round.witness.clone(), round.levers.clone());
    let resolved = round.trouble().await;
    round.calm(&mut report, Path::new(program), resolved).await;
    report
}

/// How everything is started: the executors conclude from silence within seconds.
fn settings(program: &str) -> Settings {
    Settings::new(program)
        .that_stays()
        .set("RUNWARDEN_EXECUTOR_CONTROLLER_REQUEST_TIME", "3s")
        .set("RUNWARDEN_EXECUTOR_CLOCK_SKEW", "1s")
        .set("RUNWARDEN_EXECUTOR_LAUNCH_TIMEOUT", "3s")
        .set("RUNWARDEN_EXECUTOR_LEASE", "2s")
}

impl Round {
    async fn start(plan: Plan, program: &str) -> Self {
        let controller = Controller::start().await;
        kinds::prepare(&controller).await;
        let fleet = match plan.world {
            World::Together => Fleet::together(&settings(program)).await,
            World::Apart(executors) => Fleet::apart(&settings(program), executors).await,
        };
        for part in EXPLAINED {
            fleet.allow_error(part);
        }
        let reach = fleet.reach();
        let mut tenants = Vec::new();
        for number in 0..TENANTS {
            let tenant = Tenant::onboard(reach, &format!("tenant-{number}"), &controller).await;
            kinds::map(&tenant).await;
            tenants.push(tenant);
        }
        let witness = Arc::new(Witness::new(Arc::new(Broken::default())));
        let deadline = witness.began() + Duration::from_secs(plan.size.seconds) + SETTLE;
        let caller = |base: &str, credentials| Caller::new(base, credentials, witness.clone(), deadline);
        let callers = tenants.iter().map(|tenant| caller(&reach.base_url, &tenant.launcher_credentials)).collect();
        let admins = tenants.iter().map(|tenant| caller(&reach.admin_base_url, &tenant.admin_credentials)).collect();
        let levers = Arc::new(Levers::of(controller));
        Self { plan: Arc::new(plan), levers, fleet: Arc::new(fleet), witness, callers, admins }
    }

    /// Everything at once; until all jobs are over, or the time is.
    async fn trouble(&self) -> Resolved {
        let mut orders = JoinSet::new();
        for order in &self.plan.orders {
            orders.spawn(self.callers[order.tenant].clone().carry_out(order.clone()));
        }
        let progress = self.tell_progress();
        let over = Arc::new(Notify::new());
        let operator = tokio::spawn(self.operator().work(over.clone()));
        let mut lasting = JoinSet::new();
        for blow in &self.plan.blows {
            tokio::time::sleep_until((self.witness.began() + blow.at).into()).await;
            self.strike(&blow.act, &mut lasting, &mut orders).await;
        }
        let end = self.witness.began() + Duration::from_secs(self.plan.size.seconds);
        tokio::time::sleep_until(end.into()).await;
        self.witness.write("the trouble is over");
        lasting.join_all().await;
        self.levers.mend().await;
        self.fleet.calm();
        self.fleet.whole().await;
        orders.join_all().await;
        over.notify_one();
        progress.abort();
        operator.await.unwrap().resolved
    }

    fn operator(&self) -> Operator {
        let dice = Dice::new(!self.plan.seed);
        let (levers, fleet) = (self.levers.clone(), self.fleet.clone());
        Operator { admins: self.admins.clone(), levers, fleet, dice, resolved: Resolved::default() }
    }

    /// Does what is to be done now; what lasts goes on in one of these.
    async fn strike(&self, act: &Act, lasting: &mut JoinSet<()>, orders: &mut JoinSet<()>) {
        self.witness.write(&act.to_string());
        match act {
            Act::Restart { process, orderly, ripe, down, next } => {
                let signal = if *orderly { Signal::Term } else { Signal::Kill };
                let next = next.as_ref().map(|failpoint| failpoint.settings()).unwrap_or_default();
                self.fleet.restart(process, Restart { signal, ripe: *ripe, down: *down, next });
            }
            Act::Fault(fault) => self.levers.controller.order(fault.order.clone()).await,
            Act::Idle(time) => {
                self.levers.controller.dispatch(false).await;
                let (levers, time) = (self.levers.clone(), *time);
                lasting.spawn(async move {
                    tokio::time::sleep(time).await;
                    levers.controller.dispatch(true).await;
                });
            }
            Act::Reap => self.levers.reap().await,
            Act::Delete => self.levers.delete(&self.witness).await,
            Act::Clock(ahead) => self.levers.controller.set_clock(*ahead).await,
            Act::Lock(time) => {
                self.levers.controller.lock_account("runwarden").await;
                let (levers, time) = (self.levers.clone(), *time);
                lasting.spawn(async move {
                    tokio::time::sleep(time).await;
                    levers.controller.unlock_account("runwarden").await;
                });
            }
            Act::ByHand { number, tenant, fault, times } => {
                let order = Order::plain(*number, *tenant, SHARED);
                let caller = self.callers[*tenant].clone();
                self.levers.controller.order(fault.order.clone()).await;
                orders.spawn(caller.carry_out(order));
                let (levers, times) = (self.levers.clone(), *times);
                lasting.spawn(async move { levers.launch_by_hand(times).await });
            }
        }
    }

    fn tell_progress(&self) -> JoinHandle<()> {
        let (witness, fleet, seed) = (self.witness.clone(), self.fleet.clone(), self.plan.seed);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PROGRESS).await;
                let (accepted, over) = witness.progress();
                let (seconds, lives) = (witness.began().elapsed().as_secs(), fleet.lives().len());
                let broken = witness.broken.count();
                println!(
                    "   seed {seed}, {seconds} s: {accepted} jobs accepted, {over} over, {lives} lives, {broken} broken"
                );
            }
        })
    }

    /// Everything is well again: now it must all be true.
    async fn calm(&self, report: &mut Report, program: &Path, resolved: Resolved) {
        self.say_it_all_again().await;
        self.list().await;
        self.follow_again().await;
        let told = self.witness.told();
        let trail = Trail::read(&self.admins, &told).await;
        let broken = &self.witness.broken;
        trail.check(&told, broken);
        let (plan, levers, blind) = (&*self.plan, &*self.levers, resolved.blind);
        Truth { plan, levers, told: &told, trail: &trail, broken, blind }.check();
        self.fleet.stop().await;
        if let Err(why) = trail::verifies(program, &self.fleet.data()) {
            broken.note(Promise::Proof, why);
        }
        for complaint in self.fleet.complaints() {
            broken.note(Promise::Processes, complaint);
        }
        report.count(&told, &trail, &resolved);
    }

    /// Every key is still answered as it was, and every job still stands where it ended.
    async fn say_it_all_again(&self) {
        for (id, told) in self.witness.told() {
            let caller = &self.callers[told.order.tenant];
            caller.read(&id, 0).await;
            // A time that is counted from the first request cannot be said again.
            if told.order.start_by.is_none() {
                caller.submit(&Order { manner: Manner::Plainly, ..told.order.clone() }).await;
            }
        }
    }

    /// There are no jobs but those that were reported to somebody.
    async fn list(&self) {
        let told = self.witness.told();
        for caller in &self.callers {
            let mut token = String::new();
            loop {
                let sent = Instant::now();
                let path = format!("/api/v1/jobs?page_size=200&page_token={token}");
                let Some(answer) = caller.ask(Method::GET, &path, None, None).await else { return };
                let page = answer.json();
                let jobs = page["items"].as_array().cloned().unwrap_or_default();
                strangers(&jobs, &told, &self.witness.broken);
                jobs.iter().for_each(|job| self.witness.read(sent, job));
                text(&page, "next_page_token").clone_into(&mut token);
                if token.is_empty() {
                    break;
                }
            }
        }
    }

    /// Whoever follows a job again hears the same story.
    async fn follow_again(&self) {
        for (id, told) in self.witness.told() {
            if told.end.is_some()
                && let Some(events) = self.callers[told.order.tenant].story(&id).await
            {
                same_story(&id, &told, &events, &self.witness.broken);
            }
        }
    }
}
