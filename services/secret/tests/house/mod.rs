//! The service behind the real mesh: certificates, gate, signed tokens; only the audit service is played.

#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses its own part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use runwarden_kit::audit::{Entry, MemoryRecorder};
use runwarden_kit::caller::{Grant, Scope};
use runwarden_kit::clock::SystemClock;
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::lifecycle::{Shutdown, Tasks};
use runwarden_kit::mesh::pki::DevCa;
use runwarden_kit::mesh::{self, MeshChannel, MeshTls, Peer, Peers, Service, TlsFiles, TrustDomain};
use runwarden_kit::service::{self, ServiceKit};
use runwarden_kit::token::{AUDIENCE, Claims, TYPE, Verifier};
use runwarden_kit::trust::Trust;
use runwarden_kit::{Error, ErrorReason, SecretString};
use runwarden_proto::secret::v1::hook_key_service_client::HookKeyServiceClient;
use runwarden_proto::secret::v1::secret_service_client::SecretServiceClient;
use runwarden_secret::{Config, build};
use tempfile::TempDir;
use tonic::{Response, Status};

/// A client of the service, with the certificate of some other.
pub(crate) type Client = SecretServiceClient<MeshChannel>;

const ISSUER: &str = "https://gate.example";
const PATIENCE: Duration = Duration::from_secs(20);

/// What outlives a run of the service: its data, the authority of the mesh, the keys of tokens.
pub(crate) struct House {
    pub(crate) temp: TempDir,
    domain: TrustDomain,
    ca: DevCa,
    signing: EncodingKey,
    jwks: String,
}

impl House {
    pub(crate) fn new() -> Result<Self> {
        let temp = tempfile::tempdir()?;
        let domain: TrustDomain = "test.internal".parse()?;
        let ca = DevCa::open(&temp.path().join("ca"), domain.clone())?;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| anyhow::anyhow!("no key"))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())
            .map_err(|_| anyhow::anyhow!("no key"))?;
        // An uncompressed point: 4, x, y.
        let point = pair.public_key().as_ref();
        let half = |from: usize| point.get(from..from + 32).map(|half| URL_SAFE_NO_PAD.encode(half));
        let jwks = serde_json::json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "test",
            "x": half(1), "y": half(33),
        }] })
        .to_string();
        let signing = EncodingKey::from_ec_der(pkcs8.as_ref());
        Ok(Self { temp, domain, ca, signing, jwks })
    }

    fn tls(&self, files: TlsFiles, peer: Peer) -> Result<Arc<MeshTls>> {
        MeshTls::load(files, self.domain.clone(), peer)
    }

    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.temp.path().join("data")
    }

    /// Starts the service on the data of this house.
    pub(crate) async fn start(&self) -> Result<Running<'_>> {
        let recorder = MemoryRecorder::new();
        let tls = self.tls(self.ca.service(Service::Secret)?, Peer::Service(Service::Secret))?;
        let tasks = Tasks::new(Shutdown::new());
        let data_dir = self.data_dir();
        runwarden_kit::private_file::make_folder(&data_dir)?;
        let kit = ServiceKit {
            service: Service::Secret,
            peers: Peers::new(tls, BTreeMap::new()),
            trust: Trust::fixed(Verifier::new(ISSUER, &self.jwks)?),
            recorder: recorder.clone(),
            tasks: tasks.clone(),
            data_dir,
            clock: Arc::new(SystemClock),
            notes: runwarden_kit::service::Notes::default(),
        };
        let listener = mesh::bind(([127, 0, 0, 1], 0).into()).await?;
        let address = listener.local_addr()?.to_string();
        let parts = build(Config::default(), &kit).await?;
        service::serve(&kit, listener, parts).await?;
        Ok(Running { house: self, address, recorder, tasks })
    }

    /// A token of a principal with these permissions at this scope.
    pub(crate) fn token(&self, permissions: &[&str], at: Scope) -> Result<SecretString> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: "sa_00000000000000000000000000000001".to_owned(),
            aud: AUDIENCE.to_owned(),
            exp: now + 300,
            iat: now,
            iat_us: None,
            jti: "tok_1".to_owned(),
            client_id: "client_1".to_owned(),
            name: "tester".to_owned(),
            tenant: at.tenant.clone(),
            scope: permissions.join(" "),
            amr: "client_credentials".to_owned(),
            grants: vec![Grant {
                role: "tester".to_owned(),
                scope: at.into(),
                permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
            }],
        };
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some("test".to_owned());
        Ok(jsonwebtoken::encode(&header, &claims, &self.signing)?.into())
    }
}

