//! Where the services of a system of many processes are, and how each of them is started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use runwarden_kit::mesh::pki::DevCa;
use runwarden_kit::mesh::{Service, TlsFiles};
use tempfile::TempDir;

use crate::balancer::Balancer;
use crate::ports::Port;
use crate::reach::{Reach, TRUST_DOMAIN};
use crate::recipe::Recipe;
use crate::system::Settings;

/// The operator's name in the certificate.
const OPERATOR: &str = "tester";

/// Folders, ports and certificates of a system in which every service is a process of its own, and the executor one
/// or several.
pub(crate) struct Layout {
    settings: Settings,
    ports: BTreeMap<Service, Port>,
    admin: Port,
    /// The executors', when there are several; the others know the balancer in front of them only.
    executors: Vec<Port>,
    _balancer: Option<Balancer>,
    certificates: BTreeMap<Service, TlsFiles>,
    reach: Reach,
    folder: TempDir,
}

impl Layout {
    /// Lays out a system with this many executors on one jobs file. The programs are those beside the one that the
    /// settings name.
    pub(crate) fn new(settings: &Settings, executors: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let domain = TRUST_DOMAIN.parse().expect("a trust domain");
        let ca = DevCa::open(&folder.path().join("pki"), domain).expect("an authority");
        let certificate = |service: &Service| (*service, ca.service(*service).expect("a certificate"));
        let ports: BTreeMap<Service, Port> = Service::ALL.iter().map(|service| (*service, Port::take())).collect();
        let admin = Port::take();
        let executors: Vec<Port> =
            if executors > 1 { (0..executors).map(|_| Port::take()).collect() } else { Vec::new() };
        let address = |service: &Service| ports.get(service).expect("every service has a port").address();
        let balancer = (!executors.is_empty())
            .then(|| Balancer::start(address(&Service::Executor), executors.iter().map(Port::address).collect()));
        let reach = Reach {
            base_url: format!("http://{}", address(&Service::Edge)),
            admin_base_url: format!("http://{}", admin.address()),
            grpc: Service::WITH_GRPC.iter().map(|service| (*service, address(service).to_string())).collect(),
            operator: ca.operator(OPERATOR).expect("a certificate"),
            operator_name: OPERATOR.to_owned(),
            bootstrap: folder.path().join("auth").join("bootstrap.json"),
        };
        Self {
            settings: settings.clone(),
            certificates: Service::ALL.iter().map(certificate).collect(),
            ports,
            admin,
            executors,
            _balancer: balancer,
            reach,
            folder,
        }
    }

    /// How it is reached.
    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The folder of it all.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where a service keeps its state.
    pub(crate) fn data(&self, service: Service) -> PathBuf {
        self.folder.path().join(service.name())
    }

    /// Every process by its name, with how it is started: `edge`, `auth`, …, `executor` or `executor-1`, `executor-2`.
    pub(crate) fn recipes(&self) -> BTreeMap<String, Recipe> {
        let mut recipes = BTreeMap::new();
        for service in Service::ALL {
            if *service != Service::Executor || self.executors.is_empty() {
                recipes.insert(service.name().to_owned(), self.recipe(*service));
            }
        }
        for (number, port) in (1..).zip(&self.executors) {
            let name = format!("{}-{number}", Service::Executor);
            recipes.insert(name.clone(), self.executor(&name, port));
        }
        recipes
    }

    /// How a service is started that is one process.
    pub(crate) fn recipe(&self, service: Service) -> Recipe {
        let own = self.ports.get(&service).expect("every service has a port").address().to_string();
        let mut recipe = self.base(service, &self.data(service));
        let mut set = |name: &str, value: String| recipe.variables.push((name.to_owned(), value));
        match service {
            Service::Edge => {
                set("RUNWARDEN_EDGE_LISTEN", own);
                set("RUNWARDEN_EDGE_ADMIN_LISTEN", self.admin.address().to_string());
            }
            Service::Auth
            | Service::Policy
            | Service::Project
            | Service::Secret
            | Service::Audit
            | Service::Executor
            | Service::Hook => set("RUNWARDEN_GRPC_LISTEN", own),
        }
        recipe
    }

    /// One of several executors: a folder and an address of its own, and the jobs of them all.
    fn executor(&self, name: &str, port: &Port) -> Recipe {
        let mut recipe = self.base(Service::Executor, &self.folder.path().join(name));
        let jobs = self.folder.path().join("jobs.db").display().to_string();
        recipe.variables.push(("RUNWARDEN_EXECUTOR_JOBS_FILE".to_owned(), jobs));
        recipe.variables.push(("RUNWARDEN_GRPC_LISTEN".to_owned(), port.address().to_string()));
        recipe
    }

    fn base(&self, service: Service, data: &Path) -> Recipe {
        let tls = self.certificates.get(&service).expect("every service has a certificate");
        let path = |path: &Path| path.display().to_string();
        let mut variables = self.settings.variables.clone();
        let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
        set("RUNWARDEN_DATA_DIR", path(data));
        set("RUNWARDEN_TLS_CERTIFICATE", path(&tls.certificate));
        set("RUNWARDEN_TLS_KEY", path(&tls.key));
        set("RUNWARDEN_TLS_CA", path(&tls.ca));
        for (service, address) in &self.reach.grpc {
            set(&format!("RUNWARDEN_{}_ADDRESS", service.name().to_uppercase()), address.clone());
        }
        set("RUNWARDEN_AUTH_ISSUER", self.reach.base_url.clone());
        let program = self.settings.program.with_file_name(format!("runwarden-{service}"));
        Recipe { program, arguments: Vec::new(), variables }
    }
}
