//! A trace that goes from a web request through a queue into a worker's handler, and on through a second
//! queue, on each back end.

use opentelemetry::Context;
use opentelemetry::trace::{FutureExt, SpanId, TraceContextExt, TraceId, Tracer, TracerProvider};
use opentelemetry_sdk::trace::SpanData;
use pgmq_core::{AsyncListen, Listen, Message};
use pgmq_otel::OtelWorker;
use pgmq_worker::{Job, Queue, Worker, sync};

use crate::on_tokio;
use crate::telemetry::{Telemetry, database};

/// The span of a web request.
fn request(telemetry: &Telemetry) -> Context {
    Context::new().with_span(telemetry.tracers.tracer("web").start("GET /"))
}

/// Asserts that each span is below the one before, in one trace, and that the last read has a link to it.
fn assert_one_trace(telemetry: &Telemetry, request: &Context, message: &Message<i32>) {
    request.span().end();
    let trace = request.span().span_context().trace_id();
    let spans = telemetry.take();
    let find = |name: &str, parent: SpanId| -> &SpanData {
        let found = spans.iter().find(|span| span.name == name && span.parent_span_id == parent);
        let span = found.unwrap_or_else(|| panic!("there is no {name} below {parent} in {spans:#?}"));
        assert_eq!(span.span_context.trace_id(), trace, "{name}");
        span
    };
    let mut last = request.span().span_context().span_id();
    for name in ["send first", "process first", "in the handler", "send second"] {
        last = find(name, last).span_context.span_id();
    }
    let read = spans.iter().rfind(|span| span.name == "read second").unwrap();
    let [link] = &read.links.links[..] else { panic!("one link") };
    assert_eq!((link.span_context.trace_id(), link.span_context.span_id()), (trace, last));
    let context = pgmq_otel::span_context(&message.trace_context().unwrap()).unwrap();
    assert_eq!(context.span_id(), last);
    assert_ne!(trace, TraceId::INVALID);
}

async fn on_async<Q: AsyncListen + Clone + Send + Sync + 'static>(queue: Q, telemetry: &Telemetry) {
    for name in ["first", "second"] {
        queue.create_queue(name).await.unwrap();
    }
    let otel = OtelWorker::new(&telemetry.tracers, &telemetry.meters).parent_from_message();
    let sending = queue.clone();
    let tracer = telemetry.tracers.tracer("handler");
    let handler = move |job: Job<i32>| {
        let (queue, tracer) = (sending.clone(), tracer.clone());
        async move {
            // The context is that of the span, also after the handler has waited.
            tokio::task::yield_now().await;
            let inner = Context::current_with_span(tracer.start("in the handler"));
            queue.send("second", &(*job + 1)).with_context(inner.clone()).await.map(drop)
        }
    };
    let builder = Worker::builder(queue.clone()).layer(otel).queue("first", Queue::new(), handler);
    let worker = builder.start().await.unwrap();
    let mut events = worker.handle().watch("first").unwrap();
    let request = request(telemetry);
    let id = queue.send("first", &1).with_context(request.clone()).await.unwrap();
    events.until(|event| event.is_done_for(id)).await.unwrap();
    assert!(worker.stop().await.is_clean());
    let message = queue.read::<i32>("second", 30).await.unwrap().unwrap();
    assert_one_trace(telemetry, &request, &message);
}

fn on_sync<Q: Listen + Clone + Send + Sync + 'static>(queue: Q, telemetry: &Telemetry) {
    for name in ["first", "second"] {
        queue.create_queue(name).unwrap();
    }
    let otel = OtelWorker::new(&telemetry.tracers, &telemetry.meters).parent_from_message();
    let sending = queue.clone();
    let tracer = telemetry.tracers.tracer("handler");
    let handler = move |job: &sync::Job<i32>| {
        let _attached = Context::current_with_span(tracer.start("in the handler")).attach();
        sending.send("second", &(**job + 1)).map(drop)
    };
    let builder = sync::Worker::builder(queue.clone()).layer(otel).queue("first", Queue::new(), handler);
    let worker = builder.start().unwrap();
    let mut events = worker.handle().watch("first").unwrap();
    let request = request(telemetry);
    let id = {
        let _attached = request.clone().attach();
        queue.send("first", &1).unwrap()
    };
    events.until_blocking(|event| event.is_done_for(id)).unwrap();
    assert!(worker.stop().is_clean());
    let message = queue.read::<i32>("second", 30).unwrap().unwrap();
    assert_one_trace(telemetry, &request, &message);
}

#[test]
fn pgmq_tokio_has_one_trace() {
    on_tokio(async |url, telemetry| {
        let builder = pgmq_tokio::PGMQueue::builder().url(url).observer(telemetry.observer());
        on_async(builder.connect().await.unwrap(), telemetry).await;
    });
}

#[test]
fn pgmq_sqlx_has_one_trace() {
    on_tokio(async |url, telemetry| {
        let builder = pgmq_sqlx::PGMQueue::builder().url(url).observer(telemetry.observer());
        let queue = builder.connect().await.unwrap();
        on_async(queue.clone(), telemetry).await;
        queue.close().await;
    });
}

#[test]
fn pgmq_diesel_async_has_one_trace() {
    on_tokio(async |url, telemetry| {
        let builder = pgmq_diesel_async::PGMQueue::builder().url(url).observer(telemetry.observer());
        on_async(builder.connect().await.unwrap(), telemetry).await;
    });
}

#[test]
fn pgmq_postgres_has_one_trace() {
    let (database, telemetry) = (database(), Telemetry::new());
    let builder = pgmq_postgres::PGMQueue::builder().url(database.url()).observer(telemetry.observer());
    on_sync(builder.connect().unwrap(), &telemetry);
}

#[test]
fn pgmq_diesel_has_one_trace() {
    let (database, telemetry) = (database(), Telemetry::new());
    let builder = pgmq_diesel::PGMQueue::builder().url(database.url()).observer(telemetry.observer());
    on_sync(builder.connect().unwrap(), &telemetry);
}