/// The service while it runs.
pub(crate) struct Running<'a> {
    house: &'a House,
    address: String,
    pub(crate) recorder: Arc<MemoryRecorder>,
    tasks: Tasks,
}

impl Running<'_> {
    fn with(&self, files: TlsFiles, peer: Peer) -> Result<Client> {
        Ok(Client::new(self.channel(files, peer)?))
    }

    fn channel(&self, files: TlsFiles, peer: Peer) -> Result<MeshChannel> {
        let addresses = BTreeMap::from([(Service::Secret, self.address.clone())]);
        let peers = Peers::new(self.house.tls(files, peer)?, addresses);
        peers.channel(Service::Secret)
    }

    /// Calls for keys of hooks, as a service.
    pub(crate) fn hook_keys(&self, of: Service) -> Result<HookKeyServiceClient<MeshChannel>> {
        Ok(HookKeyServiceClient::new(self.channel(self.house.ca.service(of)?, Peer::Service(of))?))
    }

    /// Calls as another service.
    pub(crate) fn client(&self, of: Service) -> Result<Client> {
        self.with(self.house.ca.service(of)?, Peer::Service(of))
    }

    /// Calls as a person.
    pub(crate) fn operator(&self) -> Result<Client> {
        self.with(self.house.ca.operator("tester")?, Peer::Operator("tester".to_owned()))
    }

    /// Makes a call for a caller with these permissions at this scope.
    pub(crate) async fn acting<T>(&self, permissions: &[&str], at: Scope, call: impl Future<Output = T>) -> Result<T> {
        self.acting_in(None, permissions, at, call).await
    }

    /// The same, naming a tenant beside the token.
    pub(crate) async fn acting_in<T>(
        &self,
        tenant: Option<&str>,
        permissions: &[&str],
        at: Scope,
        call: impl Future<Output = T>,
    ) -> Result<T> {
        let context = RequestContext { tenant: tenant.map(str::to_owned), ..self.context(permissions, at)? };
        Ok(context::scope(context, call).await)
    }

    /// The same, with an idempotency key instead.
    pub(crate) async fn acting_with_key<T>(
        &self,
        key: &str,
        permissions: &[&str],
        at: Scope,
        call: impl Future<Output = T>,
    ) -> Result<T> {
        let context = RequestContext { idempotency_key: Some(key.to_owned()), ..self.context(permissions, at)? };
        Ok(context::scope(context, call).await)
    }

    fn context(&self, permissions: &[&str], at: Scope) -> Result<RequestContext> {
        let token = Some(self.house.token(permissions, at)?);
        Ok(RequestContext { request_id: "req_1".to_owned(), token, ..RequestContext::default() })
    }

    /// Waits until this many entries of an action were handed over, and answers them.
    pub(crate) async fn recorded(&self, action: &str, number: usize) -> Result<Vec<Entry>> {
        let look = async {
            loop {
                let found: Vec<_> = self.recorder.entries().into_iter().filter(|e| e.action == action).collect();
                if found.len() >= number {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await.with_context(|| format!("{action} is not recorded"))?;
        ensure!(found.len() == number, "{} entries of {action}", found.len());
        Ok(found)
    }

    /// Stops it in order.
    pub(crate) async fn stop(self) -> Result<()> {
        self.tasks.shutdown().begin();
        ensure!(self.tasks.join(PATIENCE).await, "it did not stop");
        Ok(())
    }
}

/// The error of a call that must fail.
pub(crate) fn refused<T>(answer: std::result::Result<Response<T>, Status>) -> Result<Error> {
    match answer {
        Ok(_) => anyhow::bail!("it was not refused"),
        Err(status) => Ok(Error::from_status(&status)),
    }
}

/// Checks why a call failed, and which field was named.
pub(crate) fn ensure_refused<T>(
    answer: std::result::Result<Response<T>, Status>,
    reason: ErrorReason,
    pointer: &str,
) -> Result<()> {
    let error = refused(answer)?;
    ensure!(error.reason() == reason, "{error:?} is not {reason:?}");
    let named = error.fields().first().map_or("", |field| field.pointer.as_str());
    ensure!(named == pointer, "{named:?} is named instead of {pointer:?}: {error:?}");
    Ok(())
}
