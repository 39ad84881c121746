//! Spans and events for subscribers of `tracing`.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use pgmq_core::backend::{FailureClass, Observing, Reconnects, Retry};
use pgmq_core::{
    Action, Error, ErrorKind, Output, Query, ServerVersion, Statement, TracingObserver, statement,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// The fields of spans and events, in the order in which they began. An event has the name of its span.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Fields>>>);

#[derive(Debug, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// The place of a span in the log.
struct At(usize);

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut log = self.0.lock().unwrap();
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(At(log.len()));
        log.push(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let At(at) = *span.extensions().get::<At>().unwrap();
        values.record(&mut self.0.lock().unwrap()[at]);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        fields.0.insert("level", event.metadata().level().to_string());
        if let Some(span) = context.event_span(event) {
            let At(at) = *span.extensions().get::<At>().unwrap();
            let name = self.0.lock().unwrap()[at].0["otel.name"].clone();
            fields.0.insert("in", name);
        }
        self.0.lock().unwrap().push(fields);
    }
}

impl Log {
    /// The entries of what the closure does.
    fn of(work: impl FnOnce()) -> Vec<BTreeMap<&'static str, String>> {
        let log = Self::default();
        tracing::subscriber::with_default(Registry::default().with(log.clone()), work);
        let mut entries = log.0.lock().unwrap();
        std::mem::take(&mut *entries).into_iter().map(|fields| fields.0).collect()
    }
}

fn query<O: Output>(statement: Statement<'_, O>) -> Query<'_, O> {
    match statement.into_action() {
        Action::Run(query) => query,
        Action::Return(_) => panic!("the statement runs a query"),
    }
}

/// Runs a statement that has this result, with an event of the driver.
fn run<O: Output>(statement: Statement<'_, O>, result: Result<O, Error>) {
    let mut query = query(statement);
    let mut observed = Observing::default().by(TracingObserver::new()).begin(&mut query);
    observed.run(|| tracing::info!("the driver works"));
    let _ = observed.end(&query, result);
}

fn shown<'e>(entry: &'e BTreeMap<&'static str, String>, names: &[&'static str]) -> Vec<&'e str> {
    names.iter().map(|name| entry.get(name).map_or("", String::as_str)).collect()
}

const NAMES: [&str; 6] = [
    "otel.name",
    "otel.kind",
    "messaging.batch.message_count",
    "pgmq.messages",
    "messaging.message.id",
    "error.type",
];

#[test]
fn an_operation_is_a_span_that_the_drivers_events_are_in() {
    let log = Log::of(|| run(statement::send("Orders", &1), Ok(7)));
    assert_eq!(shown(&log[0], &NAMES), ["send orders", "producer", "1", "1", "7", ""]);
    assert_eq!(shown(&log[1], &["message", "in"]), ["the driver works", "send orders"]);

    let log = Log::of(|| run(statement::delete_batch("orders", &[7, 8]), Ok(vec![8])));
    assert_eq!(shown(&log[0], &NAMES), ["delete_batch orders", "client", "2", "1", "", ""]);
    let log = Log::of(|| run(statement::send_topic("orders.new", &1), Ok(3)));
    assert_eq!(shown(&log[0], &NAMES), ["send_topic orders.new", "producer", "1", "3", "", ""]);
}

#[test]
fn a_failure_is_an_event_with_the_error_and_the_span_has_its_kind() {
    let log = Log::of(|| {
        run(statement::send("orders", &1), Err(Error::new(ErrorKind::QueueNotFound, "there is no queue")));
    });
    assert_eq!(shown(&log[0], &["error.type"]), ["queue_not_found"]);
    assert_eq!(shown(&log[2], &["error", "in", "level"]), ["there is no queue", "send orders", "DEBUG"]);
}

#[test]
fn an_operation_that_is_dropped_is_cancelled() {
    let log = Log::of(|| {
        let mut query = query(statement::read::<i32>("orders", 30));
        drop(Observing::default().by(TracingObserver::new()).begin(&mut query));
    });
    assert_eq!(shown(&log[0], &["error.type"]), ["cancelled"]);
}

#[test]
fn a_safe_retry_is_a_warning_and_a_harmless_one_is_not() {
    let server = ServerVersion::default();
    let query = query(statement::send("orders", &1));
    let log = Log::of(|| {
        let mut retry = Retry::new(&server, 1).of(query.call());
        let variant = retry.variant(&query);
        retry.after(FailureClass::UnknownFunction, variant);
        retry.after(FailureClass::NotCommitted, query.oldest_variant());
        retry.after(FailureClass::Other, query.oldest_variant());
        // Of a transaction that begins.
        let mut beginning = Retry::new(&server, 1);
        beginning.reconnect();
        beginning.reconnect();
    });
    let shown: Vec<_> = log.iter().map(|entry| shown(entry, &["level", "operation", "reason"])).collect();
    let older = ["DEBUG", "send", "the server's PGMQ is older"];
    let unsent = ["WARN", "", "the connection was lost before anything was sent"];
    assert_eq!(shown, [older, ["WARN", "send", "the connection was lost"], unsent]);
}

#[test]
fn a_listener_tells_of_its_connection() {
    let log = Log::of(|| {
        let now = Instant::now();
        let mut reconnects = Reconnects::new(now);
        reconnects.after_loss(now);
        reconnects.after_failure();
        reconnects.connected(now);
    });
    let levels: Vec<_> = log.iter().map(|entry| entry["level"].as_str()).collect();
    assert_eq!(levels, ["WARN", "WARN", "INFO"]);
    assert!(log[1]["message"].contains("cannot connect"), "{log:?}");
}
