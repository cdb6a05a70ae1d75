use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::level::{LevelSwitch, OWN_TARGETS};
use super::line::{Cut, Format, Line, Severity};
use super::sink::Sink;
use crate::config::LogLevel;

/// How long a line may hold up the process that it says is ending.
pub(super) const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// Turns events into lines. Of spans it knows one thing, the `request_id`.
#[derive(Debug)]
pub(super) struct LineLayer {
    pub(super) switch: LevelSwitch,
    pub(super) format: Format,
    pub(super) clock: fn() -> SystemTime,
    pub(super) sink: Arc<Sink>,
}

/// The field of a span or an event that names the request it belongs to.
const REQUEST_ID: &str = "request_id";

/// What a span remembers.
struct RequestId(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LineLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        remember(fields, id, &context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        remember(fields, id, &context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let bridged = event.normalized_metadata();
        let metadata = bridged.as_ref().unwrap_or_else(|| event.metadata());
        let mut fields = Fields::default();
        event.record(&mut fields);
        let severity = Severity::of(*metadata.level(), fields.fatal);
        if self.switch.get() == LogLevel::Fatal && severity != Severity::Fatal {
            return;
        }
        if !metadata.target().starts_with(OWN_TARGETS) {
            fields.others.push(("target", Value::from(metadata.target())));
        }
        let request_id = fields.request_id.or_else(|| {
            let mut scope = context.event_scope(event)?;
            scope.find_map(|span| span.extensions().get::<RequestId>().map(|id| id.0.clone()))
        });
        let line = Line { severity, message: fields.message, request_id, fields: fields.others };
        let fatal = severity == Severity::Fatal;
        self.sink.push(&self.format.render(&line, (self.clock)()), fatal);
        if fatal {
            self.sink.drain(FLUSH_PATIENCE);
        }
    }
}

fn remember<S: Subscriber + for<'a> LookupSpan<'a>>(fields: Fields, id: &Id, context: &Context<'_, S>) {
    if let (Some(request_id), Some(span)) = (fields.request_id, context.span(id)) {
        span.extensions_mut().replace(RequestId(request_id));
    }
}

/// The fields of an event or a span, sorted into those that mean something here and the others.
#[derive(Default)]
struct Fields {
    message: String,
    request_id: Option<String>,
    fatal: bool,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            REQUEST_ID => self.request_id = Some(text).filter(|id| !id.is_empty()),
            name => self.other(name, Value::from(text)),
        }
    }

    fn other(&mut self, name: &'static str, value: Value) {
        // Where a record of the `log` crate came from; the target says enough.
        if !name.starts_with("log.") {
            self.others.push((name, value));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, Cut::of(format_args!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, Cut::of(format_args!("{value}")));
    }

    /// An error with its causes, the outermost first.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        self.text(field, Cut::of(format_args!("{text}")));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "fatal" => self.fatal = value,
            name => self.other(name, Value::from(value)),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.other(field.name(), Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.other(field.name(), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.other(field.name(), Value::from(value));
    }
}
