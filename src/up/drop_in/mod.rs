//! Standing in for the Terraform run task proxy: its environment alone is enough. What it spoke of is made through the
//! same calls that anybody makes, as the first administrator, at each start.
//!
//! - [`environment`]: what it says, checked.
//! - [`settings`]: what that means for the settings of `up`.
//! - [`install`]: tenant, project, controller, template, service account and hook.
//! - [`mapping`]: how a request becomes parameters.
//! - [`memory`]: what was taken over before.

mod environment;
mod install;
mod mapping;
mod memory;
mod settings;

use std::path::PathBuf;
use std::time::Duration;

use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::mesh::Peers;

pub(crate) use environment::Environment;
use install::{Installer, Problem};

use crate::terminal::announce;

/// With the hook of this name, the route is the one that the replaced program had.
const TENANT: &str = "tfe-analytics";
const HOOK: &str = "run-task";
/// The file that remembers what was taken over.
const FILE: &str = "drop-in.json";

/// The first pause before another try, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What stands in.
pub(super) struct DropIn {
    pub(super) environment: Environment,
    pub(super) peers: Peers,
    pub(super) bootstrap: PathBuf,
    pub(super) folder: PathBuf,
}

impl DropIn {
    /// Makes what the environment speaks of. What cannot be made now, because AAP is away, is made as soon as it can be.
    ///
    /// # Errors
    /// When a person has to do something.
    pub(super) async fn begin(self, shutdown: Shutdown) -> anyhow::Result<Option<impl Future<Output = ()> + Send>> {
        match self.install().await {
            Ok(()) => Ok(None),
            Err(Problem::Wrong(error)) => Err(error),
            Err(Problem::NoAdministrator) if !self.folder.join(FILE).exists() => anyhow::bail!(
                "{} does not have the first administrator's credentials, so what AAP_HOST and the rest say cannot be made: \
                 put the file back for one start, or unset them and make a hook yourself",
                self.bootstrap.display()
            ),
            Err(Problem::NoAdministrator) => {
                announce(
                    "warning: the first administrator's credentials are not there any more, so what AAP_HOST and the rest \
                     say is not compared with what is configured",
                );
                Ok(None)
            }
            Err(Problem::Later(error)) => {
                announce(format_args!(
                    "warning: {error:#}. Until that works, run tasks are refused; it is tried again"
                ));
                Ok(Some(self.go_on(shutdown)))
            }
        }
    }

    async fn install(&self) -> Result<(), Problem> {
        let Self { environment, peers, bootstrap, folder } = self;
        let memory = folder.join(FILE);
        let told = Installer { environment, peers, bootstrap, memory: &memory }.install().await?;
        told.iter().for_each(announce);
        announce(format_args!(
            "run tasks: POST /webhook/{TENANT}/{HOOK} runs job template {} of {}",
            environment.template, environment.aap
        ));
        Ok(())
    }

    async fn go_on(self, shutdown: Shutdown) {
        let (mut pause, mut before) = (FIRST_PAUSE, String::new());
        while shutdown.sleep(pause).await.is_ok() {
            match self.install().await {
                Ok(()) | Err(Problem::NoAdministrator) => return,
                Err(Problem::Later(error) | Problem::Wrong(error)) => {
                    let now = format!("{error:#}");
                    if now != before {
                        announce(format_args!("warning: {now}. It is tried again"));
                        before = now;
                    }
                }
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
