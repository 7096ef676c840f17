//! Standing in for the Terraform run task proxy: its environment alone is enough. What it spoke of is made through the
//! same calls that anybody makes, as the first administrator, at each start.
//!
//! - [`environment`]: what it says, checked.
//! - [`settings`]: what that means for the settings of `up`.
//! - [`install`]: tenant, project and service account, and in which order all of it is made.
//! - [`aap`]: controller and template.
//! - [`hook`]: the hook, its key and its module.
//! - [`mapping`]: how a request becomes parameters.
//! - [`memory`]: what was taken over before.
//! - [`problem`]: why it could not be made.
//! - [`failpoint`]: where a test can have the process die.

mod aap;
mod environment;
mod failpoint;
mod hook;
mod install;
mod mapping;
mod memory;
mod problem;
mod settings;

use std::path::PathBuf;
use std::time::Duration;

use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::mesh::Peers;

pub(crate) use environment::{Environment, log_level};
pub(crate) use failpoint::Failpoint;
use install::Installer;
use memory::Memory;
use problem::Problem;

use crate::terminal::announce;

/// With the hook of this name, the route is the one that the replaced program had.
const TENANT: &str = "tfe-analytics";
const HOOK: &str = "run-task";

/// The first pause before another try, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The pause after AAP refused the password: with more tries than that, it would lock the account.
const AFTER_REFUSAL: Duration = Duration::from_secs(aap::NOT_AGAIN_FOR.unsigned_abs() + 1);

/// What stands in.
pub(super) struct DropIn {
    pub(super) environment: Environment,
    pub(super) peers: Peers,
    pub(super) bootstrap: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) failpoint: Failpoint,
}

impl DropIn {
    /// Makes what the environment speaks of. What cannot be made now, because AAP is away, is made as soon as it can be.
    ///
    /// # Errors
    /// When a person has to do something.
    pub(super) async fn begin(self, shutdown: Shutdown) -> anyhow::Result<Option<impl Future<Output = ()> + Send>> {
        match self.install().await {
            Ok(()) => Ok(None),
            Err(Problem::Wrong(error) | Problem::Unwelcome(error)) => Err(error),
            Err(Problem::NoAdministrator) if !self.folder.join(memory::FILE).exists() => anyhow::bail!(
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
                let until = if self.has_hook() {
                    "run tasks are taken as before, except that a changed HMAC_KEY counts already"
                } else {
                    "run tasks are refused"
                };
                announce(format_args!("warning: {error:#}. Until that works, {until}; it is tried again"));
                Ok(Some(self.go_on(shutdown)))
            }
        }
    }

    /// Whether the hook was made, now or before.
    fn has_hook(&self) -> bool {
        Memory::open(&self.folder).is_ok_and(|memory| memory.has("HMAC_KEY"))
    }

    async fn install(&self) -> Result<(), Problem> {
        let Self { environment, peers, bootstrap, folder, failpoint } = self;
        let told = Installer { environment, peers, bootstrap, folder, failpoint }.install().await?;
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
            let (error, next) = match self.install().await {
                Ok(()) | Err(Problem::NoAdministrator) => return,
                Err(Problem::Later(error) | Problem::Wrong(error)) => (error, (pause * 2).min(LONGEST_PAUSE)),
                Err(Problem::Unwelcome(error)) => (error, AFTER_REFUSAL),
            };
            let now = format!("{error:#}");
            if now != before {
                let when = if next == AFTER_REFUSAL { " in 15 minutes" } else { "" };
                announce(format_args!("warning: {now}. It is tried again{when}"));
                before = now;
            }
            pause = next;
        }
    }
}
