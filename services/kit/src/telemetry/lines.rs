//! Log lines: one flat JSON object each, with the ids of the request it was written for.
//!
//! The ids of a line may stand in any of the spans around it, or only in the request's context; a search of the logs
//! for one must find the line all the same.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock as _, SystemClock};
use crate::context;
use crate::tenant::TenantId;

/// What ties lines together. Of other fields of spans only those of the innermost are written.
const IDS: &[&str] = &["request_id", "trace_id", "tenant", "principal", "job", "service"];

pub(super) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Map::new();
        event.record(&mut Fields(&mut line));
        if let Some(scope) = ctx.event_scope() {
            for (depth, span) in scope.enumerate() {
                if depth == 0 {
                    line.entry("span").or_insert_with(|| span.name().into());
                }
                let extensions = span.extensions();
                let fields = extensions.get::<FormattedFields<N>>().map_or("{}", |fields| fields.as_str());
                let Ok(Value::Object(fields)) = serde_json::from_str(fields) else { continue };
                for (name, value) in fields {
                    // The nearest wins.
                    if (depth == 0 && !name.starts_with("otel.")) || IDS.contains(&name.as_str()) {
                        line.entry(name).or_insert(value);
                    }
                }
            }
        }
        context::with_current(|context| {
            let caller = context.caller.as_deref();
            let mut unless_known = |name: &str, value: &str| {
                if !value.is_empty() {
                    line.entry(name).or_insert_with(|| value.into());
                }
            };
            unless_known("request_id", &context.request_id);
            unless_known("trace_id", &context.trace_id);
            unless_known("tenant", caller.and_then(|c| c.tenant()).map_or("", TenantId::as_str));
            unless_known("principal", caller.map_or("", |c| &c.principal));
        });
        let metadata = event.metadata();
        line.insert("timestamp".into(), SystemClock.now().rfc3339().into());
        line.insert("level".into(), metadata.level().as_str().into());
        line.insert("target".into(), metadata.target().into());
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Takes over an event's fields.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().into(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match u64::try_from(value) {
            Ok(value) => self.set(field, value),
            Err(_) => self.set(field, value.to_string()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing_subscriber::fmt::format::JsonFields;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(work: impl FnOnce()) -> Vec<Value> {
        let memory = Memory::default();
        let writer = memory.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(Lines);
        with_default(tracing_subscriber::registry().with(layer), work);
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_carries_the_ids_of_all_spans_around_it() {
        let lines = written(|| {
            let outer = tracing::info_span!("rpc", otel.name = "x", request_id = "req_1", job = tracing::field::Empty);
            outer.record("job", "job_1");
            let _outer = outer.entered();
            let _inner = tracing::info_span!("awx.launch", tenant = "acme", number = 7).entered();
            tracing::warn!(code = ?Some(3), "late: \"{}\"", 1);
        });
        let line = &lines[0];
        for (name, value) in [
            ("message", "late: \"1\""),
            ("level", "WARN"),
            ("span", "awx.launch"),
            ("request_id", "req_1"),
            ("job", "job_1"),
            ("tenant", "acme"),
            ("code", "Some(3)"),
        ] {
            assert_eq!(line[name], value, "{line}");
        }
        assert_eq!(line["number"], 7);
        assert!(line.get("otel.name").is_none());
    }

    #[test]
    fn a_line_outside_of_any_span_still_carries_the_request_s_ids() {
        let lines = written(|| {
            let context = context::RequestContext {
                request_id: "req_2".into(),
                token: Some("do-not-print".to_owned().into()),
                ..Default::default()
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(context::scope(context, async { tracing::info!("hello") }));
        });
        assert_eq!(lines[0]["request_id"], "req_2");
        assert!(!lines[0].to_string().contains("do-not-print"));
    }
}
