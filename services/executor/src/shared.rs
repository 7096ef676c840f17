//! What everybody who works on jobs works with.

use std::sync::Arc;

use runwarden_kit::audit::Bell;
use runwarden_kit::clock::Clock;

use crate::breaker::Breaker;
use crate::controllers::Controllers;
use crate::failpoint::Failpoint;
use crate::live::Live;
use crate::ports::Templates;
use crate::store::JobStore;
use crate::wait::limits::Known;
use crate::work::WorkBell;

/// What everybody who works on jobs works with. Clones share all of it.
#[derive(Clone)]
pub struct Shared {
    /// Where jobs live.
    pub store: Arc<dyn JobStore>,
    /// What may be run, and where controllers are.
    pub templates: Arc<dyn Templates>,
    /// Clients for controllers.
    pub controllers: Arc<Controllers>,
    /// Which controllers are left alone.
    pub breaker: Breaker,
    /// What limits templates, as far as it is known.
    pub known: Arc<Known>,
    /// Where a test has the process die.
    pub failpoint: Failpoint,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Wakes the callers that wait for a job.
    pub live: Live,
    /// Rings when a job is due, or ended so that another may begin.
    pub work: WorkBell,
    /// Rings when a job was bound or is to be stopped.
    pub watch: WorkBell,
    /// Rings when audit entries wait.
    pub bell: Bell,
    /// Where callers reach the public listener, without a slash at the end; empty if it is not known.
    pub public_url: Arc<str>,
}
