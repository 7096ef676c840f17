//! Which job starts next. Waiting tenants take turns by their shares, however many jobs each of them has waiting. A
//! controller that hangs holds each launch for minutes, so there are places by tenant and by controller, and nobody can
//! take all of the launcher. What is full or down is passed over without asking the store for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runwarden_awx::Installation;

use crate::breaker::Breaker;
use crate::job::{BEGUN, OUT, Queue};
use crate::wait::limits::{Known, LimitScope};
use crate::work::WorkBell;
use runwarden_kit::tenant::TenantId;

/// How soon to look again at what was full when no end is signalled: another executor's jobs end too, and limits are
/// raised.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// What one turn costs a tenant with a share of 1.
const TURN: u64 = 1 << 20;

/// For how long it is known what stood in the way of a queue. Its template may be mapped to something else meanwhile.
const GOAL_KEPT: Duration = Duration::from_secs(30);

/// The target of a queue's launches, as far as launches of other queues or tenants can block them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// The installation.
    pub installation: Installation,
    /// The id of the controller's template.
    pub controller_template: i64,
    /// Whether launches can be identified by a marker.
    pub marked: bool,
}

/// A tenant and something of it.
type Key = (TenantId, String);

/// The first job of a queue that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its queue.
    pub queue: Queue,
    /// Its rank: higher goes first.
    pub rank: i64,
    /// Its id; older ones sort first.
    pub job: String,
}

/// What may be claimed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// From which queue.
    pub queue: Queue,
    /// Only jobs of this rank and higher: what was begun goes on where limits hold others back, and what is out is
    /// looked for where others wait for it.
    pub from_rank: i64,
    /// Principals whose jobs are held back.
    pub without: Vec<String>,
}

#[derive(Default)]
struct State {
    places: HashMap<Key, usize>,
    /// The same by queue.
    queues: HashMap<Queue, usize>,
    /// How much of the launcher each tenant has had, by its share.
    had: HashMap<TenantId, u64>,
    full: HashMap<(LimitScope, Key), Full>,
    /// Queues that may launch nothing before the launch in flight on their template is settled.
    blocked: HashMap<Queue, Instant>,
    /// What they go to, and until when that is taken for true.
    goals: HashMap<Queue, (Goal, Instant)>,
}

/// Until when a scope is full, and whether a job's end may make room before that.
struct Full {
    until: Instant,
    ends: bool,
}

/// Decides which queue is next. One for each launcher.
#[derive(Clone)]
pub struct Scheduler {
    state: Arc<Mutex<State>>,
    known: Arc<Known>,
    breaker: Breaker,
    work: WorkBell,
    of_tenant: usize,
    of_controller: usize,
}

/// One taken place; free again when it is dropped.
pub struct Slot {
    scheduler: Scheduler,
    queue: Queue,
}

