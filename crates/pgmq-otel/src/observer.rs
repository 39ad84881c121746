//! The observer of queues.

use std::fmt;
use std::sync::Arc;

use opentelemetry::global;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::{Tracer, TracerProvider};
use pgmq_core::{Observation, Observer, Started};

use crate::instruments::{self, Instruments};
use crate::names;
use crate::observation::Running;
use crate::shared::Shared;
use crate::tracing::tracer;

/// Makes spans and metrics of the operations of a queue.
///
/// Given to the builder's `observer` of any back end, or to the `with_observer` of a queue. Clones share
/// their instruments, so one observer serves all queues of a program.
///
/// ```no_run
/// use opentelemetry_sdk::metrics::SdkMeterProvider;
/// use opentelemetry_sdk::trace::SdkTracerProvider;
/// use pgmq_otel::OtelObserver;
/// use pgmq_tokio::PGMQueue;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tracers = SdkTracerProvider::builder().build();
/// let meters = SdkMeterProvider::builder().build();
/// let observer = OtelObserver::new(&tracers, &meters).propagating();
/// let queue = PGMQueue::builder()
///     .url("postgres://postgres:postgres@localhost/postgres")
///     .observer(observer)
///     .connect()
///     .await?;
/// # let _ = queue;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OtelObserver {
    shared: Arc<Shared>,
}

impl OtelObserver {
    /// An observer that makes spans and metrics with these providers.
    pub fn new<P>(tracers: &P, meters: &dyn MeterProvider) -> Self
    where
        P: TracerProvider,
        P::Tracer: Tracer<Span: Send + Sync + 'static> + Send + Sync + 'static,
    {
        let meter = meters.meter_with_scope(names::scope());
        let instruments = Instruments::new(&meter);
        let shared = Shared { tracer: tracer(tracers), instruments, age: None, propagates: false, meter };
        Self { shared: Arc::new(shared) }
    }

    /// An observer that makes spans and metrics with the global providers.
    ///
    /// Call it after the providers are set: an observer keeps those of its beginning.
    ///
    /// ```
    /// let observer = pgmq_otel::OtelObserver::global();
    /// # let _ = observer;
    /// ```
    pub fn global() -> Self {
        Self::new(&global::tracer_provider(), &*global::meter_provider())
    }

    /// Sends the context of each send's span in the headers `traceparent` and `tracestate` of its messages.
    ///
    /// A message that has one of these headers keeps it, and headers that are no object stay as they are. The
    /// headers take about 75 bytes in each message, so this is off by default. Needs PGMQ 1.5; older versions
    /// get no headers.
    #[must_use]
    pub fn propagating(mut self) -> Self {
        Arc::make_mut(&mut self.shared).propagates = true;
        self
    }

    /// Records the metric `pgmq.message.age`: the time, in seconds, from the send of each message until it is
    /// received.
    ///
    /// The times of the server and of this host are compared, so their clocks have to agree.
    #[must_use]
    pub fn message_age(mut self) -> Self {
        let shared = Arc::make_mut(&mut self.shared);
        shared.age = Some(instruments::age(&shared.meter));
        self
    }
}

impl Observer for OtelObserver {
    fn started(&self, operation: &Started<'_>) -> Box<dyn Observation> {
        Box::new(Running::new(Arc::clone(&self.shared), operation))
    }
}

impl fmt::Debug for OtelObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtelObserver")
            .field("propagates", &self.shared.propagates)
            .field("measures_age", &self.shared.age.is_some())
            .finish_non_exhaustive()
    }
}
