//! Logs, traces and metrics.
//!
//! Logs are JSON lines (or text on a terminal) with the ids of the span they were written in. Traces leave by OTLP,
//! which Jaeger takes natively. Metrics are Prometheus text on a listener of their own.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use http::HeaderMap;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::lifecycle::Shutdown;

/// How a process reports.
#[derive(Args, Clone, Debug)]
pub struct TelemetryArgs {
    /// Which log lines to write: a tracing filter such as `info` or `runwarden_executor=debug,info`
    #[arg(long, env = "RUNWARDEN_LOG", default_value = "info", global = true)]
    pub log: String,
    /// How to write them
    #[arg(long, env = "RUNWARDEN_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto, global = true)]
    pub log_format: LogFormat,
    /// Where to send traces: an OTLP/gRPC endpoint such as http://127.0.0.1:4317 (Jaeger takes it); none if not set
    #[arg(long, env = "RUNWARDEN_OTLP_ENDPOINT", global = true)]
    pub otlp_endpoint: Option<String>,
    /// Where to serve Prometheus metrics, such as 127.0.0.1:9464; nowhere if not set
    #[arg(long, env = "RUNWARDEN_METRICS_LISTEN", global = true)]
    pub metrics_listen: Option<SocketAddr>,
}

impl Default for TelemetryArgs {
    fn default() -> Self {
        Self { log: "info".into(), log_format: LogFormat::Auto, otlp_endpoint: None, metrics_listen: None }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Keeps telemetry alive; [`Telemetry::flush`] before the process ends.
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: PrometheusHandle,
    metrics_listen: Option<SocketAddr>,
}

/// Sets up telemetry for the process. Call once, within a tokio runtime.
///
/// # Errors
/// When the filter cannot be read, or telemetry was set up before.
pub fn init(service: &str, args: &TelemetryArgs) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_new(&args.log).with_context(|| format!("--log {:?} is no filter", args.log))?;
    let json = match args.log_format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let writer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = if json {
        writer.json().flatten_event(true).with_current_span(true).with_span_list(false).with_filter(filter).boxed()
    } else {
        writer.with_target(false).with_filter(filter).boxed()
    };
    let traces = args.otlp_endpoint.as_deref().map(|endpoint| tracer(service, endpoint)).transpose()?;
    // Its own filter: what is too much for the log may be just right for a trace, and the exporter's own transport
    // must not trace itself.
    let spans = traces.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer("runwarden")).with_filter(
            Targets::new()
                .with_default(tracing::Level::INFO)
                .with_target("h2", tracing::level_filters::LevelFilter::OFF)
                .with_target("hyper", tracing::level_filters::LevelFilter::OFF)
                .with_target("hyper_util", tracing::level_filters::LevelFilter::OFF)
                .with_target("tonic", tracing::level_filters::LevelFilter::OFF)
                .with_target("tower", tracing::level_filters::LevelFilter::OFF)
                .with_target("opentelemetry", tracing::level_filters::LevelFilter::OFF)
                .with_target("opentelemetry_sdk", tracing::level_filters::LevelFilter::OFF),
        )
    });
    Registry::default().with(logs).with(spans).try_init().context("telemetry is set up once a process")?;
    let metrics = PrometheusBuilder::new()
        .set_buckets(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])?
        .install_recorder()?;
    Ok(Telemetry { traces, metrics, metrics_listen: args.metrics_listen })
}

fn tracer(service: &str, endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(Duration::from_secs(5))
        .build()
        .with_context(|| format!("--otlp-endpoint {endpoint:?}"))?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name(service.to_owned()).build())
        .build())
}

impl Telemetry {
    /// Serves metrics until shutdown, if asked to. Answers the bound address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn serve_metrics(&self, shutdown: Shutdown) -> anyhow::Result<Option<SocketAddr>> {
        let Some(address) = self.metrics_listen else { return Ok(None) };
        let listener =
            tokio::net::TcpListener::bind(address).await.with_context(|| format!("--metrics-listen {address}"))?;
        let bound = listener.local_addr()?;
        let handle = self.metrics.clone();
        let app = axum::Router::new().route(
            "/metrics",
            axum::routing::get(move || {
                let text = handle.render();
                async move { ([(http::header::CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
            }),
        );
        let upkeep = self.metrics.clone();
        let until = shutdown.clone();
        tokio::spawn(async move {
            while until.sleep(Duration::from_secs(5)).await.is_ok() {
                upkeep.run_upkeep();
            }
        });
        tokio::spawn(async move {
            let served = axum::serve(listener, app).with_graceful_shutdown(async move { shutdown.begun().await }).await;
            if let Err(error) = served {
                tracing::error!(%error, "the metrics listener stopped");
            }
        });
        Ok(Some(bound))
    }

    /// Sends what is left. Blocking work of the exporter runs on a thread of its own: called from a task of the
    /// runtime it would wait for itself (opentelemetry-rust issue 2715).
    pub async fn flush(self) {
        if let Some(provider) = self.traces {
            let _outcome = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        }
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|v| v.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(key), http::HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

/// Makes a span the child of the remote one named in the headers, if there is one.
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    let remote = TraceContextPropagator::new().extract(&Headers(headers));
    if remote.span().span_context().is_valid() {
        // Fails only where no OpenTelemetry layer is installed; then there is nothing to continue.
        let _outcome = span.set_parent(remote);
    }
}

/// Makes a span continue a trace of which only the id was kept, such as a job's.
pub fn continue_trace_id(span: &Span, trace_id: &str) {
    let mut headers = HeaderMap::new();
    if let Ok(value) = http::HeaderValue::try_from(traceparent(trace_id)) {
        headers.insert(crate::context::TRACEPARENT, value);
        continue_trace(span, &headers);
    }
}

/// The trace id of a span, if traces are on.
#[must_use]
pub fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let span_context = context.span().span_context().clone();
    span_context.is_valid().then(|| span_context.trace_id().to_string())
}

/// A new trace id, for processes that send no traces: it still ties logs and audit records together.
#[must_use]
pub fn new_trace_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A `traceparent` for a trace of which only the id is known.
#[must_use]
pub fn traceparent(trace_id: &str) -> String {
    let span = uuid::Uuid::new_v4().simple().to_string();
    format!("00-{trace_id}-{}-01", span.get(..16).unwrap_or("0000000000000001"))
}

/// Writes the current trace into outgoing headers.
pub fn inject(headers: &mut HeaderMap, fallback_trace_id: &str) {
    let context = Span::current().context();
    if context.span().span_context().is_valid() {
        TraceContextPropagator::new().inject_context(&context, &mut HeadersMut(headers));
    } else if !fallback_trace_id.is_empty()
        && let Ok(value) = http::HeaderValue::try_from(traceparent(fallback_trace_id))
    {
        headers.insert(crate::context::TRACEPARENT, value);
    }
}