impl Scheduler {
    /// For a launcher that takes so many jobs at once. `work` rings when a place comes free.
    #[must_use]
    pub fn new(at_once: usize, known: Arc<Known>, breaker: Breaker, work: WorkBell) -> Self {
        let share = |part: usize| at_once.div_ceil(part).max(1);
        Self { state: Arc::default(), known, breaker, work, of_tenant: share(4), of_controller: share(8) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to try to claim, in this order.
    #[must_use]
    pub fn turns(&self, mut heads: Vec<Head>, now: Instant) -> Vec<Turn> {
        let mut state = self.state();
        state.full.retain(|_, full| full.until > now);
        state.blocked.retain(|_, until| *until > now);
        state.goals.retain(|_, (_, until)| *until > now);
        let mut of_tenant: HashMap<&str, usize> = HashMap::new();
        for ((tenant, _), places) in &state.places {
            *of_tenant.entry(tenant).or_default() += places;
        }
        heads.retain(|head| {
            let key = head.queue.controller_key();
            of_tenant.get(key.0.as_str()).is_none_or(|n| *n < self.of_tenant)
                && state.places.get(&key).is_none_or(|n| *n < self.of_controller)
                && self.breaker.admits(&key, now)
        });
        // Who had nothing for a while does not get to make up for it: all begin from where the waiting ones are.
        let least = heads.iter().filter_map(|head| state.had.get(&head.queue.tenant)).min().copied().unwrap_or(0);
        for head in &heads {
            let had = state.had.entry(head.queue.tenant.clone()).or_insert(least);
            *had = (*had).max(least);
        }
        let had = |tenant: &TenantId| state.had.get(tenant).copied().unwrap_or(least);
        heads.sort_by(|a, b| {
            (had(&a.queue.tenant), &a.queue.tenant, -a.rank, &a.job).cmp(&(
                had(&b.queue.tenant),
                &b.queue.tenant,
                -b.rank,
                &b.job,
            ))
        });
        heads.into_iter().map(|head| self.turn(&state, head.queue)).collect()
    }

    fn turn(&self, state: &State, queue: Queue) -> Turn {
        let is_full =
            |scope: LimitScope, name: &String| state.full.contains_key(&(scope, (queue.tenant.clone(), name.clone())));
        let one_by_one = state.queues.contains_key(&queue) && self.known.one_by_one(&queue.tenant, &queue.template);
        let from_rank = if one_by_one || state.blocked.contains_key(&queue) {
            OUT
        } else if is_full(LimitScope::Template, &queue.template) || is_full(LimitScope::Controller, &queue.controller) {
            BEGUN
        } else {
            0
        };
        let without = state
            .full
            .keys()
            .filter(|(scope, (tenant, _))| *scope == LimitScope::Principal && *tenant == queue.tenant)
            .map(|(_, (_, principal))| principal.clone())
            .collect();
        Turn { queue, from_rank, without }
    }

    /// A job of this queue was claimed.
    #[must_use]
    pub fn take(&self, queue: &Queue, now: Instant) -> Slot {
        let controller = queue.controller_key();
        self.breaker.trying(&controller, now);
        let share = u64::from(self.known.of(&queue.tenant, &queue.template).share.max(1));
        let mut state = self.state();
        *state.places.entry(controller).or_default() += 1;
        *state.queues.entry(queue.clone()).or_default() += 1;
        let had = state.had.entry(queue.tenant.clone()).or_default();
        *had = had.saturating_add(TURN / share);
        if state.had.len() > 10_000 {
            // Tenants that were not seen for long begin from where the others are, as any newcomer.
            state.had.clear();
        }
        drop(state);
        Slot { scheduler: self.clone(), queue: queue.clone() }
    }

    /// A scope is full. `free_in` is when a place of its period comes free; none if it waits for a job to end.
    pub fn full(&self, scope: LimitScope, tenant: &TenantId, name: &str, free_in: Option<Duration>, now: Instant) {
        let full = match free_in {
            Some(free_in) => Full { until: now + free_in.min(LOOK_AGAIN * 2), ends: false },
            None => Full { until: now + LOOK_AGAIN, ends: true },
        };
        self.state().full.insert((scope, (tenant.clone(), name.to_owned())), full);
    }

    /// A queue may launch nothing before the launch in flight on its template is settled.
    pub fn blocked(&self, queue: &Queue, now: Instant) {
        self.state().blocked.insert(queue.clone(), now + LOOK_AGAIN);
    }

    /// The same, found out when a launch was ready to leave: until it is out of the way, that is worth a look before
    /// another is made ready.
    pub fn blocked_at(&self, queue: &Queue, goal: Goal, now: Instant) {
        self.blocked(queue, now);
        self.state().goals.insert(queue.clone(), (goal, now + GOAL_KEPT));
    }

    /// What something stood in the way of lately, for launches of a turn.
    #[must_use]
    pub fn goal(&self, turn: &Turn) -> Option<Goal> {
        let state = self.state();
        state.goals.get(&turn.queue).filter(|_| turn.from_rank < OUT).map(|(goal, _)| goal.clone())
    }

    /// Nothing blocks a queue any more.
    pub fn goes_on(&self, queue: &Queue) {
        self.state().goals.remove(queue);
    }

    /// Whether anything on a queue's controller waits for a launch in flight.
    #[must_use]
    pub fn is_awaited(&self, queue: &Queue) -> bool {
        let controller = queue.controller_key();
        self.state().blocked.keys().any(|blocked| blocked.controller_key() == controller)
    }

    /// It became known what a launch came to: others of its controller may have waited for that.
    pub fn settled(&self, queue: &Queue) {
        let controller = queue.controller_key();
        self.state().blocked.retain(|blocked, _| blocked.controller_key() != controller);
    }

    /// A job ended: there may be room again.
    pub fn freed(&self) {
        self.state().full.retain(|_, full| !full.ends);
    }

    /// When something that is held back now may be tried again.
    #[must_use]
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let state = self.state();
        let full = state.full.values().map(|full| full.until);
        let held = full.chain(state.blocked.values().copied()).filter(|until| *until > now).min();
        drop(state);
        [held, self.breaker.next(now)].into_iter().flatten().min()
    }
}

/// Counts down, and removes entries that reach zero.
fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.scheduler.state();
        one_less(&mut state.places, &self.queue.controller_key());
        one_less(&mut state.queues, &self.queue);
        drop(state);
        self.scheduler.work.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::limits::Limits;

