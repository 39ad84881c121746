//! The spans and metrics of a worker's handlers.

#![cfg(feature = "worker")]
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

#[path = "../operations/telemetry.rs"]
mod telemetry;

mod every_event;
mod metrics;
mod one_trace;

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceContextExt};
use opentelemetry_sdk::trace::SpanData;
use pgmq_otel::OtelWorker;
use pgmq_worker::testing::{MemoryQueue, World};
use pgmq_worker::{Batch, Failure, Job, Outcome, Queue, Retry, sync};

use crate::telemetry::{Telemetry, database, shown, value};

const SECOND: Duration = Duration::from_secs(1);

/// A message that was sent by a span of this number.
fn traceparent(span: u64) -> serde_json::Value {
    serde_json::json!({"traceparent": format!("00-{:032x}-{span:016x}-01", 7)})
}

/// The spans of the handlers, in the order of their ends.
fn processes(telemetry: &Telemetry) -> Vec<SpanData> {
    telemetry.take().into_iter().filter(|span| span.name.starts_with("process")).collect()
}

/// The attributes that do not depend on time.
fn steady(span: &SpanData) -> String {
    shown(span.attributes.iter().filter(|pair| pair.key.as_str() != "pgmq.message.time_in_queue"))
}

#[test]
fn a_handler_has_a_span_with_its_outcome() {
    on_tokio(async |url, telemetry| {
        let queue = pgmq_tokio::PGMQueue::connect(url).await.unwrap();
        queue.create_queue("q").await.unwrap();
        let otel = OtelWorker::new(&telemetry.tracers, &telemetry.meters);
        let handler = async |job: Job<i32>| -> Result<Outcome, Failure> {
            match *job {
                1 => Ok(Outcome::Archive),
                2 => Err("a secret".into()),
                3 => Ok(Outcome::dead_letter("a secret")),
                _ => panic!("a secret"),
            }
        };
        let settings = Queue::new().concurrency(1).prefetch(0).retry(Retry::fixed(SECOND * 60));
        let builder = pgmq_worker::Worker::builder(queue.clone()).layer(otel.clone()).observer(otel);
        let worker = builder.queue("q", settings, handler).start().await.unwrap();
        let mut events = worker.handle().watch("q").unwrap();
        let options = pgmq_core::SendOptions::new().headers(&traceparent(5));
        for number in 1..=4 {
            let id = queue.send_with("q", &number, &options).await.unwrap();
            events.until(|event| event.msg_id == id).await.unwrap();
        }
        queue.send("q", "no number").await.unwrap();
        events.until(|event| event.is_dead_for(5)).await.unwrap();
        assert!(worker.stop().await.is_clean());

        let spans = processes(telemetry);
        let common = "messaging.destination.name=q messaging.message.id=# messaging.operation.name=process messaging.operation.type=process";
        for ((span, number), (error, outcome)) in spans.iter().zip(1..).zip([
            ("", "archive"),
            ("error.type=_OTHER ", "retry"),
            ("error.type=_OTHER ", "dead_letter"),
            ("error.type=panic ", "retry"),
            ("error.type=decode ", "dead_letter"),
        ]) {
            let common = common.replace('#', &number.to_string());
            let expected = format!("{error}{common} pgmq.message.read_count=1 pgmq.outcome={outcome}");
            assert_eq!(steady(span), expected);
            assert_eq!((&*span.name, &span.span_kind), ("process q", &SpanKind::Consumer));
            let status = if error.is_empty() { Status::Unset } else { Status::error("") };
            assert_eq!(span.status, status);
            let waited: f64 = value(span, "pgmq.message.time_in_queue").unwrap().parse().unwrap();
            assert!((0.0..60.0).contains(&waited), "{waited}");
            assert_eq!(span.parent_span_id, SpanId::INVALID);
            let links: Vec<_> = span.links.links.iter().map(|link| link.span_context.span_id()).collect();
            let expected = if number == 5 { vec![] } else { vec![SpanId::from(5_u64)] };
            assert_eq!(links, expected);
            assert!(!format!("{span:?}").contains("secret"), "{span:?}");
        }
        assert_eq!(spans.len(), 5);
        let durations = telemetry.points("messaging.process.duration");
        let counts: Vec<_> = durations.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1, 1, 1], "{durations:?}");
        let of_queue = |name: &str| (format!("messaging.destination.name=q {name}"), 1_u64);
        assert_eq!(
            telemetry.points("pgmq.worker.messages"),
            [
                of_queue("pgmq.event=archived"),
                of_queue("pgmq.event=dead_lettered pgmq.reason=decode"),
                of_queue("pgmq.event=dead_lettered pgmq.reason=permanent"),
                (of_queue("pgmq.event=retried").0, 2),
            ]
        );
        for name in ["pgmq.worker.time_in_queue", "pgmq.worker.lease.left"] {
            assert_eq!(telemetry.points(name), [("messaging.destination.name=q".to_owned(), 5)], "{name}");
        }
        assert_eq!(telemetry.points("pgmq.worker.calls.failed"), []);
    });
}

