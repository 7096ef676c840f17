//! Stand-ins for the secret service and for the executor's access to controllers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runwarden_kit::contract::TemplateKind;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use serde_json::json;
use tokio::sync::watch;

use crate::controller::Controller;
use crate::port::{Account, ControllerAccess, Description, Login, Look, Offer, Offers, SecretKeeper};

#[derive(Default)]
pub(crate) struct FakeSecrets {
    kept: Mutex<BTreeMap<String, Vec<u8>>>,
    failing: Mutex<Option<Error>>,
}

impl FakeSecrets {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What is kept, as `tenant/name` and text.
    pub(crate) fn kept(&self) -> BTreeMap<String, String> {
        let kept = self.kept.lock().unwrap();
        kept.iter().map(|(name, value)| (name.clone(), String::from_utf8(value.clone()).unwrap())).collect()
    }

    pub(crate) fn fail_with(&self, error: Option<Error>) {
        *self.failing.lock().unwrap() = error;
    }

    fn check(&self) -> Result<()> {
        self.failing.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl SecretKeeper for FakeSecrets {
    async fn put(&self, tenant: &TenantId, name: &str, value: &[u8]) -> Result<()> {
        self.check()?;
        self.kept.lock().unwrap().insert(format!("{tenant}/{name}"), value.to_vec());
        Ok(())
    }

    async fn delete(&self, tenant: &TenantId, name: &str) -> Result<()> {
        self.check()?;
        self.kept.lock().unwrap().remove(&format!("{tenant}/{name}"));
        Ok(())
    }
}

pub(crate) struct FakeAccess {
    offer: Mutex<Offer>,
    failing: Mutex<Option<Error>>,
    /// Calls wait while this is true.
    held: watch::Sender<bool>,
    /// How many calls have arrived.
    calls: watch::Sender<usize>,
    /// What was tried: address and login.
    pub(crate) checked: Mutex<Vec<(String, String)>>,
}

impl FakeAccess {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            offer: Mutex::new(deploy()),
            failing: Mutex::default(),
            held: watch::Sender::new(false),
            calls: watch::Sender::new(0),
            checked: Mutex::default(),
        })
    }

    /// Changes what the controller offers.
    pub(crate) fn offer(&self, change: impl FnOnce(&mut Offer)) {
        change(&mut self.offer.lock().unwrap());
    }

    pub(crate) fn fail_with(&self, error: Option<Error>) {
        *self.failing.lock().unwrap() = error;
    }

    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Waits until so many calls have arrived in all.
    pub(crate) async fn arrived(&self, calls: usize) {
        self.calls.subscribe().wait_for(|arrived| *arrived >= calls).await.unwrap();
    }

    async fn pass(&self) -> Result<()> {
        self.calls.send_modify(|calls| *calls += 1);
        self.held.subscribe().wait_for(|held| !held).await.map_err(Error::internal)?;
        self.failing.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

/// A job template with a survey of one required question, which also prompts for `limit`.
fn deploy() -> Offer {
    let survey = json!({
        "type": "object",
        "properties": { "env": { "type": "string", "enum": ["dev", "prod"] }, "note": { "type": "string" } },
        "required": ["env"],
        "additionalProperties": false,
    });
    Offer {
        kind: TemplateKind::Job,
        id: 7,
        name: "deploy".to_owned(),
        description: "Deploys.".to_owned(),
        prompts: vec!["limit".to_owned()],
        survey_enabled: true,
        survey_schema: survey.to_string(),
        fingerprint: "a".repeat(64),
        fingerprint_parts: r#"{"playbook":"deploy.yml"}"#.to_owned(),
        problems: Vec::new(),
        obstacles: Vec::new(),
        organization: "Default".to_owned(),
        request_questions: Vec::new(),
        request_misfits: Vec::new(),
    }
}

#[async_trait]
impl ControllerAccess for FakeAccess {
    async fn check(&self, controller: &Controller, login: Login<'_>) -> Result<Account> {
        let login = match login {
            Login::Given(credential) => String::from_utf8(credential.to_stored().to_vec()).unwrap(),
            Login::Stored(name) => name.to_owned(),
        };
        self.checked.lock().unwrap().push((controller.url.clone(), login));
        self.pass().await?;
        Ok(Account { product: "AWX".to_owned(), version: "24.6.1".to_owned(), id: 5, name: "runwarden".to_owned() })
    }

    async fn browse(&self, _: &Controller, _: i32, token: &str) -> Result<Offers> {
        self.pass().await?;
        Ok(Offers { items: vec![self.offer.lock().unwrap().clone()], next: format!("{token}next") })
    }

    async fn describe(&self, _: &Controller, _: TemplateKind, _: i64, look: Look<'_>) -> Result<Description> {
        self.pass().await?;
        let offer = self.offer.lock().unwrap().clone();
        let drifted = !look.fingerprint.is_empty() && look.fingerprint != offer.fingerprint;
        let drift = if drifted { vec!["the playbook changed".to_owned()] } else { Vec::new() };
        let taken = json!({ "limit": { "type": "string" } }).to_string();
        Ok(Description { offer, taken, fixed_problems: Vec::new(), drift })
    }
}
