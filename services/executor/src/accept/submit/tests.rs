//! Accepting, and answering again what was accepted.

use std::sync::Mutex;

use async_trait::async_trait;
use runwarden_kit::audit::{MAX_DETAILS, MemoryRecorder, Outbox};
use runwarden_kit::caller::Scope;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::token::Verifier;
use runwarden_kit::{ExposeSecret as _, SecretString, json};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::accept::options::Options;
use crate::job::Origin;
use crate::launch::authority::Principal;
use crate::ports::Templates;
use crate::ports::{Controller, Evaluation, Sealed};
use crate::store::sqlite::SqliteJobs;
use crate::test_doubles::shared;
use crate::test_doubles::{SHOWN_IN_TESTS, template, yes};

/// What is mapped and decided right now.
struct World {
    template: Mutex<Option<Template>>,
    decision: Mutex<Decision>,
}

#[async_trait]
impl Templates for World {
    async fn template(&self, _: &TenantId, _: &str) -> Result<Option<Arc<Template>>> {
        Ok(self.template.lock().unwrap().clone().map(Arc::new))
    }

    async fn controller(&self, _: &TenantId, _: &str) -> Result<Option<Controller>> {
        Ok(None)
    }

    async fn report_drift(&self, _: &Template, _: &[String]) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Policies for World {
    async fn decide(&self, _: &Caller, _: Question) -> Result<Decision> {
        Ok(self.decision.lock().unwrap().clone())
    }

    async fn decide_for(&self, _: &Principal, _: Question) -> Result<Evaluation> {
        Err(Error::unavailable("nobody asks here"))
    }
}

#[async_trait]
impl Seals for World {
    async fn seal(&self, _: &TenantId, _: &str, value: &SecretString) -> Result<Sealed> {
        let keyed_hash = json::sha256_hex(value.expose_secret().as_bytes());
        Ok(Sealed { bytes: vec![7], keyed_hash })
    }

    async fn open(&self, _: &TenantId, _: &str, _: &[u8], _: &str) -> Result<SecretString> {
        Err(Error::unavailable("nothing is opened here"))
    }
}

struct Here {
    submitter: Submitter,
    world: Arc<World>,
    recorder: Arc<MemoryRecorder>,
    _folder: TempDir,
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {"n": {"type": "number"}, "pw": {"type": "string", "writeOnly": true}},
        "additionalProperties": false,
    })
}

fn caller() -> Caller {
    Caller::example(&[Permission::JobsSubmit], Scope::project(&TenantId::trusted("acme"), "web"))
}

impl Here {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap());
        let world = Arc::new(World {
            template: Mutex::new(Some(Template { schema: schema().into(), ..template() })),
            decision: Mutex::new(yes()),
        });
        let recorder = MemoryRecorder::new();
        let submitter = Submitter {
            shared: shared(store.clone(), world.clone()),
            outbox: Outbox::undrained(store),
            policies: world.clone(),
            seals: world.clone(),
            recorder: recorder.clone(),
            schemas: Schemas::default(),
            queue_limit: 1,
            in_progress: InProgress::default(),
            trust: Trust::fixed(Verifier::default()),
            shown: Arc::new(Shown::lasting(SHOWN_IN_TESTS)),
        };
        Self { submitter, world, recorder, _folder: folder }
    }

    async fn ask(&self, caller: &Caller, key: &str, parameters: &str, options: Options) -> Result<Submitted> {
        self.ask_as(caller, key, parameters, options, None).await
    }

    async fn ask_as(
        &self,
        caller: &Caller,
        key: &str,
        parameters: &str,
        options: Options,
        origin: Option<&Origin>,
    ) -> Result<Submitted> {
        let context = RequestContext { idempotency_key: Some(key.into()), ..RequestContext::default() };
        let parameters = json::parse(parameters.as_bytes())?;
        let parameters = parameters.as_object().unwrap();
        self.submitter.submit(caller, &context, Asked { template: "deploy", parameters, options, origin }).await
    }

    async fn send(&self, key: &str, parameters: &str) -> Result<Submitted> {
        self.ask(&caller(), key, parameters, Options::default()).await
    }

    fn map(&self, template: Option<Template>) {
        *self.world.template.lock().unwrap() = template;
    }
}

