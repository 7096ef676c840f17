//! Every service as a process of its own, as in a real deployment: certificates, fixed addresses, the network between.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use runwarden_kit::mesh::Service;

use crate::api::Api;
use crate::layout::Layout;
use crate::process::{Allowed, Process, Signal};
use crate::reach::Reach;
use crate::system::Settings;

/// A system with a process for each service.
pub struct Apart {
    // Before the folder: the processes end first.
    processes: BTreeMap<Service, Process>,
    allowed: Allowed,
    layout: Layout,
}

impl Apart {
    /// Starts all services on new data. The programs are those beside the one that the settings name.
    ///
    /// # Panics
    /// When one does not start.
    pub async fn start(settings: &Settings) -> Self {
        let mut apart =
            Self { processes: BTreeMap::new(), allowed: Allowed::default(), layout: Layout::new(settings, 1) };
        for service in Service::ALL {
            apart.spawn(*service);
        }
        for process in apart.processes.values_mut() {
            process.ready().await;
        }
        apart.whole().await;
        apart
    }

    /// How it is reached.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        self.layout.reach()
    }

    /// A folder beside its data, for what a test writes.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.layout.folder()
    }

    /// Where a service keeps its state.
    #[must_use]
    pub fn data(&self, service: Service) -> PathBuf {
        self.layout.data(service)
    }

    /// Lines at level ERROR with this in them are expected.
    pub fn allow_error(&self, part: &str) {
        self.allowed.allow(part);
    }

    /// Takes a service away.
    pub async fn end(&mut self, service: Service, signal: Signal) {
        if let Some(mut process) = self.processes.remove(&service) {
            process.end(signal).await;
        }
    }

    /// Brings a service back, with its data, where it was.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn bring_back(&mut self, service: Service) {
        self.spawn(service);
        self.processes.get_mut(&service).expect("it was just started").ready().await;
    }

    /// Waits until everything is there.
    pub async fn whole(&self) {
        let nobody = Api::anonymous(&self.reach().base_url);
        crate::until("all services to be ready", async || {
            (nobody.get("/api/v1/health/ready").await.status == 200).then_some(())
        })
        .await;
    }

    fn spawn(&mut self, service: Service) {
        self.processes.insert(service, self.layout.recipe(service).start(&self.allowed));
    }
}
