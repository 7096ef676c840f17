//! What is going to happen in a round, all of it decided by the seed.

use std::fmt;
use std::time::Duration;

use crate::dice::Dice;
use crate::failpoints::Failpoint;
use crate::faults::Fault;
use crate::kinds::{Course, KINDS, Kind, SHARED};

/// What the system is made of. The seed's last bit says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    /// All services in one process.
    Together,
    /// A process for each service, and this many executors.
    Apart(usize),
}

/// How long a round is, and how much there is to do in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// How long things go wrong.
    pub(crate) seconds: u64,
    /// How many jobs are submitted meanwhile.
    pub(crate) jobs: u32,
}

/// How a request to submit a job is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Until it is answered.
    Plainly,
    /// Twice at the same time.
    AtOnce,
    /// The caller hangs up after this long and sends it again.
    HangsUp(Duration),
    /// It is wrong and must be refused.
    Wrongly,
}

/// A job to be submitted.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) number: u32,
    pub(crate) at: Duration,
    /// Which of the tenants.
    pub(crate) tenant: usize,
    pub(crate) kind: &'static Kind,
    pub(crate) manner: Manner,
    /// Its events are followed from the beginning, by a caller whose connection breaks this often in a hundred events.
    pub(crate) followed: Option<u64>,
    /// It is cancelled this long after it was accepted.
    pub(crate) cancel: Option<Duration>,
    /// It must not begin later than this after it was first sent.
    pub(crate) start_by: Option<Duration>,
}

/// What is done to the system and what is around it.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A process is ended and started again, maybe to end itself at a failpoint.
    Restart { process: String, orderly: bool, ripe: Option<Duration>, down: Duration, next: Option<Failpoint> },
    /// The controller misbehaves.
    Fault(Fault),
    /// The controller accepts launches and starts nothing for this long.
    Idle(Duration),
    /// The controller loses a run.
    Reap,
    /// The controller deletes a run.
    Delete,
    /// The controller's clock is ahead by so many milliseconds from now on.
    Clock(i64),
    /// The controller lets Runwarden's account in no more for this long.
    Lock(Duration),
    /// The answer to a job's launch is lost while somebody launches the same template by hand, so many times.
    ByHand { number: u32, tenant: usize, fault: Fault, times: u64 },
}

/// An act at its time.
#[derive(Clone, Debug)]
pub(crate) struct Blow {
    pub(crate) at: Duration,
    pub(crate) act: Act,
}

/// A round.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) world: World,
    pub(crate) size: Size,
    pub(crate) orders: Vec<Order>,
    pub(crate) blows: Vec<Blow>,
}

/// How far the controller's clock goes wrong, milliseconds: less than the round's settings allow.
const SKEW_MS: u64 = 800;
/// How many tenants there are.
pub(crate) const TENANTS: usize = 2;
/// Jobs whose launches are disturbed by hand have numbers from here on.
const BY_HAND: u32 = 1_000_000;

impl World {
    pub(crate) fn of(seed: u64, dice: &mut Dice) -> Self {
        if seed.is_multiple_of(2) { Self::Together } else { Self::Apart(usize::try_from(dice.between(2, 3)).unwrap()) }
    }

    /// Which process is hit next.
    fn victim(self, dice: &mut Dice) -> String {
        match self {
            Self::Together => "runwarden".to_owned(),
            Self::Apart(executors) => {
                let others = ["edge", "auth", "policy", "project", "secret", "audit", "hook"];
                if dice.chance(40) {
                    return (*dice.pick(&others)).to_owned();
                }
                format!("executor-{}", dice.between(1, u64::try_from(executors).unwrap()))
            }
        }
    }

    /// How long it takes from one blow at a process to the next, milliseconds.
    fn pause(self) -> (u64, u64) {
        match self {
            Self::Together => (1500, 4500),
            Self::Apart(_) => (700, 2500),
        }
    }

