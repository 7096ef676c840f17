//! Traces across processes: W3C trace context in and out of headers.

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::context::TRACEPARENT;

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

/// Makes a span the child of another of which the `traceparent` was kept ([`traceparent_of`]), such as a job's.
pub fn continue_traceparent(span: &Span, traceparent: &str) {
    let mut headers = HeaderMap::new();
    if let Ok(value) = http::HeaderValue::try_from(traceparent) {
        headers.insert(TRACEPARENT, value);
        continue_trace(span, &headers);
    }
}

/// A span's `traceparent`, to be kept with what it began; `None` if traces are off.
#[must_use]
pub fn traceparent_of(span: &Span) -> Option<String> {
    let mut headers = HeaderMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut HeadersMut(&mut headers));
    headers.get(TRACEPARENT)?.to_str().ok().map(str::to_owned)
}

/// Makes a span continue a trace of which only the id was kept. Its parent is then a span that was never exported.
pub fn continue_trace_id(span: &Span, trace_id: &str) {
    continue_traceparent(span, &traceparent(trace_id));
}

/// Names a span whose name was not known when it began. (Recording `otel.name` names only spans that have not begun
/// yet, and asking for their trace id begins them.)
pub fn rename(span: &Span, name: String) {
    span.context().span().update_name(name);
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
        headers.insert(TRACEPARENT, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_traces_an_id_still_travels_and_an_invalid_one_does_not() {
        let mut headers = HeaderMap::new();
        inject(&mut headers, "");
        assert!(headers.is_empty());
        let id = new_trace_id();
        inject(&mut headers, &id);
        let sent = headers.get(TRACEPARENT).and_then(|v| v.to_str().ok()).expect("a traceparent");
        assert_eq!(crate::context::trace_id_of(sent), Some(id));
        assert_eq!(traceparent_of(&Span::none()), None);
    }
}
