//! Logs, traces and metrics.
//!
//! Logs are JSON lines (or text on a terminal) with the ids of the span they were written in. Traces leave by OTLP,
//! which Jaeger takes natively. Metrics are Prometheus text on a listener of their own.

mod lines;
mod propagation;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, FilterFn, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::lifecycle::Shutdown;
use lines::Lines;
pub use propagation::{
    continue_trace, continue_trace_id, continue_traceparent, inject, new_trace_id, rename, trace_id, traceparent,
    traceparent_of,
};

/// How long the last traces may take to leave.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Buckets of durations, seconds.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Buckets of counts of records.
const RECORDS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

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
    #[arg(long, env = "RUNWARDEN_METRICS_LISTEN", global = true, value_parser = crate::service::listen_address)]
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
    let wanted = EnvFilter::try_new(&args.log).with_context(|| format!("--log {:?} is not a filter", args.log))?;
    // The filter is for lines. Spans give them their ids, and must be there for a warning, too.
    let filter = wanted
        .or(FilterFn::new(|of| of.is_span() && *of.level() <= Level::INFO).with_max_level_hint(LevelFilter::INFO));
    let json = match args.log_format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    // A line that cannot be written is lost: the layer would report that with `eprintln!`, which panics there.
    let logs = if json {
        Lines(std::io::stderr).with_filter(filter).boxed()
    } else {
        let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
        text.with_target(false).with_filter(filter).boxed()
    };
    let traces = args.otlp_endpoint.as_deref().map(|endpoint| tracer(service, endpoint)).transpose()?;
    // Its own filter: what is too much for the log may be just right for a trace, and the exporter's own transport
    // must not trace itself.
    let spans = traces.as_ref().map(|provider| {
        let ours_only = ["h2", "hyper", "hyper_util", "tonic", "tower", "opentelemetry", "opentelemetry_sdk"]
            .map(|target| (target, LevelFilter::OFF));
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("runwarden"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_default(Level::INFO).with_targets(ours_only))
    });
    Registry::default().with(logs).with(spans).try_init().context("telemetry is set up once a process")?;
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_records".into()), RECORDS)?
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
        .with_sampler(Sampler::ParentBased(Box::new(Beginnings)))
        .with_resource(Resource::builder().with_service_name(service.to_owned()).build())
        .build())
}

/// A trace begins where a request comes in or a job is taken up, never with a call out: what services ask each other
/// and controllers all the time, without a request, would bury the traces of requests.
#[derive(Clone, Debug)]
struct Beginnings;

impl ShouldSample for Beginnings {
    fn should_sample(
        &self,
        _parent: Option<&Context>,
        _trace_id: TraceId,
        _name: &str,
        kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        let decision =
            if *kind == SpanKind::Client { SamplingDecision::Drop } else { SamplingDecision::RecordAndSample };
        SamplingResult { decision, attributes: Vec::new(), trace_state: TraceState::default() }
    }
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
            let _outcome = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_LIMIT)).await;
        }
    }
}
