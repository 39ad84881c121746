//! Spans of `tracing`.

use std::fmt;

use tracing::field::Empty;
use tracing::{Span, debug, debug_span};

use crate::observer::ended::Ended;
use crate::observer::started::{OperationKind, Started};
use crate::observer::{Observation, Observer};

/// An observer that makes a span of [`tracing`](https://docs.rs/tracing) of each operation.
///
/// The spans have the target `pgmq` and the level `DEBUG`. The span is entered for each poll of a future, and
/// for the whole of a call that blocks, so that the driver's own events are in it. Its fields have the names
/// of OpenTelemetry's conventions, and no payload, header or part of a connection string other than the host,
/// the port and the database.
///
/// | field | value |
/// |---|---|
/// | `otel.name`, `otel.kind` | such as `send orders` and `producer`, for a bridge to OpenTelemetry |
/// | `messaging.destination.name` | the queue, or the routing key |
/// | `messaging.batch.message_count` | the number of messages that are sent or settled |
/// | `messaging.message.id` | the id of a single message |
/// | `pgmq.messages` | at the end: the number of messages that were sent, received or found |
/// | `pgmq.attempts` | at the end, if the operation ran more than once |
/// | `error.type` | after a failure: the SQLSTATE, or the kind; `cancelled` if the future was dropped |
///
/// A failure is also an event of level `DEBUG` with the text of the error. The caller has the error, and
/// knows whether somebody should hear of it.
///
/// ```
/// use pgmq_core::{Observer, TracingObserver};
///
/// // To be given to the builder of a back end: `PGMQueue::builder().observer(TracingObserver::new())`.
/// fn observer() -> impl Observer {
///     TracingObserver::new()
/// }
/// # observer();
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TracingObserver {}

impl TracingObserver {
    /// Creates the observer.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Observer for TracingObserver {
    fn started(&self, started: &Started<'_>) -> Box<dyn Observation> {
        let destination = started.queue.or(started.routing_key);
        let kind = match started.operation.kind() {
            OperationKind::Send => "producer",
            OperationKind::Receive | OperationKind::Settle | OperationKind::Manage => "client",
        };
        let server = started.server;
        let span = debug_span!(
            target: "pgmq",
            "pgmq",
            otel.name = %Name(started.operation.name, destination),
            otel.kind = kind,
            messaging.system = "pgmq",
            messaging.operation.name = started.operation.name,
            messaging.destination.name = destination,
            messaging.batch.message_count = started.messages,
            messaging.message.id = started.message_id,
            db.system.name = "postgresql",
            db.namespace = server.and_then(|server| server.database.as_deref()),
            server.address = server.map(|server| &*server.host),
            server.port = server.and_then(|server| server.port),
            pgmq.messages = Empty,
            pgmq.attempts = Empty,
            // A literal, as `type` is a keyword.
            "error.type" = Empty,
        );
        // A span that is disabled is not always none: with the feature `log` of tracing it has its metadata.
        match span.is_disabled() {
            // Takes no memory.
            true => Box::new(Disabled),
            false => Box::new(Spanned { span, has_ended: false }),
        }
    }
}

/// The name of a span: the operation, and its destination.
struct Name<'a>(&'static str, Option<&'a str>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        self.1.map_or(Ok(()), |destination| write!(f, " {destination}"))
    }
}

/// An operation whose span no subscriber wants.
struct Disabled;

impl Observation for Disabled {
    fn ended(self: Box<Self>, _: &Ended<'_>) {}
}

/// An operation with a span.
struct Spanned {
    span: Span,
    has_ended: bool,
}

impl Observation for Spanned {
    fn within(&mut self, work: &mut dyn FnMut()) {
        self.span.in_scope(work);
    }

    fn ended(mut self: Box<Self>, ended: &Ended<'_>) {
        self.has_ended = true;
        if ended.attempts > 1 {
            self.span.record("pgmq.attempts", ended.attempts);
        }
        match &ended.result {
            Ok(succeeded) => {
                self.span.record("pgmq.messages", succeeded.messages);
                if let Some(id) = succeeded.message_id {
                    self.span.record("messaging.message.id", id);
                }
            }
            Err(failed) => {
                self.span.record("error.type", failed.sqlstate.unwrap_or(failed.kind.as_str()));
                self.span
                    .in_scope(|| debug!(target: "pgmq", error = %failed.error, "the operation has failed"));
            }
        }
    }
}

impl Drop for Spanned {
    fn drop(&mut self) {
        if !self.has_ended {
            self.span.record("error.type", "cancelled");
        }
    }
}