/// Sends three messages, by spans of the same numbers.
fn send_three(queue: &MemoryQueue) {
    for number in 1..=3 {
        let options = pgmq_core::SendOptions::new().headers(&traceparent(number));
        pgmq_core::Queue::send_with(queue, "q", &number, &options).unwrap();
    }
}

/// Asserts that the handler of the three messages, of which the second has failed, has one span.
fn assert_batch(telemetry: &Telemetry) {
    let [span] = &processes(telemetry)[..] else { panic!("one span") };
    assert_eq!(
        steady(span),
        "error.type=_OTHER messaging.batch.message_count=3 messaging.destination.name=q messaging.operation.name=process messaging.operation.type=process pgmq.batch.failed_count=1"
    );
    assert_eq!((&*span.name, &span.span_kind), ("process q", &SpanKind::Consumer));
    assert_eq!((&span.status, span.parent_span_id), (&Status::error("no"), SpanId::INVALID));
    let link = |link: &opentelemetry::trace::Link| (link.span_context.span_id(), shown(&link.attributes));
    let links: Vec<_> = span.links.links.iter().map(link).collect();
    let expected =
        [1_u64, 2, 3].map(|number| (SpanId::from(number), format!("messaging.message.id={number}")));
    assert_eq!(links, expected);
    assert_eq!(telemetry.points("messaging.process.duration").len(), 1);
}

#[tokio::test]
async fn a_batch_has_one_span_with_links_to_its_messages() {
    let telemetry = Telemetry::new();
    let world = World::with_queues(["q"]);
    send_three(&world.queue());
    // Batches have links only.
    let otel = OtelWorker::new(&telemetry.tracers, &telemetry.meters).parent_from_message().error_text();
    let handler = async |batch: Batch<u64>| {
        assert!(Context::current().has_active_span());
        batch.outcomes(|job| if **job == 2 { Err("no") } else { Ok(()) })
    };
    let _worker = world.worker().layer(otel).queue("q", Queue::new(), handler).start().await.unwrap();
    world.pass(SECOND).await;
    assert_batch(&telemetry);
}

#[test]
fn a_batch_of_a_sync_handler_has_the_same_span() {
    let telemetry = Telemetry::new();
    let world = sync::testing::World::with_queues(["q"]);
    send_three(&world.queue());
    let otel = OtelWorker::new(&telemetry.tracers, &telemetry.meters).parent_from_message().error_text();
    let handler = |batch: &sync::Batch<u64>| {
        assert!(Context::current().has_active_span());
        batch.outcomes(|job| if **job == 2 { Err("no") } else { Ok(()) })
    };
    let _worker = world.worker().layer(otel).queue("q", Queue::new(), handler).start().unwrap();
    world.pass(SECOND);
    assert_batch(&telemetry);
}

#[tokio::test]
async fn a_handler_that_is_dropped_is_cancelled() {
    let telemetry = Telemetry::new();
    let world = World::with_queues(["q"]);
    let otel = OtelWorker::new(&telemetry.tracers, &telemetry.meters);
    let handler = async |_: Job<i32>| std::future::pending::<()>().await;
    let worker = world.worker().layer(otel).queue("q", Queue::new(), handler).start().await.unwrap();
    world.send("q", &1);
    world.pass(SECOND).await;
    worker.handle().stop_now();
    world.pass(SECOND * 60).await;
    let [span] = &processes(&telemetry)[..] else { panic!("one span") };
    assert_eq!(value(span, "error.type").as_deref(), Some("cancelled"));
    assert_eq!(span.status, Status::error("the handler was cancelled"));
}

/// Runs an async test with a database and its telemetry.
fn on_tokio(test: impl AsyncFnOnce(&str, &Telemetry)) {
    let (database, telemetry) = (database(), Telemetry::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test(database.url(), &telemetry));
}