fn refusal(answer: Result<Submitted>) -> ErrorReason {
    match answer {
        Ok(submitted) => panic!("it was accepted as {}", submitted.job.id),
        Err(error) => error.reason(),
    }
}

#[tokio::test]
async fn a_repeat_is_the_first_answer_whatever_has_happened_since() {
    let here = Here::new().await;
    let body = r#"{"n": 1, "pw": "hunter2hunter2"}"#;
    let first = here.send("k", body).await.unwrap();
    assert!(!first.replayed);
    let again = async |caller: &Caller| {
        let again = here.ask(caller, "k", body, Options::default()).await.unwrap();
        assert!(again.replayed);
        assert_eq!(again.job.id, first.job.id);
        assert_eq!(again.job.parameters, first.job.parameters);
    };
    // The queue is full by now.
    assert_eq!(refusal(here.send("other", body).await), ErrorReason::QueueFull);
    again(&caller()).await;
    let changed = json!({"type": "object", "properties": {"region": {}}, "additionalProperties": false});
    here.map(Some(Template { schema: changed.into(), ..template() }));
    again(&caller()).await;
    // What was write-only is not any more, and the other way round.
    let turned = json!({"properties": {"n": {"writeOnly": true}, "pw": {}}, "additionalProperties": false});
    here.map(Some(Template { schema: turned.into(), ..template() }));
    again(&caller()).await;
    *here.world.decision.lock().unwrap() = Decision { allowed: false, reasons: vec!["no".into()], ..yes() };
    here.map(None);
    again(&caller()).await;
    let narrowed = Caller {
        principal: caller().principal,
        ..Caller::example(&[Permission::JobsSubmit], Scope::project(&TenantId::trusted("acme"), "db"))
    };
    again(&narrowed).await;
    // Others' keys are theirs.
    let stranger = Caller { principal: "sa_2".into(), ..caller() };
    assert_eq!(refusal(here.ask(&stranger, "k", body, Options::default()).await), ErrorReason::NotFound);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused_and_equal_numbers_are_the_same() {
    let here = Here::new().await;
    let first = here.send("k", r#"{"n": 100, "pw": "hunter2hunter2"}"#).await.unwrap();
    for same in [r#"{"pw": "hunter2hunter2", "n": 100.0}"#, r#"{"n": 1e2, "pw": "hunter2hunter2"}"#] {
        assert_eq!(here.send("k", same).await.unwrap().job.id, first.job.id);
    }
    for other in [
        r#"{"n": 101, "pw": "hunter2hunter2"}"#,
        r#"{"n": "100", "pw": "hunter2hunter2"}"#,
        r#"{"n": 100, "pw": "another password"}"#,
        r#"{"n": 100, "pw": {"set": true}}"#,
        r#"{"n": 100}"#,
        "{}",
    ] {
        assert_eq!(refusal(here.send("k", other).await), ErrorReason::IdempotencyKeyReused, "{other}");
    }
    let urgent = Options { priority: Priority::High, ..Options::default() };
    let urgent = here.ask(&caller(), "k", r#"{"n": 100, "pw": "hunter2hunter2"}"#, urgent).await;
    assert_eq!(refusal(urgent), ErrorReason::IdempotencyKeyReused);
}

#[tokio::test]
async fn what_asked_for_it_is_kept_and_is_part_of_the_request() {
    let here = Here::new().await;
    let origin =
        |reference: &str| Origin { reference: reference.into(), callbacks: vec!["ci".into()], ..Origin::default() };
    let ask =
        async |reference: &str| here.ask_as(&caller(), "k", "{}", Options::default(), Some(&origin(reference))).await;
    let first = ask("PR 7").await.unwrap();
    assert_eq!(first.job.origin, Some(origin("PR 7")));
    let again = ask("PR 7").await.unwrap();
    assert!(again.replayed && again.job.origin == first.job.origin);
    assert_eq!(refusal(ask("PR 8").await), ErrorReason::IdempotencyKeyReused);
    assert_eq!(refusal(here.send("k", "{}").await), ErrorReason::IdempotencyKeyReused);
}

#[tokio::test]
async fn secret_numbers_are_the_same_too_and_are_sealed_as_they_were_sent() {
    let here = Here::new().await;
    let secret = json!({"type": "object", "properties": {"n": {"writeOnly": true}}, "additionalProperties": false});
    here.map(Some(Template { schema: secret.into(), ..template() }));
    let first = here.send("k", r#"{"n": 7.0}"#).await.unwrap();
    assert_eq!(here.send("k", r#"{"n": 7}"#).await.unwrap().job.id, first.job.id);
    assert_eq!(refusal(here.send("k", r#"{"n": 8}"#).await), ErrorReason::IdempotencyKeyReused);
}

#[tokio::test]
async fn while_the_first_is_being_answered_a_repeat_is_told_to_wait() {
    let here = Here::new().await;
    let answering =
        here.submitter.in_progress.begin(Key::of(&caller(), "k").within(&TenantId::trusted("acme"))).unwrap();
    assert_eq!(refusal(here.send("k", "{}").await), ErrorReason::IdempotencyInProgress);
    drop(answering);
    here.send("k", "{}").await.unwrap();
}

#[tokio::test]
async fn what_was_just_decided_counts_for_the_launch() {
    let here = Here::new().await;
    let submitted = here.send("k", r#"{"n": 1}"#).await.unwrap();
    assert!(here.submitter.shown.holds(&submitted.job.id));
    assert_eq!(submitted.job.asked_with.permissions, ["jobs.submit".to_owned()].into());
    assert_eq!(submitted.job.asked_with.authenticated_by, "client_credentials");
}

#[tokio::test]
async fn a_denial_with_long_reasons_in_wide_characters_stays_a_denial_and_gets_on_record() {
    let here = Here::new().await;
    let reasons: Vec<String> = (0..16).map(|n| format!("{n}{}", "𝕏".repeat(255))).collect();
    *here.world.decision.lock().unwrap() = Decision { allowed: false, reasons, ..yes() };
    let error = here.send("k", "{}").await.err().unwrap();
    let status = tonic::Status::from(error);
    let headers = status.into_http::<()>().into_parts().0.headers;
    let back = Error::from_status(&tonic::Status::from_header_map(&headers).unwrap());
    assert_eq!(back.reason(), ErrorReason::PolicyDenied);
    assert!(back.detail().starts_with("0𝕏") && back.metadata("decision_id") == Some("dec_now"));
    let records = here.recorder.entries();
    assert!(records[0].details_json.len() <= MAX_DETAILS && records[0].details_json.contains("𝕏"));
}

#[tokio::test]
async fn what_is_write_only_is_told_to_whoever_may_run_the_template() {
    let here = Here::new().await;
    let ask = async |caller: &Caller, template: &str, names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        here.submitter.write_only(caller, template, names).await.map_err(|error| error.reason())
    };
    assert_eq!(ask(&caller(), "deploy", &["n", "pw", "other"]).await, Ok(vec!["pw".to_owned()]));
    let stranger = Caller::example(&[Permission::JobsSubmit], Scope::project(&TenantId::trusted("acme"), "db"));
    assert_eq!(ask(&stranger, "deploy", &["pw"]).await, Err(ErrorReason::NotFound));
    assert_eq!(ask(&caller(), "Not A Name", &["pw"]).await, Err(ErrorReason::ValidationFailed));
    assert_eq!(ask(&caller(), "deploy", &["pw"; 1001]).await, Err(ErrorReason::ParametersInvalid));
    here.map(None);
    assert_eq!(ask(&caller(), "deploy", &["pw"]).await, Err(ErrorReason::NotFound));
}
