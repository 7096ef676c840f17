//! Whether everything a request needs is there: the services' own reports.

use std::time::{Duration, Instant};

use futures::future::join_all;
use runwarden_kit::service::NOTES;
use runwarden_kit::trust::Trust;
use tokio::sync::Mutex;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::ports::Ports;

/// How long a service may take to report.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a report is reused, so that probes from outside cost nothing inside.
const REUSED_FOR: Duration = Duration::from_secs(1);

/// The services' reports of their own health, remembered for a second.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Option<(Instant, Reports)>>);

/// What the services report of themselves.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    /// Those that cannot be reached or cannot serve.
    pub missing: Vec<&'static str>,
    /// What the others mention, each with the service's name.
    pub notes: Vec<String>,
}

impl Readiness {
    /// What they report, at most a second old.
    pub async fn reports(&self, ports: &Ports, trust: &Trust) -> Reports {
        // The lock is held while asking, so that many probes ask once; it is an async one for that reason.
        let mut last = self.0.lock().await;
        if let Some((at, reports)) = last.as_ref()
            && at.elapsed() < REUSED_FOR
        {
            return reports.clone();
        }
        let asked = ports.health().map(|(name, mut client)| async move {
            let request = HealthCheckRequest { service: String::new() };
            match tokio::time::timeout(PATIENCE, client.check(request)).await {
                Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => {
                    Ok(answer.metadata().get(NOTES).and_then(|note| note.to_str().ok()).map(|n| format!("{name}: {n}")))
                }
                _ => Err(name),
            }
        });
        let mut reports = Reports::default();
        for answer in join_all(asked).await {
            match answer {
                Ok(note) => reports.notes.extend(note),
                Err(name) => reports.missing.push(name),
            }
        }
        if !trust.is_ready() {
            reports.missing.push("trust");
        }
        *last = Some((Instant::now(), reports.clone()));
        reports
    }
}