    fn queue(tenant: &str, controller: &str) -> Queue {
        Queue { tenant: TenantId::trusted(tenant), controller: controller.into(), template: "deploy".into() }
    }

    fn head(tenant: &str, controller: &str) -> Head {
        Head { queue: queue(tenant, controller), rank: 1, job: format!("job_{tenant}_{controller}") }
    }

    fn scheduler(at_once: usize) -> Scheduler {
        Scheduler::new(at_once, Arc::default(), Breaker::default(), WorkBell::default())
    }

    fn names(turns: &[Turn]) -> Vec<(&str, &str)> {
        turns.iter().map(|turn| (turn.queue.tenant.as_str(), turn.queue.controller.as_str())).collect()
    }

    /// How often each tenant has its turn when all have something waiting all the time.
    fn turns_of(scheduler: &Scheduler, tenants: &[&str], rounds: usize) -> Vec<usize> {
        let mut had = vec![0; tenants.len()];
        for _ in 0..rounds {
            let heads = tenants.iter().map(|tenant| head(tenant, "awx")).collect();
            let turns = scheduler.turns(heads, Instant::now());
            let next = &turns[0].queue;
            let _place = scheduler.take(next, Instant::now());
            had[tenants.iter().position(|tenant| **tenant == *next.tenant).unwrap()] += 1;
        }
        had
    }

    #[test]
    fn tenants_take_turns_however_much_each_has_waiting() {
        assert_eq!(turns_of(&scheduler(64), &["a", "b", "c"], 30), [10, 10, 10]);
    }

    #[test]
    fn shares_are_kept() {
        let scheduler = scheduler(64);
        scheduler.known.learn(&TenantId::trusted("large"), "deploy", Limits { share: 3, ..Limits::default() });
        assert_eq!(turns_of(&scheduler, &["large", "small"], 40), [30, 10]);
    }

    #[test]
    fn who_was_away_does_not_make_up_for_it() {
        let scheduler = scheduler(64);
        turns_of(&scheduler, &["busy"], 1000);
        let had = turns_of(&scheduler, &["busy", "fresh"], 20);
        assert!(had[0] >= 9, "{had:?}");
    }

    #[test]
    fn no_tenant_and_no_controller_takes_all() {
        let (scheduler, now) = (scheduler(16), Instant::now());
        let all = || vec![head("evil", "hangs"), head("evil", "works"), head("acme", "awx")];
        assert_eq!(scheduler.turns(all(), now).len(), 3);
        let first: Vec<Slot> = (0..2).map(|_| scheduler.take(&queue("evil", "hangs"), now)).collect();
        assert_eq!(names(&scheduler.turns(all(), now)), [("acme", "awx"), ("evil", "works")]);
        let _more: Vec<Slot> = (0..2).map(|n| scheduler.take(&queue("evil", &format!("c{n}")), now)).collect();
        assert_eq!(names(&scheduler.turns(all(), now)), [("acme", "awx")]);
        drop(first);
        assert_eq!(scheduler.turns(all(), now).len(), 3);
    }

