//! Values never show: not in the log at its loudest, not in errors, not in the audit log, not on disk.
//!
//! Alone in its binary, because it takes over the log of the whole process.

mod house;

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use house::{House, refused};
use runwarden_kit::caller::Scope;
use runwarden_kit::mesh::Service;
use runwarden_kit::tenant::TenantId;
use runwarden_proto::secret::v1::{
    OpenValueRequest, PutSecretRequest, ReadSecretRequest, RotateMasterKeyRequest, SealValueRequest,
};
use tracing_subscriber::fmt::MakeWriter;

/// Long, and a multiple of three, so that its base64 is a part of the base64 of whatever begins with it.
const VALUE: &str = "correct-horse-battery-staple-do-not-print-me-ever-again-";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The value as it may show itself.
fn disguises() -> Vec<Vec<u8>> {
    let bytes = VALUE.as_bytes();
    // Without the last letter, which may share its bits with what follows.
    let encoded = STANDARD_NO_PAD.encode(bytes);
    let list = format!("{bytes:?}");
    vec![
        bytes.to_vec(),
        encoded.get(..encoded.len() - 2).unwrap_or_default().as_bytes().to_vec(),
        hex::encode(bytes).into_bytes(),
        list.trim_matches(['[', ']']).as_bytes().to_vec(),
    ]
}

fn ensure_silent(what: &str, content: &[u8]) -> Result<()> {
    for disguise in disguises() {
        ensure!(disguise.len() > 40);
        ensure!(
            !content.windows(disguise.len()).any(|window| window == disguise),
            "{what} shows the value as {}",
            String::from_utf8_lossy(&disguise)
        );
    }
    Ok(())
}

fn ensure_silent_folder(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            ensure_silent_folder(&path)?;
        } else {
            ensure_silent(&path.display().to_string(), &std::fs::read(&path)?)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn values_never_show() -> Result<()> {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(log.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber)?;

    let house = House::new()?;
    let running = house.start().await?;
    let write = &["controllers.write"];
    let (mut project, mut executor) = (running.client(Service::Project)?, running.client(Service::Executor)?);
    let value = VALUE.as_bytes().to_vec();
    let put = |name: &str, value: Vec<u8>| PutSecretRequest { tenant: "acme".into(), name: name.into(), value };
    let read = |name: &str| ReadSecretRequest { tenant: "acme".into(), name: name.into(), purpose: "a test".into() };
    let mut errors = Vec::new();

    running
        .acting(write, Scope::tenant(&TenantId::trusted("acme")), project.put_secret(put("a", value.clone())))
        .await??;
    ensure!(executor.read_secret(read("a")).await?.into_inner().value == value);
    let seal = SealValueRequest { tenant: "acme".into(), plaintext: value.clone(), context: "job_1".into() };
    let sealed = executor.seal_value(seal.clone()).await?.into_inner().sealed;
    let open = OpenValueRequest {
        tenant: "acme".into(),
        sealed: sealed.clone(),
        context: "job_1".into(),
        purpose: "a test".into(),
    };
    ensure!(executor.open_value(open.clone()).await?.into_inner().plaintext == value);

    // Refused in every way there is, with the value along.
    for (scope, name, value) in [
        (Scope::tenant(&TenantId::trusted("acme")), "NO", value.clone()),
        (Scope::tenant(&TenantId::trusted("acme")), "a", VALUE.repeat(2000).into_bytes()),
        (Scope::tenant(&TenantId::trusted("other")), "a", value.clone()),
        (Scope::project(&TenantId::trusted("acme"), "web"), "a", value.clone()),
    ] {
        let answer = running.acting(write, scope, project.put_secret(put(name, value))).await?;
        errors.push(format!("{:?}", refused(answer)?));
    }
    errors.push(format!(
        "{:?}",
        refused(executor.seal_value(SealValueRequest { context: String::new(), ..seal }).await)?
    ));
    errors.push(format!("{:?}", refused(executor.open_value(OpenValueRequest { context: "x".into(), ..open }).await)?));
    running.recorder.set_down(true);
    errors.push(format!("{:?}", refused(executor.read_secret(read("a")).await)?));
    running.recorder.set_down(false);
    let call = running.operator()?.rotate_master_key(RotateMasterKeyRequest {}).await;
    errors.push(format!("{:?}", refused(call)?));
    running.recorded("secret.put", 1).await?;
    let entries = format!("{:?}", running.recorder.entries());
    running.stop().await?;

    let log = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // The log was on: it tells of the calls, at the loudest level.
    for told in ["ReadSecret", "OpenValue", "TRACE"] {
        ensure!(log.windows(told.len()).any(|window| window == told.as_bytes()), "the log does not tell of {told}");
    }
    ensure_silent("the log", &log)?;
    ensure_silent("an error", errors.join("\n").as_bytes())?;
    ensure_silent("the audit log", entries.as_bytes())?;
    ensure_silent_folder(&house.data_dir())?;
    // The search itself finds what is there.
    ensure!(ensure_silent("a test", format!("{:?}", VALUE.as_bytes()).as_bytes()).is_err());
    ensure!(ensure_silent("a test", STANDARD_NO_PAD.encode(format!("{VALUE}more")).as_bytes()).is_err());
    Ok(())
}
