//! The spans and metrics of operations, on each back end.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod expected;
mod telemetry;

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, Status, TraceContextExt};
use opentelemetry_sdk::trace::SpanData;
use pgmq_core::{Message, PollOptions, SendOptions};
use pgmq_otel::OtelObserver;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::expected::{METRICS, SPANS};
use crate::telemetry::{Telemetry, database, shown, value};

/// The operations whose spans are expected, with `.await` for async queues.
macro_rules! run {
    ($queue:ident $($wait:tt)*) => {{
        $queue.create_queue("Orders")$($wait)*.unwrap();
        $queue.send("orders", &1)$($wait)*.unwrap();
        $queue.send_batch("orders", &[2, 3])$($wait)*.unwrap();
        $queue.bind_topic("orders", "a.*")$($wait)*.unwrap();
        $queue.send_topic("a.b", &4)$($wait)*.unwrap();
        $queue.read::<String>("orders", 0)$($wait)*.unwrap_err();
        $queue.read::<i32>("orders", 0)$($wait)*.unwrap();
        $queue.read_batch::<i32>("orders", 60, 10)$($wait)*.unwrap();
        $queue.read::<i32>("orders", 60)$($wait)*.unwrap();
        $queue.set_vt::<i32>("orders", 1, 60)$($wait)*.unwrap();
        $queue.delete("orders", 1)$($wait)*.unwrap();
        $queue.archive_batch("orders", &[2, 3])$($wait)*.unwrap();
        $queue.peek::<i32>("orders", 5)$($wait)*.unwrap();
        $queue.list_queues()$($wait)*.unwrap();
        $queue.send("missing", "a secret")$($wait)*.unwrap_err();
        $queue.pop::<i32>("orders")$($wait)*.unwrap();
    }};
}

fn assert_telemetry(telemetry: &Telemetry) {
    let spans = telemetry.take();
    let sent: Vec<_> = spans.iter().filter(|span| span.name.starts_with("send")).map(id).collect();
    let found: Vec<_> = spans
        .iter()
        .map(|span| {
            (&*span.name, format!("{:?}", span.span_kind), shown(&span.attributes), links(span, &sent))
        })
        .collect();
    let expected: Vec<_> = SPANS
        .iter()
        .map(|(name, kind, attributes, links)| {
            (*name, (*kind).to_owned(), (*attributes).to_owned(), (*links).to_owned())
        })
        .collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
    for span in &spans {
        let of_database = ["db.system.name", "db.namespace", "server.address", "server.port"];
        for key in of_database {
            assert!(value(span, key).is_some(), "{} has no {key}", span.name);
        }
        let is_error = value(span, "error.type").is_some();
        assert_eq!(matches!(span.status, Status::Error { .. }), is_error, "{span:?}");
        assert!(!format!("{span:?}").contains("secret"), "{span:?}");
        assert_eq!(span.instrumentation_scope.schema_url(), Some("https://opentelemetry.io/schemas/1.44.0"));
    }
    for (name, points) in METRICS {
        let expected: Vec<_> =
            points.iter().map(|(attributes, value)| ((*attributes).to_owned(), *value)).collect();
        assert_eq!(telemetry.points(name), expected, "{name}");
    }
}

/// Runs an async test with a database and its telemetry.
fn on_tokio(test: impl AsyncFnOnce(&str, &Telemetry)) {
    let (database, telemetry) = (database(), Telemetry::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test(database.url(), &telemetry));
}

fn id(span: &SpanData) -> SpanId {
    span.span_context.span_id()
}

/// The messages of the links of a span, each by its id and the number of the send span that it leads to.
fn links(span: &SpanData, sent: &[SpanId]) -> String {
    let link = |link: &opentelemetry::trace::Link| {
        let number = sent.iter().position(|id| *id == link.span_context.span_id()).unwrap();
        format!("{}<-{number}", shown(&link.attributes).replace("messaging.message.id=", ""))
    };
    span.links.links.iter().map(link).collect::<Vec<_>>().join(" ")
}

#[test]
fn pgmq_tokio_has_the_spans_and_metrics() {
    on_tokio(async |url, telemetry| {
        let builder = pgmq_tokio::PGMQueue::builder().url(url).observer(telemetry.observer());
        let queue = builder.connect().await.unwrap();
        run!(queue.await);
        assert_telemetry(telemetry);
    });
}

#[test]
fn pgmq_sqlx_has_the_spans_and_metrics() {
    on_tokio(async |url, telemetry| {
        let builder = pgmq_sqlx::PGMQueue::builder().url(url).observer(telemetry.observer());
        let queue = builder.connect().await.unwrap();
        run!(queue.await);
        assert_telemetry(telemetry);
        queue.close().await;
    });
}

#[test]
fn pgmq_diesel_async_has_the_spans_and_metrics() {
    on_tokio(async |url, telemetry| {
        let builder = pgmq_diesel_async::PGMQueue::builder().url(url).observer(telemetry.observer());
        let queue = builder.connect().await.unwrap();
        run!(queue.await);
        assert_telemetry(telemetry);
    });
}

