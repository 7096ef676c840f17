//! All services in one process: the same services, mesh and certificates as apart, on loopback.

mod addresses;
mod certificates;
mod drop_in;
pub(crate) mod layout;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use runwarden_kit::lifecycle::{Shutdown, Tasks};
use runwarden_kit::mesh::{self, MeshTls, Peer, Peers, Service};
use runwarden_kit::service::{self, Parts, ServiceKit, run_process};

use crate::cli::Up;
use crate::terminal::announce;
#[cfg(feature = "demo")]
pub(crate) use addresses::prefer;
pub(crate) use drop_in::Failpoint;
use drop_in::{DropIn, Environment, log_level};
pub(crate) use layout::Layout;

/// How long the services may take to find each other.
const START_LIMIT: Duration = Duration::from_secs(30);

/// `runwarden up`.
pub(crate) fn main(mut settings: Up) -> ExitCode {
    let mut telemetry = settings.telemetry.clone();
    if let Some(level) = log_level(|name| std::env::var(name).ok()).filter(|_| !settings.given.contains("log")) {
        level.clone_into(&mut telemetry.log);
    }
    run_process("runwarden", &telemetry, move |tasks| async move {
        say_when_stopping(&tasks);
        let replaced = Environment::read(|name| std::env::var(name).ok())?;
        if let Some(replaced) = &replaced {
            let given = std::mem::take(&mut settings.given);
            replaced.apply(&mut settings, &given)?;
            replaced.warnings().iter().for_each(announce);
        }
        let data_dir = data_folder(settings.data_dir.clone(), |name| std::env::var_os(name))?;
        let running = Box::pin(start(settings, replaced, Layout::open(&data_dir)?, &tasks, |_| {})).await?;
        announce(format_args!(
            "runwarden is ready on {}, admin on {}, data in {}",
            running.base_url,
            running.admin_base_url,
            data_dir.display()
        ));
        Ok(())
    })
}

/// Says that the shutdown signal was received, and what else one can do: an orderly stop takes a moment.
pub(crate) fn say_when_stopping(tasks: &Tasks) {
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("shutdown notice", async move {
        shutdown.begun().await;
        if shutdown.failure().is_none() {
            announce("stopping; Ctrl-C again stops at once");
        }
    });
}