    #[test]
    fn there_is_a_place_even_in_the_smallest_launcher() {
        let (scheduler, now) = (scheduler(1), Instant::now());
        assert_eq!(scheduler.turns(vec![head("acme", "awx")], now).len(), 1);
        let _place = scheduler.take(&queue("acme", "awx"), now);
        assert!(scheduler.turns(vec![head("acme", "awx")], now).is_empty());
    }

    #[test]
    fn what_was_begun_goes_on_where_limits_hold_others_back() {
        let (scheduler, now) = (scheduler(16), Instant::now());
        scheduler.full(LimitScope::Template, &TenantId::trusted("acme"), "deploy", None, now);
        scheduler.full(LimitScope::Principal, &TenantId::trusted("acme"), "sa_1", Some(Duration::from_secs(60)), now);
        let turns = scheduler.turns(vec![head("acme", "awx"), head("other", "awx")], now);
        let of = |tenant: &str| turns.iter().find(|turn| *turn.queue.tenant == *tenant).unwrap();
        assert!(of("acme").from_rank == BEGUN && of("acme").without == ["sa_1"]);
        assert!(of("other").from_rank == 0 && of("other").without.is_empty());
        // A job's end makes room at once; a period must pass.
        scheduler.freed();
        let turns = scheduler.turns(vec![head("acme", "awx")], now);
        assert!(turns[0].from_rank == 0 && turns[0].without == ["sa_1"]);
        let turns = scheduler.turns(vec![head("acme", "awx")], now + LOOK_AGAIN * 3);
        assert!(turns[0].without.is_empty(), "somebody may have raised the limit");
    }

    #[test]
    fn a_controller_that_is_down_is_passed_over_and_tried_by_one() {
        let (scheduler, now) = (scheduler(16), Instant::now());
        let key = (TenantId::trusted("acme"), "awx".to_owned());
        let pause = scheduler.breaker.failed(&key, "down", None, now);
        assert!(scheduler.turns(vec![head("acme", "awx")], now).is_empty());
        assert_eq!(scheduler.next(now), Some(now + pause));
        let later = now + pause;
        assert_eq!(scheduler.turns(vec![head("acme", "awx")], later).len(), 1);
        let _place = scheduler.take(&queue("acme", "awx"), later);
        assert!(scheduler.turns(vec![head("acme", "awx")], later).is_empty());
    }

    #[test]
    fn what_cannot_be_marked_is_launched_one_by_one() {
        let (scheduler, now) = (scheduler(64), Instant::now());
        scheduler.known.marks(&TenantId::trusted("acme"), "deploy", false);
        let place = scheduler.take(&queue("acme", "awx"), now);
        // Only what became of one that is out can be looked for meanwhile.
        assert_eq!(scheduler.turns(vec![head("acme", "awx")], now)[0].from_rank, OUT);
        drop(place);
        assert_eq!(scheduler.turns(vec![head("acme", "awx")], now)[0].from_rank, 0);
        let held_back = |now| scheduler.turns(vec![head("acme", "awx")], now)[0].from_rank == OUT;
        scheduler.blocked(&queue("acme", "awx"), now);
        assert!(held_back(now));
        scheduler.freed();
        scheduler.settled(&queue("acme", "other"));
        assert!(held_back(now), "what is settled elsewhere, and what ends, does not help");
        assert!(!scheduler.is_awaited(&queue("acme", "other")) && scheduler.is_awaited(&queue("acme", "awx")));
        scheduler.settled(&queue("acme", "awx"));
        assert!(!held_back(now));
        scheduler.blocked(&queue("acme", "awx"), now);
        assert!(!held_back(now + LOOK_AGAIN), "another executor may have settled it");
    }

    #[test]
    fn higher_ranks_go_first_within_a_tenant() {
        let (scheduler, now) = (scheduler(16), Instant::now());
        let low = Head { rank: 0, ..head("acme", "a") };
        let high = Head { rank: 2, ..head("acme", "b") };
        assert_eq!(names(&scheduler.turns(vec![low, high], now)), [("acme", "b"), ("acme", "a")]);
    }
}
