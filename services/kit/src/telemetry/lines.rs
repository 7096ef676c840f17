//! Log lines: one flat JSON object each, with the ids of the request it was written for.
//!
//! The ids of a line may stand in any of the spans around it, or only in the request's context; a search of the logs
//! for one must find the line all the same.

use std::cell::RefCell;
use std::fmt;
use std::io::Write as _;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock as _, SystemClock};
use crate::context;
use crate::tenant::TenantId;

/// What ties lines together. Of other fields of spans only those of the innermost are written.
const IDS: &[&str] = &["request_id", "trace_id", "tenant", "principal", "job", "service"];
/// A buffer that a long line has made larger than this is not kept.
const KEPT: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes lines. Fields of spans are kept as they are and become text only when a line is written: most spans see none.
pub(super) struct Lines<W>(pub(super) W);

/// The fields of a span.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        // Taken out, so that whatever is logged meanwhile, or while the thread ends, finds none instead of this one.
        let mut buffer = BUFFER.try_with(RefCell::take).unwrap_or_default();
        buffer.clear();
        let mut line = Line { buffer: &mut buffer, written: Vec::with_capacity(16) };
        line.put("timestamp", &SystemClock.now().rfc3339().into());
        line.put("level", &metadata.level().as_str().into());
        line.put("target", &metadata.target().into());
        fields.0.iter().for_each(|(name, value)| line.put(name, value));
        for (depth, span) in ctx.event_scope(event).into_iter().flatten().enumerate() {
            if depth == 0 {
                line.put("span", &span.name().into());
            }
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<Fields>() else { continue };
            // The nearest wins.
            let wanted = fields.0.iter().filter(|(name, _)| depth == 0 || IDS.contains(name));
            wanted.for_each(|(name, value)| line.put(name, value));
        }
        context::with_current(|context| {
            let caller = context.caller.as_deref();
            let mut unless_known = |name: &'static str, value: &str| {
                if !value.is_empty() {
                    line.put(name, &value.into());
                }
            };
            unless_known("request_id", &context.request_id);
            unless_known("trace_id", &context.trace_id);
            unless_known("tenant", caller.and_then(|c| c.tenant()).map_or("", TenantId::as_str));
            unless_known("principal", caller.map_or("", |c| &c.principal));
        });
        buffer.extend_from_slice(b"}\n");
        // A line that cannot be written is lost: there is nowhere left to say so.
        let _lost = self.0.make_writer_for(metadata).write_all(&buffer);
        if buffer.capacity() <= KEPT {
            let _kept = BUFFER.try_with(|kept| kept.replace(buffer));
        }
    }
}

/// A line as far as it is written.
struct Line<'a> {
    buffer: &'a mut Vec<u8>,
    written: Vec<&'static str>,
}

impl Line<'_> {
    /// Adds a field, unless the line has one of this name.
    fn put(&mut self, name: &'static str, value: &Value) {
        if self.written.contains(&name) {
            return;
        }
        self.written.push(name);
        self.buffer.push(if self.buffer.is_empty() { b'{' } else { b',' });
        // Writing text and numbers into memory cannot fail.
        let _written = serde_json::to_writer(&mut *self.buffer, name);
        self.buffer.push(b':');
        let _written = serde_json::to_writer(&mut *self.buffer, value);
    }
}

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        let name = field.name();
        // For traces only.
        if name.starts_with("otel.") {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value.into(),
            None => self.0.push((name, value.into())),
        }
    }
}

impl Visit for Fields {
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
        let layer = Lines(move || writer.clone());
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
        assert!(line["timestamp"].is_string());
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

    #[test]
    fn no_name_stands_twice_in_a_line_and_the_nearest_value_wins() {
        let memory = Memory::default();
        let writer = memory.clone();
        with_default(tracing_subscriber::registry().with(Lines(move || writer.clone())), || {
            let outer = tracing::info_span!("outer", job = "job_1", tenant = "acme", noise = 1);
            let _outer = outer.entered();
            let inner = tracing::info_span!("inner", job = "job_2");
            inner.record("job", "job_3");
            let _inner = inner.entered();
            tracing::info!(tenant = "umbrella", "first");
            tracing::info!("second");
        });
        let bytes = memory.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches("\"job\"").count(), 2, "{text}");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["job"], &lines[0]["tenant"]), (&"job_3".into(), &"umbrella".into()));
        assert_eq!((&lines[1]["job"], &lines[1]["tenant"]), (&"job_3".into(), &"acme".into()));
        assert!(!text.contains("noise"), "{text}");
    }
}
