//! Every service as a process of its own, as in a real deployment: certificates, fixed addresses, the network between.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use runwarden_kit::mesh::pki::DevCa;
use runwarden_kit::mesh::{Service, TlsFiles};
use tempfile::TempDir;

use crate::api::Api;
use crate::ports::Port;
use crate::process::{Allowed, Process, Signal};
use crate::reach::{Reach, TRUST_DOMAIN};
use crate::system::Settings;

/// The operator's name in the certificate.
const OPERATOR: &str = "tester";

/// A system of seven processes.
pub struct Apart {
    // Before the folder: the processes end first.
    processes: BTreeMap<Service, Process>,
    settings: Settings,
    ports: BTreeMap<Service, Port>,
    admin: Port,
    certificates: BTreeMap<Service, TlsFiles>,
    allowed: Allowed,
    reach: Reach,
    folder: TempDir,
}

impl Apart {
    /// Starts all services on new data. The programs are those beside the one that the settings name.
    ///
    /// # Panics
    /// When one does not start.
    pub async fn start(settings: &Settings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let domain = TRUST_DOMAIN.parse().expect("a trust domain");
        let ca = DevCa::open(&folder.path().join("pki"), domain).expect("an authority");
        let certificate = |service: &Service| (*service, ca.service(*service).expect("a certificate"));
        let ports: BTreeMap<Service, Port> = Service::ALL.iter().map(|service| (*service, Port::take())).collect();
        let admin = Port::take();
        let address = |service: &Service| ports.get(service).expect("every service has a port").address().to_string();
        let reach = Reach {
            base_url: format!("http://{}", address(&Service::Edge)),
            admin_base_url: format!("http://{}", admin.address()),
            grpc: Service::WITH_GRPC.iter().map(|service| (*service, address(service))).collect(),
            operator: ca.operator(OPERATOR).expect("a certificate"),
            operator_name: OPERATOR.to_owned(),
            bootstrap: folder.path().join("auth").join("bootstrap.json"),
        };
        let mut apart = Self {
            processes: BTreeMap::new(),
            settings: settings.clone(),
            certificates: Service::ALL.iter().map(certificate).collect(),
            ports,
            admin,
            allowed: Allowed::default(),
            reach,
            folder,
        };
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
        &self.reach
    }

    /// A folder beside its data, for what a test writes.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Where a service keeps its state.
    #[must_use]
    pub fn data(&self, service: Service) -> PathBuf {
        self.folder.path().join(service.name())
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
        let nobody = Api::anonymous(&self.reach.base_url);
        crate::until("all services to be ready", async || {
            (nobody.get("/api/v1/health/ready").await.status == 200).then_some(())
        })
        .await;
    }

    fn spawn(&mut self, service: Service) {
        let program = self.settings.program.with_file_name(format!("runwarden-{service}"));
        let process = Process::start(&program, &[], &self.variables(service), self.allowed.clone());
        self.processes.insert(service, process);
    }

    fn variables(&self, service: Service) -> Vec<(String, String)> {
        let tls = self.certificates.get(&service).expect("every service has a certificate");
        let path = |path: &Path| path.display().to_string();
        let own = self.ports.get(&service).expect("every service has a port").address().to_string();
        let mut variables = self.settings.variables.clone();
        let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
        set("RUNWARDEN_DATA_DIR", path(&self.data(service)));
        set("RUNWARDEN_TLS_CERTIFICATE", path(&tls.certificate));
        set("RUNWARDEN_TLS_KEY", path(&tls.key));
        set("RUNWARDEN_TLS_CA", path(&tls.ca));
        for (service, address) in &self.reach.grpc {
            set(&format!("RUNWARDEN_{}_ADDRESS", service.name().to_uppercase()), address.clone());
        }
        match service {
            Service::Edge => {
                set("RUNWARDEN_EDGE_LISTEN", own);
                set("RUNWARDEN_EDGE_ADMIN_LISTEN", self.admin.address().to_string());
            }
            _ => set("RUNWARDEN_GRPC_LISTEN", own),
        }
        set("RUNWARDEN_AUTH_ISSUER", self.reach.base_url.clone());
        variables
    }
}
