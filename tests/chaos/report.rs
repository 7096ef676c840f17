//! What came of a round, and everything that is needed to find out why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runwarden_harness::Fleet;
use runwarden_harness::fleet::End;
use runwarden_harness::jobs::text;

use crate::failpoints::Failpoint;
use crate::levers::Levers;
use crate::operator::Resolved;
use crate::plan::{Plan, World};
use crate::promises::{Broken, Promise};
use crate::trail::Trail;
use crate::witness::{Told, Witness};

/// How much of what broke a promise is shown; all of it is kept.
const SHOWN: usize = 5;

/// The outcome of a round. When it is dropped in a panic it keeps what there is.
pub(crate) struct Report {
    plan: Arc<Plan>,
    fleet: Arc<Fleet>,
    witness: Arc<Witness>,
    levers: Arc<Levers>,
    counts: String,
}

/// How lives ended.
#[derive(Debug, Default)]
struct Ends {
    killed: usize,
    at_failpoints: BTreeMap<String, usize>,
    stopped: usize,
}

impl Report {
    pub(crate) fn of(plan: Arc<Plan>, fleet: Arc<Fleet>, witness: Arc<Witness>, levers: Arc<Levers>) -> Self {
        Self { plan, fleet, witness, levers, counts: String::new() }
    }

    fn broken(&self) -> &Broken {
        &self.witness.broken
    }

    /// Counts what the round was made of, and whether it was worth it.
    pub(crate) fn count(&mut self, told: &BTreeMap<String, Told>, trail: &Trail, resolved: &Resolved) {
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for told in told.values() {
            *states.entry(told.end.as_ref().map_or("not over", |end| text(end, "state"))).or_default() += 1;
        }
        let ends = self.ends();
        let logs: Vec<String> = self.fleet.lives().iter().map(|life| life.log.text()).collect();
        let lost: usize =
            logs.iter().map(|log| log.matches("it is not known whether the launch happened").count()).sum();
        let (answers, unheard) = self.witness.answers();
        let (repeats, unknown) = (trail.repeats(), told.values().filter(|told| told.was_unknown).count());
        let jobs = told.len();
        self.counts = format!(
            "{jobs} jobs {states:?}; {} kills, of them at failpoints {:?}, {} stops; {lost} answers of the controller \
             lost, {repeats} launches begun again, {unknown} unknown ({resolved:?}); {answers} answers, {unheard} unheard",
            ends.killed + ends.at_failpoints.values().sum::<usize>(),
            ends.at_failpoints,
            ends.stopped,
        );
        // On a machine that is slow enough, launches can miss every fault that loses an answer; kills still put some in
        // doubt.
        let doubtful = lost + repeats;
        self.broken().unless(ends.killed > 0 && doubtful > 0 && unheard > 0 && jobs > 0, Promise::Trouble, || {
            format!("it was too quiet: {}", self.counts)
        });
    }

    fn ends(&self) -> Ends {
        let mut ends = Ends::default();
        for life in self.fleet.lives() {
            match life.end {
                Some(End::Killed) => ends.killed += 1,
                Some(End::Failpoint) => {
                    let name = Failpoint::name_in(&life.settings).unwrap_or_default();
                    *ends.at_failpoints.entry(name.to_owned()).or_default() += 1;
                }
                Some(End::Asked(_)) => ends.stopped += 1,
                Some(End::Itself(_) | End::Hung) | None => {}
            }
        }
        ends
    }

    /// Says what was kept and what was broken, each in a line that `tests/run` counts. True if all was kept.
    pub(crate) fn tell(&self) -> bool {
        let seed = self.plan.seed;
        println!("   seed {seed}, {}: {}", self.plan.world, self.counts);
        for promise in Promise::ALL {
            let broken = self.broken().of(*promise);
            let mark = if broken.is_empty() { "ok   " } else { "FAIL " };
            println!("  {mark} {} (seed {seed})", promise.sentence());
            for what in broken.iter().take(SHOWN) {
                println!("          {what}");
            }
            if broken.len() > SHOWN {
                println!("          … and {} more", broken.len() - SHOWN);
            }
        }
        let kept = self.broken().count() == 0;
        if !kept {
            self.keep();
        }
        kept
    }

    /// Keeps everything, and says where and how to do it again.
    fn keep(&self) {
        let folder = folder(self.plan.seed);
        if let Err(error) = self.write(&folder) {
            println!("   {} cannot be written: {error}", folder.display());
        }
        println!("   what was planned:\n{}", self.plan);
        println!("   logs of all lives, data, answers, ledger and plan are in {}", folder.display());
        println!("   to do it again: {}", replay(&self.plan));
    }

    fn write(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut report = format!("{}\n{}\n", replay(&self.plan), self.counts);
        for promise in Promise::ALL {
            for what in self.broken().of(*promise) {
                let _infallible = writeln!(report, "{}: {what}", promise.sentence());
            }
        }
        std::fs::write(folder.join("report.txt"), report)?;
        std::fs::write(folder.join("plan.txt"), format!("{:#}", self.plan))?;
        std::fs::write(folder.join("answers.txt"), self.witness.history())?;
        std::fs::write(folder.join("ledger.json"), format!("{:#}", self.levers.ledger()))?;
        for life in self.fleet.lives() {
            let file = folder.join(format!("{}-{:03}.log", life.name, life.number));
            std::fs::write(file, format!("{:?} {:?}\n{}\n", life.settings, life.end, life.log.text()))?;
        }
        copy(&self.fleet.data(), &folder.join("data"))
    }
}

/// Copies a folder, as it is now.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

impl Drop for Report {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep();
        }
    }
}

/// Where what came of a seed is kept.
fn folder(seed: u64) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tests").join("chaos").join(seed.to_string())
}

/// The command that does a round again.
pub(crate) fn replay(plan: &Plan) -> String {
    let test = match plan.world {
        World::Together => "together",
        World::Apart(_) => "apart",
    };
    format!(
        "RUNWARDEN_CHAOS_SEED={} RUNWARDEN_CHAOS_SECONDS={} RUNWARDEN_CHAOS_JOBS={} cargo test --test chaos {test} -- --nocapture",
        plan.seed, plan.size.seconds, plan.size.jobs
    )
}
