//! A system whose processes are ended at will, at any moment, and come back by themselves: as under a supervisor.

mod keeper;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runwarden_kit::mesh::Service;
use tempfile::TempDir;

use crate::api::Api;
use crate::layout::Layout;
use crate::ports::Port;
use crate::process::{Allowed, Signal};
use crate::reach::Reach;
use crate::recipe::Recipe;
use crate::system::{self, Settings};
use crate::wait::until_within;

use keeper::Keeper;
pub use keeper::{End, Life};

/// How long all of it may take to be there again.
const START: Duration = Duration::from_secs(90);

/// A system of processes that are kept running.
pub struct Fleet {
    // Before the places: the processes end first.
    keepers: BTreeMap<String, Keeper>,
    allowed: Allowed,
    reach: Reach,
    places: Places,
}

/// What must last as long as the processes.
enum Places {
    Together { folder: TempDir, _ports: Vec<Port> },
    Apart(Box<Layout>),
}

/// How a process is ended and started again.
#[derive(Clone, Debug)]
pub struct Restart {
    /// How it is asked to end.
    pub signal: Signal,
    /// Not before it has been ready for so long; at once if none, whether it is ready or not.
    pub ripe: Option<Duration>,
    /// How long it stays away.
    pub down: Duration,
    /// Settings for its next life only, by their environment variables: a failpoint, for example.
    pub next: Vec<(String, String)>,
}

impl Fleet {
    /// All services in one process, named `runwarden`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn together(settings: &Settings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports = vec![Port::take(), Port::take()];
        let allowed = Allowed::default();
        let recipe = system::recipe(settings, &ports, folder.path());
        let keepers = keep(BTreeMap::from([("runwarden".to_owned(), recipe)]), &allowed);
        for keeper in keepers.values() {
            keeper.up(START).await;
        }
        let reach = system::reach(&folder.path().join("data"));
        let fleet = Self { keepers, allowed, reach, places: Places::Together { folder, _ports: ports } };
        fleet.whole().await;
        fleet
    }

    /// Every service as a process of its own, named after it; several executors on one jobs file are `executor-1`,
    /// `executor-2`, ….
    ///
    /// # Panics
    /// When one does not start.
    pub async fn apart(settings: &Settings, executors: usize) -> Self {
        let layout = Layout::new(settings, executors);
        let allowed = Allowed::default();
        let keepers = keep(layout.recipes(), &allowed);
        let reach = layout.reach().clone();
        let fleet = Self { keepers, allowed, reach, places: Places::Apart(Box::new(layout)) };
        fleet.whole().await;
        fleet
    }

    /// How it is reached.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The names of its processes that launch jobs.
    pub fn launchers(&self) -> impl Iterator<Item = &str> {
        let launches = |name: &&str| *name == "runwarden" || name.starts_with(Service::Executor.name());
        self.keepers.keys().map(String::as_str).filter(launches)
    }

    /// The folder under which all state is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        match &self.places {
            Places::Together { folder, .. } => folder.path().join("data"),
            Places::Apart(layout) => layout.folder().to_owned(),
        }
    }

    /// A folder beside its data, for what a test writes.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        match &self.places {
            Places::Together { folder, .. } => folder.path(),
            Places::Apart(layout) => layout.folder(),
        }
    }

    /// Lines at level ERROR with this in them are expected.
    pub fn allow_error(&self, part: &str) {
        self.allowed.allow(part);
    }

    /// Has a process ended and started again. Returns at once; what was ordered before is done first.
    ///
    /// # Panics
    /// When there is no process of that name.
    pub fn restart(&self, name: &str, restart: Restart) {
        let keeper = self.keepers.get(name).unwrap_or_else(|| panic!("there is no process {name}"));
        keeper.restart(restart);
    }

    /// From now on nothing that was ordered before is done, and no process has settings any more that were for one life
    /// only. Returns at once.
    pub fn calm(&self) {
        self.keepers.values().for_each(Keeper::calm);
    }

    /// Waits until all that was ordered is done and everything is there.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn whole(&self) {
        for keeper in self.keepers.values() {
            keeper.up(START).await;
        }
        let nobody = Api::anonymous(&self.reach.base_url);
        until_within(START, "all services to be ready", async || {
            let answer = nobody.call(reqwest::Method::GET, "/api/v1/health/ready").try_send().await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        })
        .await;
    }

    /// Stops everything in order, the callers of others first.
    pub async fn stop(&self) {
        let mut keepers: Vec<(&String, &Keeper)> = self.keepers.iter().collect();
        // Audit is told things to the last.
        keepers.sort_by_key(|(name, _)| (*name == "audit", *name != "edge"));
        for (_, keeper) in keepers {
            keeper.stop().await;
        }
    }

    /// All lives of all processes so far.
    #[must_use]
    pub fn lives(&self) -> Vec<Life> {
        self.keepers.values().flat_map(Keeper::lives).collect()
    }

    /// What no restart explains: processes that ended by themselves or badly, and unexpected lines at level ERROR.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints: Vec<String> = self.keepers.values().flat_map(Keeper::complaints).collect();
        for life in self.lives() {
            if let Some(how) = life.bad_end() {
                complaints.push(format!("{} {how}", life.title()));
            }
            let errors = life.log.errors();
            let unexpected = errors.iter().filter(|line| !self.allowed.covers(line));
            complaints.extend(unexpected.map(|line| format!("{} wrote: {line}", life.title())));
        }
        complaints
    }
}

fn keep(recipes: BTreeMap<String, Recipe>, allowed: &Allowed) -> BTreeMap<String, Keeper> {
    recipes
        .into_iter()
        .map(|(name, recipe)| {
            let keeper = Keeper::start(name.clone(), recipe, allowed.clone());
            (name, keeper)
        })
        .collect()
}
