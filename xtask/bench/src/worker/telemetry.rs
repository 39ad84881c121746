//! A loop and a worker with everything that OpenTelemetry can be given.
//!
//! Spans go through the SDK's batch processor to an exporter that drops them, and metrics are collected
//! each second: what an exporter costs depends on the exporter, and the SDK leaves it to a thread of its own.

use std::time::Duration;

use anyhow::Result;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use pgmq_core::RawJson;
use pgmq_otel::{OtelObserver, OtelWorker};
use pgmq_worker::{Job, Queue, Worker};
use serde_json::json;

use crate::payload::Order;
use crate::worker::asynchronous::{built, loops, tokio_queue};
use crate::worker::setting::{POOL, Setting};

pub(super) fn looped(setting: &mut Setting) -> Result<f64> {
    let telemetry = Telemetry::new();
    fill(setting)?;
    let Setting { runtime, db, messages, .. } = setting;
    runtime.block_on(async {
        let queue = tokio_queue(db.url(), POOL).await?.with_observer(telemetry.observer());
        let rate = loops(&queue, 1, *messages).await;
        queue.close().await;
        telemetry.end()?;
        rate
    })
}

pub(super) fn worker(setting: &mut Setting) -> Result<f64> {
    let telemetry = Telemetry::new();
    fill(setting)?;
    let Setting { runtime, db, messages, .. } = setting;
    runtime.block_on(async {
        let queue = tokio_queue(db.url(), POOL).await?.with_observer(telemetry.observer());
        let otel = OtelWorker::new(&telemetry.tracers, &telemetry.meters).parent_from_message();
        let builder = Worker::builder(queue.clone()).layer(otel.clone()).observer(otel);
        let settings = Queue::new().concurrency(100);
        let rate = built(builder, &queue, settings, *messages, |_: Job<RawJson>| async {}).await;
        queue.close().await;
        telemetry.end()?;
        rate
    })
}

/// Fills the queue with messages that have the context of the span that has sent them.
fn fill(setting: &mut Setting) -> Result<()> {
    let headers = json!({"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"});
    setting.db.clear()?;
    setting.db.fill_with_headers(setting.messages, &Order::of_about(200), Some(&headers), 0)?;
    setting.db.vacuum()
}

/// The providers of a measurement.
struct Telemetry {
    tracers: SdkTracerProvider,
    meters: SdkMeterProvider,
}

impl Telemetry {
    fn new() -> Self {
        let reader = PeriodicReader::builder(InMemoryMetricExporter::default());
        let reader = reader.with_interval(Duration::from_secs(1)).build();
        Self {
            tracers: SdkTracerProvider::builder().with_batch_exporter(Drain).build(),
            meters: SdkMeterProvider::builder().with_reader(reader).build(),
        }
    }

    fn observer(&self) -> OtelObserver {
        OtelObserver::new(&self.tracers, &self.meters).propagating().message_age()
    }

    fn end(self) -> OTelSdkResult {
        self.tracers.shutdown()?;
        self.meters.shutdown()
    }
}

/// An exporter that drops what it is given.
#[derive(Debug)]
struct Drain;

impl SpanExporter for Drain {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}
