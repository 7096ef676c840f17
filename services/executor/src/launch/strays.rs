//! Runs that should not be: what they were launched for was settled without them. Each is kept until it has stopped,
//! whoever dies meanwhile, and how it ended goes on record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runwarden_awx::{Ask, AwxError, Client};
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use runwarden_kit::lifecycle::Shutdown;

use crate::job::Stray;
use crate::records;
use crate::shared::Shared;

/// How often to see whether one is due.
const LOOK: Duration = Duration::from_millis(500);
/// The longest pause between two looks at one.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a stray run that is being checked is left to that executor.
const LOOKING: Duration = Duration::from_secs(60);
/// How long to keep asking about one whose controller cannot be asked.
const HOPELESS: Duration = Duration::from_secs(30 * 24 * 3600);
/// How many are looked at in one go.
const SOME: usize = 20;

/// What a look at it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StrayState {
    /// It goes on.
    Goes,
    /// It has ended, with the controller's status.
    Over(&'static str),
    /// Its controller does not have it any more.
    Gone,
    /// Its id belongs to another run: the controller was restored, or set up again.
    Another,
    /// Nothing is known of it now.
    Untold,
}

/// What is under a stray run's id where its controller's name leads now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnderId {
    /// The run, which is still running.
    Itself,
    /// The run, which has ended, with the controller's status.
    Ended(&'static str),
    /// Another run.
    Another,
    /// Nothing.
    Nothing,
}

impl StrayState {
    /// What it says of the run. The name may lead to another installation than the run's by now: what that one has under
    /// the id, or has not, says nothing, for the run may go on where it is.
    #[must_use]
    pub fn of(under: UnderId, is_there: bool) -> Self {
        match under {
            UnderId::Itself => Self::Goes,
            UnderId::Ended(status) => Self::Over(status),
            UnderId::Another if is_there => Self::Another,
            UnderId::Nothing if is_there => Self::Gone,
            UnderId::Another | UnderId::Nothing => Self::Untold,
        }
    }
}

/// What to do after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask it to stop, and look again.
    Stop,
    /// Look again.
    Look,
    /// Nothing: its end is recorded.
    Settled(&'static str),
}

impl Next {
    /// What to do about a stray run after checking it; the result of the check is stored. Only its end removes it.
    #[must_use]
    pub fn after(stray: &mut Stray, state: &StrayState, now: Moment) -> Self {
        let pause = Duration::from_secs(1 << stray.looks.min(6)).min(LONGEST);
        stray.looks = stray.looks.saturating_add(1);
        stray.due_at = now.plus(pause);
        match state {
            StrayState::Goes => Self::Stop,
            StrayState::Over(status) => Self::Settled(status),
            StrayState::Gone => Self::Settled("deleted"),
            StrayState::Another => Self::Settled("replaced"),
            StrayState::Untold if now.since(stray.found_at) > HOPELESS => Self::Settled("unknown"),
            StrayState::Untold => Self::Look,
        }
    }
}

/// Stops runs that should not be.
pub struct Strays {
    /// What everybody works with.
    pub shared: Shared,
}

impl Strays {
    /// Works until shutdown. Any executor takes up what another left.
    pub async fn run(self, shutdown: Shutdown) {
        while shutdown.sleep(LOOK).await.is_ok() {
            if let Err(error) = self.look_at_all().await {
                error.log();
            }
        }
    }

    pub(crate) async fn look_at_all(&self) -> Result<()> {
        let count = u32::try_from(self.shared.store.count_strays().await?).unwrap_or(u32::MAX);
        metrics::gauge!("runwarden_stray_runs").set(count);
        for stray in self.shared.store.strays(self.shared.clock.now(), SOME).await? {
            // One that cannot be dealt with now holds up no other.
            if let Err(error) = self.look_at(stray).await {
                error.log();
            }
        }
        Ok(())
    }

    async fn look_at(&self, mut stray: Stray) -> Result<()> {
        let now = self.shared.clock.now();
        if !self.shared.store.take_stray(&stray, now.plus(LOOKING)).await? {
            return Ok(());
        }
        let (state, client) = self.look(&stray).await?;
        match Next::after(&mut stray, &state, self.shared.clock.now()) {
            Next::Stop => {
                if let Some(client) = client
                    && let Err(error) = client.cancel(stray.run.to_ref()).await
                {
                    let (job, run) = (&stray.job, stray.run.id);
                    tracing::warn!(job, run, %error, "the stray run could not be stopped; trying again");
                }
                self.shared.store.keep_stray(&stray).await
            }
            Next::Look => self.shared.store.keep_stray(&stray).await,
            Next::Settled(how) => {
                tracing::info!(job = stray.job, run = stray.run.id, how, "a stray run has ended");
                let Some(job) = self.shared.store.get(&stray.tenant, &stray.job).await? else { return Ok(()) };
                let entry = records::stray_settled(self.shared.clock.now(), &job, &stray, how);
                self.shared.settle_stray(&job, &stray, entry).await
            }
        }
    }

    /// Looks at it. Returns a client if it is still running: only a run that was just identified is ever cancelled.
    async fn look(&self, stray: &Stray) -> Result<(StrayState, Option<Arc<Client>>)> {
        let Some(controller) = self.shared.templates.controller(&stray.tenant, &stray.controller).await? else {
            return Ok((StrayState::Untold, None));
        };
        let key = (controller.tenant.clone(), controller.name.clone());
        if !self.shared.breaker.admits(&key, Instant::now()) {
            return Ok((StrayState::Untold, None));
        }
        let client = self.shared.controllers.client(&controller, &format!("stop {}", stray.job)).await?;
        let run = stray.run.to_ref();
        let found = client.run(run).await;
        if self.shared.breaker.note(&key, &found) && found.as_ref().is_err_and(AwxError::is_credential) {
            self.shared.controllers.forget(&client);
        }
        let under = match found {
            Ok(row) if stray.run.is_shown_by(&row, None) => match row.status.is_end() {
                true => UnderId::Ended(row.status.as_str()),
                false => UnderId::Itself,
            },
            Ok(_) => UnderId::Another,
            Err(AwxError::NotFound { .. }) => UnderId::Nothing,
            Err(error) => {
                tracing::warn!(job = stray.job, run = run.id, %error, "the stray run cannot be read");
                return Ok((StrayState::Untold, None));
            }
        };
        let is_there = match under {
            UnderId::Itself | UnderId::Ended(_) => true,
            UnderId::Another | UnderId::Nothing => {
                let here = client.installation(Ask::Afresh).await;
                here.is_ok_and(|here| here.is_same(&stray.run.installation))
            }
        };
        Ok((StrayState::of(under, is_there), (under == UnderId::Itself).then_some(client)))
    }
}