    /// How long a process that is hit has been ready at the least, milliseconds: a system of one process is all gone
    /// each time, and on a busy machine it would never be there.
    fn ripe(self, dice: &mut Dice) -> Duration {
        match self {
            Self::Together => dice.millis(300, 3500),
            Self::Apart(_) => dice.millis(0, 700),
        }
    }
}

impl Order {
    /// A job that is just submitted, at once.
    pub(crate) fn plain(number: u32, tenant: usize, kind: &'static Kind) -> Self {
        let (at, manner) = (Duration::ZERO, Manner::Plainly);
        Self { number, at, tenant, kind, manner, followed: None, cancel: None, start_by: None }
    }
}

impl Plan {
    /// Everything that the seed says.
    pub(crate) fn new(seed: u64, size: Size) -> Self {
        let mut dice = Dice::new(seed);
        let world = World::of(seed, &mut dice.fork());
        let length = size.seconds * 1000;
        let orders = orders(&mut dice.fork(), size.jobs, length);
        let mut blows = restarts(&mut dice.fork(), world, length);
        blows.extend(trouble(&mut dice.fork(), length));
        blows.extend(by_hand(&mut dice.fork(), length));
        blows.sort_by_key(|blow| blow.at);
        Self { seed, world, size, orders, blows }
    }
}

fn orders(dice: &mut Dice, jobs: u32, length: u64) -> Vec<Order> {
    let weights: Vec<(u64, &Kind)> = KINDS.iter().map(|kind| (kind.weight, kind)).collect();
    let mut orders: Vec<Order> = (1..=jobs)
        .map(|number| {
            let kind = *dice.weighted(&weights);
            let manner = match dice.below(100) {
                0..12 => Manner::AtOnce,
                12..24 => Manner::HangsUp(dice.millis(0, 120)),
                24..27 => Manner::Wrongly,
                _ => Manner::Plainly,
            };
            Order {
                number,
                at: dice.millis(0, length * 9 / 10),
                tenant: usize::try_from(dice.below(3).min(1)).unwrap(),
                kind,
                manner,
                followed: dice.chance(25).then(|| dice.below(20)),
                cancel: (dice.chance(8) || kind.course == Course::Hangs).then(|| dice.millis(0, 4000)),
                start_by: dice.chance(6).then(|| dice.millis(1500, 20_000)),
            }
        })
        .collect();
    orders.sort_by_key(|order| order.at);
    orders
}

fn restarts(dice: &mut Dice, world: World, length: u64) -> Vec<Blow> {
    let mut blows = Vec::new();
    let mut failpoints = Failpoint::all_in_turn(dice);
    let (least, most) = world.pause();
    let mut at = dice.between(500, 2000);
    while at < length {
        let process = world.victim(dice);
        let launches = process.starts_with("executor") || process == "runwarden";
        let next = (launches && dice.chance(75)).then(&mut failpoints);
        let orderly = dice.chance(12);
        // Now and then it is hit again while it starts.
        let ripe = dice.chance(85).then(|| world.ripe(dice));
        let down = if dice.chance(60) { dice.millis(0, 150) } else { dice.millis(150, 1500) };
        blows.push(Blow { at: Duration::from_millis(at), act: Act::Restart { process, orderly, ripe, down, next } });
        at += dice.between(least, most);
    }
    blows
}

fn trouble(dice: &mut Dice, length: u64) -> Vec<Blow> {
    let mut blows = Vec::new();
    let mut at = dice.between(0, 700);
    while at < length {
        let act = match dice.below(100) {
            0..70 => Act::Fault(Fault::at_launch(dice)),
            70..88 => Act::Fault(Fault::at_reading(dice)),
            88..91 => Act::Clock(i64::try_from(dice.below(2 * SKEW_MS)).unwrap() - i64::try_from(SKEW_MS).unwrap()),
            91..95 => Act::Reap,
            95..96 => Act::Delete,
            96..98 => Act::Lock(dice.millis(200, 2000)),
            _ => Act::Idle(dice.millis(300, 3000)),
        };
        blows.push(Blow { at: Duration::from_millis(at), act });
        at += dice.between(200, 1400);
    }
    blows
}

