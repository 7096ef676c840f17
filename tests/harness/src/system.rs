//! All services in one process: `runwarden up`, as anybody starts it.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use runwarden_kit::mesh::{Service, TlsFiles};
use serde_json::Value;
use tempfile::TempDir;

use crate::log::Log;
use crate::ports::Port;
use crate::process::{Allowed, Process, Signal};
use crate::reach::Reach;
use crate::recipe::Recipe;

/// How a system is started.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) program: PathBuf,
    pub(crate) variables: Vec<(String, String)>,
    stays: bool,
}

impl Settings {
    /// The defaults, without limits on how often one may call: tests are faster than callers should be.
    #[must_use]
    pub fn new(program: &str) -> Self {
        let settings = Self { program: program.into(), variables: Vec::new(), stays: false };
        settings.set("RUNWARDEN_EDGE_PRINCIPAL_RATE", "0").set("RUNWARDEN_EDGE_ADDRESS_RATE", "0")
    }

    /// With a setting, by its environment variable.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a setting, by its environment variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(set, _)| set != name);
        self
    }

    /// With listeners on ports of its own, so that it is where it was when it is started again.
    #[must_use]
    pub fn that_stays(mut self) -> Self {
        self.stays = true;
        self
    }

    /// With an executor that concludes from silence within seconds.
    #[must_use]
    pub fn impatient(self) -> Self {
        self.set("RUNWARDEN_EXECUTOR_CONTROLLER_REQUEST_TIME", "3s")
            .set("RUNWARDEN_EXECUTOR_CLOCK_SKEW", "1s")
            .set("RUNWARDEN_EXECUTOR_LAUNCH_TIMEOUT", "2s")
    }
}

/// A system in one process.
pub struct System {
    // Before the folder: the process ends first.
    process: Process,
    settings: Settings,
    ports: Vec<Port>,
    allowed: Allowed,
    logs: Vec<Log>,
    reach: Reach,
    folder: TempDir,
}

impl System {
    /// Starts one on new data.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(settings: &Settings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports = if settings.stays { vec![Port::take(), Port::take()] } else { Vec::new() };
        let allowed = Allowed::default();
        let mut process = recipe(settings, &ports, folder.path()).start(&allowed);
        process.ready().await;
        let reach = reach(&folder.path().join("data"));
        let logs = vec![process.log().clone()];
        Self { process, settings: settings.clone(), ports, allowed, logs, reach, folder }
    }

    /// How it is reached.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder beside its data, for what a test writes.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Everything that it has written in all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        self.logs.iter().map(Log::text).collect::<Vec<_>>().join("\n")
    }

    /// Lines at level ERROR with this in them are expected.
    pub fn allow_error(&self, part: &str) {
        self.allowed.allow(part);
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it.
    pub async fn end(&mut self, signal: Signal) {
        self.process.end(signal).await;
    }

    /// Starts it again on the same data.
    pub async fn start_again(&mut self) {
        self.process = recipe(&self.settings, &self.ports, self.folder.path()).start(&self.allowed);
        self.logs.push(self.process.log().clone());
        self.process.ready().await;
        self.reach = reach(&self.data());
    }

    /// Starts it again on the same data, and waits until it ends by itself.
    pub async fn start_to_end(&mut self) -> ExitStatus {
        self.process = recipe(&self.settings, &self.ports, self.folder.path()).start(&self.allowed);
        self.logs.push(self.process.log().clone());
        self.process.ended().await
    }

    /// Changes a setting for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.variables.retain(|(set, _)| set != name);
        self.settings.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Ends it and starts it again.
    pub async fn restart(&mut self, signal: Signal) {
        self.end(signal).await;
        self.start_again().await;
    }
}

/// How it is started on the data in this folder.
pub(crate) fn recipe(settings: &Settings, ports: &[Port], folder: &Path) -> Recipe {
    let data = folder.join("data").display().to_string();
    let listen = |at: usize| ports.get(at).map_or_else(|| "127.0.0.1:0".to_owned(), |port| port.address().to_string());
    let arguments = ["up", "--data-dir", &data, "--listen", &listen(0), "--admin-listen", &listen(1)];
    Recipe {
        program: settings.program.clone(),
        arguments: arguments.map(str::to_owned).to_vec(),
        variables: settings.variables.clone(),
    }
}

/// Reads where a started system is.
pub(crate) fn reach(data: &Path) -> Reach {
    let about = std::fs::read(data.join("runwarden.json")).expect("runwarden.json is there when it is ready");
    let about: Value = serde_json::from_slice(&about).expect("runwarden.json is JSON");
    let text =
        |pointer: &str| about.pointer(pointer).and_then(Value::as_str).expect("runwarden.json is whole").to_owned();
    let address = |service: &Service| (*service, text(&format!("/grpc/{service}")));
    Reach {
        base_url: text("/base_url"),
        admin_base_url: text("/admin_base_url"),
        grpc: Service::WITH_GRPC.iter().map(address).collect(),
        operator: TlsFiles {
            certificate: text("/operator_certificate").into(),
            key: text("/operator_key").into(),
            ca: text("/ca").into(),
        },
        operator_name: "admin".to_owned(),
        bootstrap: data.join("bootstrap.json"),
    }
}