/// Where the state lives. Unless it is said, at a place that does not depend on where one is: a second start from
/// another folder must not begin with nothing.
fn data_folder(
    given: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> anyhow::Result<PathBuf> {
    let set = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let shared = || set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local").join("share")));
    given
        .or_else(|| Some(shared()?.join("runwarden")))
        .context("say where all state lives with --data-dir: there is no default, because HOME is not set")
}

/// Where a started system is reached.
pub(crate) struct Running {
    /// The public listener.
    pub(crate) base_url: String,
    /// The admin listener.
    pub(crate) admin_base_url: String,
    /// The services' gRPC addresses.
    pub(crate) grpc: BTreeMap<Service, String>,
    /// Where everything is.
    pub(crate) layout: Layout,
}

/// Starts everything on a data folder, and stands in for the program whose environment is given. `progress` hears the name
/// of each part as it is up.
pub(crate) async fn start(
    mut settings: Up,
    replaced: Option<Environment>,
    layout: Layout,
    tasks: &Tasks,
    progress: impl Fn(&str),
) -> anyhow::Result<Running> {
    layout.withdraw_runwarden_json()?;
    let certificates = certificates::Certificates::open(&layout, settings.trust_domain.clone())?;
    let mut listeners = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for service in Service::WITH_GRPC {
        let listener = mesh::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        addresses.insert(*service, listener.local_addr()?.to_string());
        listeners.insert(*service, listener);
    }
    let kit = |service: Service| -> anyhow::Result<ServiceKit> {
        let files = certificates.service(service)?;
        let tls = MeshTls::load(files, settings.trust_domain.clone(), Peer::Service(service))?;
        tasks.spawn(
            format!("{service}: certificate"),
            tls.clone().keep_reloaded(Duration::from_secs(5), tasks.shutdown().clone()),
        );
        ServiceKit::new(service, Peers::new(tls, addresses.clone()), tasks.clone(), &layout.service(service))
    };

    // The edge first: tokens name the address that it is reached at.
    (settings.edge.listen, settings.edge.admin_listen) =
        addresses::keep(&layout, settings.edge.listen, settings.edge.admin_listen);
    let edge_kit = kit(Service::Edge)?;
    let edge = runwarden_edge::build(settings.edge, &edge_kit).await?;
    settings.auth.issuer = edge.base_url().to_owned();
    settings.executor.executor_public_url = edge.base_url().to_owned();
    settings.auth.bootstrap_file.get_or_insert_with(|| layout.bootstrap_file());
    settings.executor.executor_allow_plain_http_controllers |= settings.project.allow_plain_http_controllers;

    let mut kits = vec![edge_kit.clone()];
    for service in [
        Service::Audit,
        Service::Auth,
        Service::Secret,
        Service::Policy,
        Service::Project,
        Service::Executor,
        Service::Hook,
    ] {
        let kit = kit(service)?;
        let parts: Parts = match service {
            Service::Audit => runwarden_audit::build(settings.audit.clone(), &kit).await,
            Service::Auth => runwarden_auth::build(settings.auth.clone(), &kit).await,
            Service::Secret => runwarden_secret::build(settings.secret.clone(), &kit).await,
            Service::Policy => runwarden_policy::build(settings.policy.clone(), &kit).await,
            Service::Project => runwarden_project::build(settings.project.clone(), &kit).await,
            Service::Executor => runwarden_executor::build(settings.executor.clone(), &kit).await,
            Service::Hook => runwarden_hook::build(settings.hook.clone(), &kit).await,
            Service::Edge => continue,
        }
        .with_context(|| format!("starting {service}"))?;
        let listener = listeners.remove(&service).with_context(|| format!("{service} has no listener"))?;
        service::serve(&kit, listener, parts).await?;
        kits.push(kit);
        progress(service.name());
    }
    wait_until_ready(&kits).await?;
    if let Some(environment) = replaced {
        let domain = settings.trust_domain.clone();
        let tls = MeshTls::load(certificates.operator()?, domain, certificates::operator_peer())?;
        let drop_in = DropIn {
            environment,
            peers: Peers::new(tls, addresses.clone()),
            bootstrap: settings.auth.bootstrap_file.clone().unwrap_or_else(|| layout.bootstrap_file()),
            folder: layout.path(""),
            failpoint: settings.up_failpoint.clone(),
        };
        if let Some(rest) = drop_in.begin(tasks.shutdown().clone()).await? {
            tasks.spawn("standing in", rest);
        }
    }
    let running = Running {
        base_url: edge.base_url().to_owned(),
        admin_base_url: edge.admin_base_url(),
        grpc: addresses,
        layout,
    };
    addresses::remember(&running.layout, edge.public_address(), edge.admin_address())?;
    edge.start(&edge_kit);
    running.layout.write_runwarden_json(&running, &certificates)?;
    tasks.spawn("runwarden.json", withdraw(running.layout.clone(), tasks.shutdown().clone()));
    tasks.spawn("certificates", certificates.keep_renewed(tasks.shutdown().clone()));
    progress(Service::Edge.name());
    Ok(running)
}

/// Takes `runwarden.json` away as soon as stopping begins.
async fn withdraw(layout: Layout, shutdown: Shutdown) {
    shutdown.begun().await;
    if let Err(error) = layout.withdraw_runwarden_json() {
        tracing::error!(error = format!("{error:#}"), "runwarden.json could not be removed");
    }
}

/// Waits until every service can verify callers: then each has reached auth, and the mesh stands.
async fn wait_until_ready(kits: &[ServiceKit]) -> anyhow::Result<()> {
    let ready = async {
        while let Some(waiting) = kits.iter().find(|kit| !kit.trust.is_ready()) {
            if waiting.shutdown().has_begun() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(START_LIMIT, ready).await.context("the services did not find each other in time")
}

#[cfg(test)]
mod tests {
    use super::data_folder;
    use std::path::Path;

    #[test]
    fn the_data_folder_does_not_depend_on_where_one_is() {
        let with = |given: Option<&str>, set: &'static [(&str, &str)]| {
            data_folder(given.map(Into::into), move |name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
            })
        };
        assert_eq!(with(Some("here"), &[("HOME", "/h")]).unwrap(), Path::new("here"));
        assert_eq!(with(None, &[("HOME", "/h")]).unwrap(), Path::new("/h/.local/share/runwarden"));
        assert_eq!(with(None, &[("HOME", "/h"), ("XDG_DATA_HOME", "/d")]).unwrap(), Path::new("/d/runwarden"));
        assert_eq!(
            with(None, &[("HOME", "/h"), ("XDG_DATA_HOME", "d")]).unwrap(),
            Path::new("/h/.local/share/runwarden")
        );
        assert!(with(None, &[]).unwrap_err().to_string().contains("--data-dir"));
    }
}
