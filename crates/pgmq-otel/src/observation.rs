//! One operation: its span and its metrics.

use std::sync::Arc;
use std::time::Instant;

use opentelemetry::trace::{SpanBuilder, SpanKind, SpanRef, Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use pgmq_core::{Ended, Failed, Observation, OperationKind, Started, Succeeded, TraceContext};

use crate::context::{span_context, trace_context};
use crate::names;
use crate::shared::Shared;

/// The attributes of the metrics of single messages.
const BY_QUEUE: [&str; 2] = [names::SYSTEM, names::DESTINATION];

/// An operation that is under way.
pub(crate) struct Running {
    shared: Arc<Shared>,
    context: Context,
    begun: Instant,
    kind: OperationKind,
    is_batch: bool,
    /// The number of messages that are sent.
    sent: usize,
    /// The attributes of the metrics.
    labels: Vec<KeyValue>,
    has_ended: bool,
}

impl Running {
    pub(crate) fn new(shared: Arc<Shared>, started: &Started<'_>) -> Self {
        let kind = started.operation.kind();
        let is_batch = names::is_batch(started.operation);
        let labels = labels(started);
        let builder = span(started, is_batch, &labels, shared.propagates);
        let context = shared.tracer.start(builder, &Context::current());
        let sent = started.messages.filter(|_| kind == OperationKind::Send).unwrap_or(0);
        Self { shared, context, begun: Instant::now(), kind, is_batch, sent, labels, has_ended: false }
    }

    /// Ends the span, and records the metrics.
    fn end(&mut self, error_type: Option<String>) {
        self.has_ended = true;
        let span = self.context.span();
        if let Some(error_type) = error_type {
            let error_type = KeyValue::new(names::ERROR_TYPE, error_type);
            span.set_attribute(error_type.clone());
            self.labels.push(error_type);
        }
        span.end();
        if self.kind == OperationKind::Manage {
            return;
        }
        let instruments = &self.shared.instruments;
        instruments.duration.record(self.begun.elapsed().as_secs_f64(), &self.labels);
        if self.kind == OperationKind::Send {
            instruments.sent.add(count(self.sent), &self.labels);
        }
    }

    fn succeeded(&self, span: &SpanRef<'_>, succeeded: &Succeeded<'_>) {
        // The id of a message that is settled was known at the start.
        if let Some(id) = succeeded.message_id
            && self.kind != OperationKind::Settle
        {
            span.set_attribute(KeyValue::new(names::MESSAGE_ID, id.to_string()));
        }
        if self.kind != OperationKind::Receive {
            return;
        }
        if self.is_batch {
            span.set_attribute(KeyValue::new(names::MESSAGE_COUNT, integer(succeeded.messages)));
        }
        if succeeded.messages > 0 {
            self.shared.instruments.consumed.add(count(succeeded.messages), &self.labels);
        }
        let is_recording = span.is_recording();
        let mut links = 0;
        // Few attributes: the SDK hashes them for each message.
        let by_queue: Vec<_> =
            self.labels.iter().filter(|label| BY_QUEUE.contains(&label.key.as_str())).cloned().collect();
        let now = names::unix_micros();
        succeeded.for_each(|message| {
            if let Some(age) = &self.shared.age {
                age.record(names::seconds_between(message.enqueued_at.timestamp_micros(), now), &by_queue);
            }
            if is_recording
                && links < names::MAX_LINKS
                && let Some(sent_by) = message.trace_context().and_then(|context| span_context(&context))
            {
                links += 1;
                let id = KeyValue::new(names::MESSAGE_ID, message.msg_id.to_string());
                span.add_link(sent_by, vec![id]);
            }
        });
    }

    fn failed(&self, span: &SpanRef<'_>, failed: &Failed<'_>) -> String {
        // The text of the kind, as that of the error may quote a payload.
        span.set_status(Status::error(failed.kind.to_string()));
        if let Some(sqlstate) = failed.sqlstate {
            span.set_attribute(KeyValue::new(names::DB_STATUS, sqlstate.to_owned()));
        }
        failed.sqlstate.map_or_else(|| names::error_type(failed.kind), ToOwned::to_owned)
    }
}

impl Observation for Running {
    fn trace_context(&self) -> Option<TraceContext> {
        if !self.shared.propagates {
            return None;
        }
        trace_context(self.context.span().span_context())
    }

    fn within(&mut self, work: &mut dyn FnMut()) {
        let _attached = self.context.clone().attach();
        work();
    }

    fn ended(mut self: Box<Self>, ended: &Ended<'_>) {
        let span = self.context.span();
        if ended.attempts > 1 {
            span.set_attribute(KeyValue::new(names::ATTEMPTS, i64::from(ended.attempts)));
        }
        let error_type = match &ended.result {
            Ok(succeeded) => {
                self.succeeded(&span, succeeded);
                None
            }
            Err(failed) => Some(self.failed(&span, failed)),
        };
        self.end(error_type);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.context.span().set_status(Status::error("the operation was cancelled"));
            self.end(Some(names::CANCELLED.to_owned()));
        }
    }
}

