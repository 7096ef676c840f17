//! What a service is made of and how one runs by itself: the frame around `build` that `main.rs` and the all-in-one
//! process share.

mod health;
mod listen;
mod notes;
mod parts;
mod process;
mod standalone;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use listen::listen_address;
pub use notes::{NOTES, Notes};
pub use parts::{Parts, serve};
pub use process::run_process;
pub use standalone::{StandaloneArgs, standalone};

use crate::audit::{MeshRecorder, Recorder};
use crate::clock::{Clock, SystemClock};
use crate::lifecycle::{Shutdown, Tasks};
use crate::mesh::{Peers, Service};
use crate::trust::Trust;

/// How long a stopping process waits for its tasks.
pub const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What every service gets handed when it is built.
#[derive(Clone)]
pub struct ServiceKit {
    /// Which service this is.
    pub service: Service,
    /// The others, and itself.
    pub peers: Peers,
    /// Verifies callers.
    pub trust: Arc<Trust>,
    /// Makes audit entries durable at once.
    pub recorder: Arc<dyn Recorder>,
    /// Its background tasks.
    pub tasks: Tasks,
    /// Where its state lives; exists, and only its owner can enter it.
    pub data_dir: PathBuf,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// What its health mentions although it serves.
    pub notes: Notes,
}

impl ServiceKit {
    /// A kit over the mesh. Starts the task that keeps the trust state fresh.
    ///
    /// # Errors
    /// When the data folder cannot be made, or `auth` or `audit` have no address.
    pub fn new(service: Service, peers: Peers, tasks: Tasks, data_dir: &Path) -> anyhow::Result<Self> {
        crate::private_file::make_folder(data_dir)?;
        let trust = Trust::from_auth(peers.channel(Service::Auth)?);
        tasks.spawn(format!("{service}: trust"), trust.clone().keep_renewed(tasks.shutdown().clone()));
        Ok(Self {
            service,
            trust,
            recorder: MeshRecorder::new(peers.channel(Service::Audit)?),
            peers,
            tasks,
            data_dir: data_dir.to_owned(),
            clock: Arc::new(SystemClock),
            notes: Notes::default(),
        })
    }

    /// The shutdown signal.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        self.tasks.shutdown()
    }

    /// The outbox in this store. Starts the task that hands over what waits in it; what an operator should look at
    /// becomes a note in the service's health.
    pub fn outbox(&self, store: Arc<dyn crate::audit::OutboxStore>) -> crate::audit::Outbox {
        let outbox = crate::audit::Outbox::new(store);
        self.tasks.spawn(
            format!("{}: audit outbox", self.service),
            crate::audit::drain(self.service, outbox.clone(), self.recorder.clone(), self.shutdown().clone()),
        );
        let noted = outbox.clone();
        self.notes.add("audit outbox", move || noted.note());
        outbox
    }
}