fn by_hand(dice: &mut Dice, length: u64) -> Vec<Blow> {
    let mut blows = Vec::new();
    let mut at = dice.between(1000, 6000);
    for number in BY_HAND.. {
        if at >= length * 8 / 10 {
            break;
        }
        // Where the job's own launch never arrives, it takes two others to make a doubt.
        let arrives = dice.chance(65);
        let (fault, times) = (Fault::loses_answer_of(SHARED, arrives, dice), if arrives { 1 } else { 2 });
        let tenant = usize::try_from(dice.below(2)).unwrap();
        blows.push(Blow { at: Duration::from_millis(at), act: Act::ByHand { number, tenant, fault, times } });
        // As none begins before the one before it is settled, more of them would only wait.
        at += dice.between(12_000, 25_000);
    }
    blows
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Together => f.write_str("all services in one process"),
            Self::Apart(executors) => write!(f, "services apart, {executors} executors"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart { process, orderly, ripe, down, next } => {
                write!(f, "{} {process}", if *orderly { "stop" } else { "kill" })?;
                if let Some(ripe) = ripe {
                    write!(f, " when it has been ready for {} ms", ripe.as_millis())?;
                }
                write!(f, ", away {} ms", down.as_millis())?;
                next.as_ref().map_or(Ok(()), |failpoint| write!(f, ", then until {failpoint}"))
            }
            Self::Fault(fault) => write!(f, "fault: {fault}"),
            Self::Idle(time) => write!(f, "the controller starts nothing for {} ms", time.as_millis()),
            Self::Reap => f.write_str("the controller loses a run"),
            Self::Delete => f.write_str("the controller deletes a run"),
            Self::Clock(ahead) => write!(f, "the controller's clock is {ahead} ms ahead"),
            Self::Lock(time) => write!(f, "the controller locks the account for {} ms", time.as_millis()),
            Self::ByHand { number, tenant, fault, times } => {
                write!(f, "job {number} of tenant {tenant}, and {times} launched by hand; fault: {fault}")
            }
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {} of tenant {}: {}", self.number, self.tenant, self.kind.name)?;
        match self.manner {
            Manner::Plainly => {}
            Manner::AtOnce => write!(f, ", twice at once")?,
            Manner::HangsUp(after) => write!(f, ", hangs up after {} ms", after.as_millis())?,
            Manner::Wrongly => write!(f, ", wrongly")?,
        }
        let ms = |time: Option<Duration>| time.map(|time| time.as_millis());
        if let Some(breaks) = self.followed {
            write!(f, ", followed (breaks {breaks} %)")?;
        }
        if let Some(cancel) = ms(self.cancel) {
            write!(f, ", cancelled after {cancel} ms")?;
        }
        if let Some(start_by) = ms(self.start_by) {
            write!(f, ", to start within {start_by} ms")?;
        }
        Ok(())
    }
}

/// The blows, and the jobs too if asked for with `{:#}`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}, {} s, {} jobs", self.seed, self.world, self.size.seconds, self.size.jobs)?;
        for blow in &self.blows {
            writeln!(f, "{:>9.3} {}", blow.at.as_secs_f64(), blow.act)?;
        }
        if f.alternate() {
            for order in &self.orders {
                writeln!(f, "{:>9.3} {order}", order.at.as_secs_f64())?;
            }
        }
        Ok(())
    }
}

#[test]
fn the_same_seed_is_the_same_plan() {
    let size = Size { seconds: 45, jobs: 300 };
    for seed in 0..20 {
        let plan = format!("{:#}", Plan::new(seed, size));
        assert_eq!(plan, format!("{:#}", Plan::new(seed, size)));
        assert!(plan.contains("kill ") && plan.contains("fault: launch of "), "{plan}");
    }
}
