//! An edge with services in memory behind it, and tokens that it believes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use runwarden_edge::Config;
use runwarden_edge::app::App;
use runwarden_edge::ports::{Port, Ports};
use runwarden_edge::route_table::Listener;
use runwarden_edge::router::router;
use runwarden_kit::caller::{Caller, Grant, Scope};
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::token::{AUDIENCE, Claims, TYPE, Verifier};
use runwarden_kit::trust::Trust;
use runwarden_kit::{Error, ErrorReason};
use runwarden_proto::executor::v1 as proto;
use runwarden_proto::executor::v1::job_service_server::{JobService, JobServiceServer};
use serde_json::Value;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tower::ServiceExt as _;

use crate::recorder::Recorder;

pub(crate) const ISSUER: &str = "https://runwarden.example";

/// Signs tokens, and knows what verifies them.
pub(crate) struct Signer {
    key: EncodingKey,
    jwks: String,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
        let jwks =
            format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"k1","x":"{x}"}}]}}"#);
        Self { key: EncodingKey::from_ed_der(pair.serialized_der()), jwks }
    }

    pub(crate) fn trust(&self) -> Arc<Trust> {
        Trust::fixed(Verifier::new(ISSUER, &self.jwks).unwrap())
    }

    /// A token of a launcher in tenant `acme` that expires in so many seconds.
    pub(crate) fn token(&self, seconds: i64) -> String {
        let caller = Caller::example(&[], Scope::tenant(&TenantId::trusted("acme")));
        self.token_of("acme", &caller.principal, seconds)
    }

    /// A token of a launcher in a tenant.
    pub(crate) fn token_of(&self, tenant: &str, principal: &str, seconds: i64) -> String {
        let mut caller =
            Caller::example(&[Permission::JobsSubmit, Permission::JobsRead], Scope::tenant(&TenantId::trusted(tenant)));
        principal.clone_into(&mut caller.principal);
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let claims = Claims {
            iss: ISSUER.into(),
            sub: caller.principal,
            aud: AUDIENCE.into(),
            exp: now + seconds,
            iat: now,
            iat_us: None,
            jti: "tok_1".into(),
            client_id: caller.client_id,
            name: caller.name,
            tenant: caller.home_tenant,
            scope: "jobs.submit jobs.read".into(),
            amr: "client_credentials".into(),
            grants: caller.grants.into_iter().collect::<Vec<Grant>>(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some("k1".into());
        header.typ = Some(TYPE.into());
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

/// The other end of a stream of events.
type Watcher = tokio::sync::mpsc::Sender<Result<proto::WatchJobResponse, Status>>;

/// The executor: remembers what it was asked and in which context.
#[derive(Clone, Default)]
pub(crate) struct FakeJobs {
    pub(crate) submitted: Arc<Mutex<Vec<(proto::SubmitJobRequest, RequestContext)>>>,
    pub(crate) resolved: Arc<Mutex<Vec<proto::ResolveJobRequest>>>,
    pub(crate) output: Arc<Mutex<Vec<String>>>,
    watched: Arc<Mutex<Vec<Watcher>>>,
}

pub(crate) fn job(id: &str, state: proto::JobState) -> proto::Job {
    proto::Job {
        id: id.into(),
        tenant: "acme".into(),
        project: "web".into(),
        template: "deploy-web".into(),
        state: state.into(),
        parameters_json: r#"{"environment":"dev"}"#.into(),
        ..proto::Job::default()
    }
}

#[tonic::async_trait]
impl JobService for FakeJobs {
    async fn submit_job(
        &self,
        request: tonic::Request<proto::SubmitJobRequest>,
    ) -> Result<tonic::Response<proto::SubmitJobResponse>, Status> {
        let request = request.into_inner();
        match request.template.as_str() {
            "panics" => panic!("on purpose"),
            "hangs" => std::future::pending().await,
            "denied" => return Err(Error::denied("This needs the permission jobs.submit.").into()),
            "wrong" => return Err(Error::invalid("/parameters/environment", "must be dev").into()),
            "full" => {
                let full = Error::new(ErrorReason::QueueFull, "100 jobs of this template wait already.");
                return Err(full.with_retry_after(Duration::from_secs(42)).into());
            }
            "foreign" => return Err(Status::unknown("connect to 10.0.0.7:5432: password=hunter2")),
            _ => {}
        }
        let replayed = request.template == "repeated";
        if replayed {
            context::mark_replayed();
        }
        self.submitted.lock().unwrap().push((request, Arc::unwrap_or_clone(context::current())));
        let job = Some(job("job_1", proto::JobState::New));
        Ok(tonic::Response::new(proto::SubmitJobResponse { job, replayed }))
    }

    async fn check_job(
        &self,
        _: tonic::Request<proto::CheckJobRequest>,
    ) -> Result<tonic::Response<proto::CheckJobResponse>, Status> {
        Err(Error::denied("The edge does not ask this.").into())
    }

    async fn find_write_only(
        &self,
        _: tonic::Request<proto::FindWriteOnlyRequest>,
    ) -> Result<tonic::Response<proto::FindWriteOnlyResponse>, Status> {
        Err(Error::denied("The edge does not ask this.").into())
    }

    async fn get_job(
        &self,
        request: tonic::Request<proto::GetJobRequest>,
    ) -> Result<tonic::Response<proto::GetJobResponse>, Status> {
        let proto::GetJobRequest { id, wait_seconds: wait } = request.into_inner();
        match id.as_str() {
            // It never ends, so a caller that waits for its end never gets an answer.
            "job_hangs" if wait > 0 => std::future::pending().await,
            "job_1" | "job_hangs" => {
                let job = Some(job("job_1", proto::JobState::Succeeded));
                Ok(tonic::Response::new(proto::GetJobResponse { job }))
            }
            _ => Err(Error::not_found("job").into()),
        }
    }

    async fn list_jobs(
        &self,
        request: tonic::Request<proto::ListJobsRequest>,
    ) -> Result<tonic::Response<proto::ListJobsResponse>, Status> {
        let size = usize::try_from(request.into_inner().page_size).unwrap();
        let jobs = vec![job("job_1", proto::JobState::Running); size.min(2)];
        Ok(tonic::Response::new(proto::ListJobsResponse { jobs, next_page_token: "am9iXzE".into() }))
    }

    async fn cancel_job(
        &self,
        _: tonic::Request<proto::CancelJobRequest>,
    ) -> Result<tonic::Response<proto::CancelJobResponse>, Status> {
        Err(Error::new(ErrorReason::JobFinished, "The job is over.").into())
    }

    async fn resolve_job(
        &self,
        request: tonic::Request<proto::ResolveJobRequest>,
    ) -> Result<tonic::Response<proto::ResolveJobResponse>, Status> {
        self.resolved.lock().unwrap().push(request.into_inner());
        let job = Some(job("job_1", proto::JobState::Running));
        Ok(tonic::Response::new(proto::ResolveJobResponse { job }))
    }

    async fn list_attempts(
        &self,
        request: tonic::Request<proto::ListAttemptsRequest>,
    ) -> Result<tonic::Response<proto::ListAttemptsResponse>, Status> {
        if request.into_inner().id != "job_1" {
            return Err(Error::not_found("job").into());
        }
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let attempt = proto::Attempt {
            number: 1,
            state: proto::AttemptState::Ambiguous.into(),
            detail: "two runs look alike".into(),
            installation: "7a8e2c4f-51d0-4b8e-9a63-0d1f2b3c4d5e".into(),
            controller_address: "https://awx.example".into(),
            controller_template_id: 10,
            account_id: 4,
            sent_at: at(1_769_857_200),
            controller_time: at(1_769_857_201),
            marker: "rw_1".into(),
            marker_placement: "extra_var".into(),
            run_id: 0,
            candidates: vec![7, 8],
        };
        Ok(tonic::Response::new(proto::ListAttemptsResponse { attempts: vec![attempt] }))
    }

    async fn read_output(
        &self,
        request: tonic::Request<proto::ReadOutputRequest>,
    ) -> Result<tonic::Response<proto::ReadOutputResponse>, Status> {
        let offset = request.into_inner().offset;
        let pieces = self.output.lock().unwrap().clone();
        let mut at = 0;
        for (n, piece) in pieces.iter().enumerate() {
            let next = at + i64::try_from(piece.len()).unwrap();
            if at == offset {
                return Ok(tonic::Response::new(proto::ReadOutputResponse {
                    content: piece.clone(),
                    next_offset: next,
                    complete: n + 1 == pieces.len(),
                    truncated: false,
                    incomplete: false,
                }));
            }
            at = next;
        }
        Err(Error::internal(anyhow::anyhow!("no such offset")).into())
    }

    type WatchJobStream = ReceiverStream<Result<proto::WatchJobResponse, Status>>;

    async fn watch_job(
        &self,
        request: tonic::Request<proto::WatchJobRequest>,
    ) -> Result<tonic::Response<Self::WatchJobStream>, Status> {
        use proto::watch_job_response::Event;
        let proto::WatchJobRequest { id, after_event: after } = request.into_inner();
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        if id == "job_hangs" {
            self.watched.lock().unwrap().push(sender);
            return Ok(tonic::Response::new(ReceiverStream::new(receiver)));
        }
        if after == STOPPING {
            sender.try_send(Err(Status::unavailable("stopping"))).unwrap();
            return Ok(tonic::Response::new(ReceiverStream::new(receiver)));
        }
        let events = [
            Event::State(job("job_1", proto::JobState::Running)),
            Event::Output("hello\n".into()),
            Event::State(job("job_1", proto::JobState::Succeeded)),
        ];
        for (id, event) in (1..).zip(events).filter(|(id, _)| *id > after) {
            let event = proto::WatchJobResponse { event_id: id, at: None, event: Some(event) };
            sender.try_send(Ok(event)).unwrap();
        }
        Ok(tonic::Response::new(ReceiverStream::new(receiver)))
    }
}

/// A caller that follows a job after this event finds that the executor is shutting down.
pub(crate) const STOPPING: i64 = 77;

/// A service that cannot be reached.
fn away() -> Port {
    Port::new(tower::service_fn(|_: Request<tonic::body::Body>| async {
        Err::<Response<tonic::body::Body>, Status>(Status::unavailable("connection refused to 10.0.0.7:7001"))
    }))
}

pub(crate) struct Edge {
    pub(crate) app: App,
    pub(crate) signer: Signer,
    pub(crate) jobs: FakeJobs,
    /// The project service; unavailable until it is given an answer.
    pub(crate) project: Recorder,
    pub(crate) shutdown: Shutdown,
}

impl Edge {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let (signer, jobs, shutdown) = (Signer::new(), FakeJobs::default(), Shutdown::new());
        let server = JobServiceServer::new(jobs.clone());
        let executor = Port::new(tower::service_fn(move |request: Request<tonic::body::Body>| {
            let server = server.clone();
            async move { server.oneshot(request).await.map_err(|never: std::convert::Infallible| match never {}) }
        }));
        let recorder = Recorder::default();
        let project = recorder.port();
        let ports = Ports {
            auth: away(),
            policy: away(),
            project,
            secret: away(),
            audit: away(),
            lasting_executor: executor.clone(),
            hook: away(),
            executor,
            lasting_audit: away(),
        };
        let app = App::new(config, ISSUER.into(), ports, signer.trust(), shutdown.clone());
        Self { app, signer, jobs, project: recorder, shutdown }
    }

    pub(crate) fn router(&self, listener: Listener) -> Router {
        router(&self.app, listener)
    }

    /// Sends a request as an authenticated caller on the public listener.
    pub(crate) async fn call(&self, request: http::request::Builder, body: impl Into<Body>) -> Answer {
        self.call_on(Listener::Public, request, body).await
    }

    /// Sends a request as an authenticated caller on a listener.
    pub(crate) async fn call_on(
        &self,
        listener: Listener,
        request: http::request::Builder,
        body: impl Into<Body>,
    ) -> Answer {
        let token = self.signer.token(60);
        self.send_on(listener, request.header("authorization", format!("Bearer {token}")), body).await
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: http::request::Builder, body: impl Into<Body>) -> Answer {
        self.send_on(Listener::Public, request, body).await
    }

    async fn send_on(&self, listener: Listener, request: http::request::Builder, body: impl Into<Body>) -> Answer {
        let request = request.header("host", "edge.example").body(body.into()).unwrap();
        Answer::of(self.router(listener).oneshot(request).await.unwrap()).await
    }

    /// Sends a request as a launcher of a tenant and answers before the body is there.
    pub(crate) async fn open(&self, tenant: &str, principal: &str, path: &str) -> Response<Body> {
        let token = self.signer.token_of(tenant, principal, 60);
        let request = get(path).header("authorization", format!("Bearer {token}")).header("host", "edge.example");
        let request = request.body(Body::empty()).unwrap();
        self.router(Listener::Public).oneshot(request).await.unwrap()
    }

    pub(crate) async fn submit(&self, body: &str) -> Answer {
        self.call(post("/api/v1/jobs"), body.to_owned()).await
    }
}

pub(crate) fn get(path: &str) -> http::request::Builder {
    Request::get(path)
}

pub(crate) fn post(path: &str) -> http::request::Builder {
    Request::post(path).header("content-type", "application/json")
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that it is a problem with a status and a code, and answers it.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{:?}", self.body);
        let problem = self.json();
        assert_eq!((self.status.as_u16(), problem["code"].as_str().unwrap()), (status, code), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        problem
    }
}