/// The attributes that spans and metrics have in common. All of them have few values, so routing keys are
/// left out.
fn labels(started: &Started<'_>) -> Vec<KeyValue> {
    let mut labels = Vec::with_capacity(8);
    if let Some(operation_type) = operation_type(started.operation.kind()) {
        labels.push(KeyValue::new(names::SYSTEM, names::PGMQ));
        labels.push(KeyValue::new(names::OPERATION_NAME, names::short_name(started.operation)));
        labels.push(KeyValue::new(names::OPERATION_TYPE, operation_type));
        if let Some(queue) = started.queue {
            labels.push(KeyValue::new(names::DESTINATION, queue.to_owned()));
        }
    }
    if let Some(server) = started.server {
        labels.push(KeyValue::new(names::SERVER_ADDRESS, server.host.clone()));
        if let Some(port) = server.port {
            labels.push(KeyValue::new(names::SERVER_PORT, i64::from(port)));
        }
    }
    labels
}

/// The span of an operation.
fn span(started: &Started<'_>, is_batch: bool, labels: &[KeyValue], propagates: bool) -> SpanBuilder {
    let operation = started.operation;
    let mut attributes = Vec::with_capacity(labels.len() + 6);
    attributes.extend_from_slice(labels);
    attributes.push(KeyValue::new(names::DB_SYSTEM, "postgresql"));
    if let Some(database) = started.server.and_then(|server| server.database.as_ref()) {
        attributes.push(KeyValue::new(names::DB_NAMESPACE, database.clone()));
    }
    let table = names::table(operation, started.queue);
    attributes.push(match &table {
        Some(table) => KeyValue::new(names::DB_COLLECTION, table.clone()),
        None => KeyValue::new(names::DB_PROCEDURE, operation.function),
    });
    let destination = started.queue.or(started.routing_key);
    if operation.kind() == OperationKind::Manage {
        attributes.push(KeyValue::new(names::DB_OPERATION, operation.name));
        let name = match (&table, destination) {
            (Some(table), _) => format!("{} {table}", operation.name),
            (None, Some(destination)) => format!("{} {destination}", operation.function),
            (None, None) => operation.function.to_owned(),
        };
        return SpanBuilder::from_name(name).with_kind(SpanKind::Client).with_attributes(attributes);
    }
    if let Some(key) = started.routing_key {
        attributes.push(KeyValue::new(names::DESTINATION, key.to_owned()));
    }
    if let (Some(messages), true) = (started.messages, is_batch) {
        attributes.push(KeyValue::new(names::MESSAGE_COUNT, integer(messages)));
    }
    if let Some(id) = started.message_id {
        attributes.push(KeyValue::new(names::MESSAGE_ID, id.to_string()));
    }
    let short = names::short_name(operation);
    let name = destination.map_or_else(|| short.to_owned(), |destination| format!("{short} {destination}"));
    // A send is the producer of its messages if they carry the context of its span.
    let kind = match operation.kind() {
        OperationKind::Send if propagates => SpanKind::Producer,
        _ => SpanKind::Client,
    };
    SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes)
}

/// The value of `messaging.operation.type`; `None` if the operation is not about messages.
fn operation_type(kind: OperationKind) -> Option<&'static str> {
    match kind {
        OperationKind::Send => Some("send"),
        OperationKind::Receive => Some("receive"),
        OperationKind::Settle => Some("settle"),
        _ => None,
    }
}

/// A number of messages as the value of an attribute.
fn integer(messages: usize) -> i64 {
    i64::try_from(messages).unwrap_or(i64::MAX)
}

/// A number of messages as the value of a counter.
fn count(messages: usize) -> u64 {
    u64::try_from(messages).unwrap_or(u64::MAX)
}
