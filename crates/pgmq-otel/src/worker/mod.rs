//! The spans and metrics of a worker.

use std::fmt;
use std::sync::Arc;

use opentelemetry::global;
use opentelemetry::metrics::{Histogram, Meter, MeterProvider};
use opentelemetry::trace::{Tracer, TracerProvider};
use pgmq_worker::Handle;

use crate::instruments::{BUCKETS, seconds};
use crate::names;
use crate::tracing::{Start, tracer};
use crate::worker::events::Events;
use crate::worker::held::Held;
use crate::worker::labels::LabelsOfQueues;

mod events;
mod held;
mod hooks;
mod labels;
mod process;

/// Makes spans and metrics of the handlers of a worker, and metrics of the worker itself.
///
/// As a layer of a worker, async or sync, it makes a span for each run of a handler: `process <queue>`, of
/// the kind CONSUMER, with a link to the span that has sent the message. The handler runs in the context of
/// the span, so that the spans that it makes are below it. As the worker's observer, it makes metrics of the
/// worker's events. With the worker's handle, it also reports the messages that the worker holds. None of the
/// three needs the others.
///
/// Clones share their instruments. Use clones for all workers of a program, as the gauges of two observers
/// that are made apart would overwrite each other where both have the same queue.
///
/// ```no_run
/// use opentelemetry_sdk::metrics::SdkMeterProvider;
/// use opentelemetry_sdk::trace::SdkTracerProvider;
/// use pgmq_otel::{OtelObserver, OtelWorker};
/// use pgmq_tokio::PGMQueue;
/// use pgmq_worker::{Job, Queue, Worker};
///
/// # async fn example(queue: PGMQueue) -> Result<(), Box<dyn std::error::Error>> {
/// let tracers = SdkTracerProvider::builder().build();
/// let meters = SdkMeterProvider::builder().build();
/// let otel = OtelWorker::new(&tracers, &meters).parent_from_message();
/// let queue = queue.with_observer(OtelObserver::new(&tracers, &meters).propagating());
/// let worker = Worker::builder(queue)
///     .layer(otel.clone())
///     .observer(otel.clone())
///     .queue("emails", Queue::new(), async |job: Job<String>| println!("{}", *job))
///     .start()
///     .await?;
/// otel.report_held(worker.handle());
/// # drop(worker);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OtelWorker {
    tracer: Arc<dyn Start>,
    duration: Histogram<f64>,
    events: Events,
    queues: LabelsOfQueues,
    held: Held,
    has_parent_from_message: bool,
    shows_error_text: bool,
}

impl OtelWorker {
    /// Makes spans and metrics with these providers.
    pub fn new<P>(tracers: &P, meters: &dyn MeterProvider) -> Self
    where
        P: TracerProvider,
        P::Tracer: Tracer<Span: Send + Sync + 'static> + Send + Sync + 'static,
    {
        let meter = meters.meter_with_scope(names::scope());
        let queues = LabelsOfQueues::default();
        Self {
            tracer: tracer(tracers),
            duration: duration(&meter),
            events: Events::new(&meter, queues.clone()),
            held: Held::new(&meter),
            queues,
            has_parent_from_message: false,
            shows_error_text: false,
        }
    }

    /// Makes spans and metrics with the global providers.
    ///
    /// Call it after the providers are set: the worker keeps those of its beginning.
    ///
    /// ```
    /// let otel = pgmq_otel::OtelWorker::global();
    /// # let _ = otel;
    /// ```
    pub fn global() -> Self {
        Self::new(&global::tracer_provider(), &*global::meter_provider())
    }

    /// Makes the span that has sent a message the parent of the message's process span, in addition to the
    /// link, so that a trace goes on through queues.
    ///
    /// Off by default, as a message may wait for days, and be handled many times. The spans of batches have
    /// links only.
    #[must_use]
    pub fn parent_from_message(mut self) -> Self {
        self.has_parent_from_message = true;
        self
    }

    /// Shows the text of a handler's error as the description of the span's status.
    ///
    /// Off by default, as the text may quote a payload.
    #[must_use]
    pub fn error_text(mut self) -> Self {
        self.shows_error_text = true;
        self
    }

    /// Reports the messages that a worker holds, from now on until it has stopped and its handlers have
    /// ended: `pgmq.worker.in_flight` by state, `pgmq.worker.stuck`, and `pgmq.worker.read.failing`.
    ///
    /// The metrics are those of [`Handle::health`], asked for at each collection, and summed over the workers
    /// of this process. The server is not asked.
    ///
    /// ```
    /// # fn example(otel: &pgmq_otel::OtelWorker, worker: &pgmq_worker::Worker) {
    /// otel.report_held(worker.handle());
    /// # }
    /// ```
    pub fn report_held(&self, handle: Handle) {
        self.held.add(handle);
    }
}

impl fmt::Debug for OtelWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtelWorker")
            .field("has_parent_from_message", &self.has_parent_from_message)
            .field("shows_error_text", &self.shows_error_text)
            .finish_non_exhaustive()
    }
}

fn duration(meter: &Meter) -> Histogram<f64> {
    seconds(meter, "messaging.process.duration", &BUCKETS)
        .with_description("Duration of processing operation.")
        .build()
}