#[test]
fn pgmq_postgres_has_the_spans_and_metrics() {
    let (database, telemetry) = (database(), Telemetry::new());
    let builder = pgmq_postgres::PGMQueue::builder().url(database.url()).observer(telemetry.observer());
    let queue = builder.connect().unwrap();
    run!(queue);
    assert_telemetry(&telemetry);
}

#[test]
fn pgmq_diesel_has_the_spans_and_metrics() {
    let (database, telemetry) = (database(), Telemetry::new());
    let builder = pgmq_diesel::PGMQueue::builder().url(database.url()).observer(telemetry.observer());
    let queue = builder.connect().unwrap();
    run!(queue);
    assert_telemetry(&telemetry);
}

#[test]
fn a_poll_that_is_dropped_is_cancelled() {
    on_tokio(async |url, telemetry| {
        let builder = pgmq_tokio::PGMQueue::builder().url(url).observer(telemetry.observer());
        let queue = builder.connect().await.unwrap();
        queue.create_queue("q").await.unwrap();
        telemetry.take();
        let options = PollOptions::new().timeout(Duration::from_secs(600));
        let poll = queue.read_with_poll::<i32>("q", 30, 1, &options);
        tokio::time::timeout(Duration::from_millis(50), poll).await.unwrap_err();
        let [span] = &telemetry.take()[..] else { panic!("one span") };
        assert_eq!(
            (&*span.name, value(span, "error.type").as_deref()),
            ("read_with_poll q", Some("cancelled"))
        );
        assert_eq!(span.status, Status::error("the operation was cancelled"));
        let [(attributes, 1)] = &telemetry.points("messaging.client.operation.duration")[..] else {
            panic!("one duration")
        };
        assert!(attributes.starts_with("error.type=cancelled "), "{attributes}");
    });
}

#[test]
fn an_operation_works_in_the_context_of_its_span() {
    on_tokio(async |url, telemetry| {
        /// The span that a payload was decoded in.
        struct DecodedIn(SpanId);

        impl<'de> Deserialize<'de> for DecodedIn {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                i32::deserialize(deserializer)?;
                Ok(Self(Context::current().span().span_context().span_id()))
            }
        }

        let builder = pgmq_tokio::PGMQueue::builder().url(url).observer(telemetry.observer());
        let queue = builder.connect().await.unwrap();
        queue.create_queue("q").await.unwrap();
        queue.send("q", &1).await.unwrap();
        let message: Message<DecodedIn> = queue.read("q", 30).await.unwrap().unwrap();
        let spans = telemetry.take();
        assert_eq!(id(spans.last().unwrap()), message.message.0);
        assert!(!Context::current().has_active_span());
    });
}

#[test]
fn headers_are_sent_only_if_asked_for_and_never_over_those_of_the_caller() {
    on_tokio(async |url, telemetry| {
        let queue = pgmq_tokio::PGMQueue::connect(url).await.unwrap();
        queue.create_queue("q").await.unwrap();
        let silent = queue.clone().with_observer(OtelObserver::new(&telemetry.tracers, &telemetry.meters));
        silent.send("q", &1).await.unwrap();
        let [span] = &telemetry.take()[..] else { panic!("one span") };
        assert_eq!(span.span_kind, opentelemetry::trace::SpanKind::Client);

        let queue = queue.with_observer(telemetry.observer());
        let own = json!({"traceparent": "mine", "n": 1});
        queue.send_with("q", &2, &SendOptions::new().headers(&own)).await.unwrap();
        queue.send_with("q", &3, &SendOptions::new().headers(&json!({"n": 1}))).await.unwrap();
        let spans = telemetry.take();
        let messages = queue.peek::<i32>("q", 10).await.unwrap();
        assert_eq!(messages[0].headers, None);
        assert_eq!(messages[1].parse_headers::<serde_json::Value>().unwrap(), Some(own));
        let context = pgmq_otel::trace_context(&spans[1].span_context);
        assert_eq!(messages[2].trace_context(), context);
        let headers = messages[2].parse_headers::<serde_json::Value>().unwrap().unwrap();
        assert_eq!(headers["n"], 1);
    });
}

#[test]
fn a_span_has_links_to_the_first_messages_of_a_large_read() {
    on_tokio(async |url, telemetry| {
        let builder = pgmq_tokio::PGMQueue::builder().url(url).observer(telemetry.observer());
        let queue = builder.connect().await.unwrap();
        queue.create_queue("q").await.unwrap();
        queue.send_batch("q", &[0; 200]).await.unwrap();
        queue.read_batch::<i32>("q", 30, 200).await.unwrap();
        let spans = telemetry.take();
        let read = spans.last().unwrap();
        assert_eq!(
            (read.links.links.len(), value(read, "messaging.batch.message_count").as_deref()),
            (128, Some("200"))
        );
        assert_eq!(telemetry.points("pgmq.message.age")[0].1, 200);
    });
}
