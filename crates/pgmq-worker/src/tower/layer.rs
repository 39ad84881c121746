//! Layers of tower as layers of a worker.

use std::fmt;
use std::sync::Arc;

use tower_service::Service;

use crate::erased::BoxFuture;
use crate::failure::Failure;
use crate::layer::{Layer, Next, NextBatch};
use crate::meta::Meta;
use crate::outcome::{IntoOutcome, Outcome};
use crate::tower::call::{BatchCall, Call, CallService};
use crate::tower::shared::{Shared, all_cancelled, call, unless_cancelled};

/// A layer of tower around all handlers of a worker that take single messages.
///
/// It takes any `tower::Layer` whose service answers a [`Call`] with an [`Outcome`], or with anything else
/// that [converts](IntoOutcome) to one: most of tower's own, a stack of a `ServiceBuilder`, or a custom one.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::testing::{Fate, perform};
/// use pgmq_worker::tower::TowerLayer;
/// use pgmq_worker::{Job, Outcome};
/// use tower::ServiceBuilder;
///
/// async fn send_email(job: Job<String>) {
///     if job.as_str() == "slow" {
///         tokio::time::sleep(Duration::from_secs(3600)).await;
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let stack = || ServiceBuilder::new().concurrency_limit(4).timeout(Duration::from_millis(10));
/// let performed = perform(send_email, "slow").layer(TowerLayer::new(stack())).run().await;
/// assert!(matches!(performed.fate, Fate::Retried { .. }));
/// assert_eq!(performed.outcome.failure().unwrap().to_string(), "request timed out");
///
/// let performed = perform(send_email, "quick").layer(TowerLayer::new(stack())).run().await;
/// assert_eq!(performed.outcome, Outcome::Done);
/// # }
/// ```
///
/// # Calls
///
/// - There is one service for all queues of the worker, so a limit is one over all of them. It is cloned for
///   each call, and the call waits until the clone is ready. Services that cannot be cloned, such as a
///   `RateLimit`, go behind a buffer: `ServiceBuilder::new().buffer(64).rate_limit(10, second)`.
/// - An error of the service, such as that a time is over or that it is overloaded, is a
///   [failure](crate::Failure), which is retried by the policy of the queue, or is permanent if the error
///   says so.
/// - A call that waits has a slot of its queue, and the lease of its message is extended. The
///   [timeout](crate::Queue::timeout) of the queue includes the wait.
/// - A job that is cancelled before its handler has begun ends at once. A handler that has begun sees the
///   cancellation, as always.
/// - Handlers of batches are called without it: see [`TowerBatchLayer`].
///
/// # Custom layers
///
/// A failure of the handler is an outcome, and not an error of the service.
///
/// ```
/// use std::task::{Context, Poll};
///
/// use pgmq_worker::testing::perform;
/// use pgmq_worker::tower::{Call, TowerLayer};
/// use pgmq_worker::{BoxFuture, Job, Outcome};
/// use tower::Service;
/// use tower::layer::layer_fn;
///
/// /// Deletes messages that have failed often, instead of moving them to the dead-letter queue.
/// #[derive(Clone)]
/// struct Forget<S>(S);
///
/// impl<S> Service<Call> for Forget<S>
/// where
///     S: Service<Call, Response = Outcome, Future: Send + 'static>,
/// {
///     type Response = Outcome;
///     type Error = S::Error;
///     type Future = BoxFuture<'static, Result<Outcome, S::Error>>;
///
///     fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
///         self.0.poll_ready(context)
///     }
///
///     fn call(&mut self, call: Call) -> Self::Future {
///         let reads = call.meta().reads();
///         let handling = self.0.call(call);
///         Box::pin(async move {
///             Ok(match handling.await? {
///                 Outcome::Retry { why, .. } if reads >= 3 => Outcome::Discard { why },
///                 outcome => outcome,
///             })
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let fails = async |_: Job<u32>| Err::<(), _>("the server is busy");
/// let performed = perform(fails, &7).reads(3).layer(TowerLayer::new(layer_fn(Forget))).run().await;
/// assert_eq!(performed.outcome, Outcome::discard("the server is busy"));
/// # }
/// ```
#[derive(Clone)]
pub struct TowerLayer<S>(Shared<S>);

impl<S> TowerLayer<S> {
    /// Puts a layer of tower around the handlers.
    pub fn new(layer: impl tower_layer::Layer<CallService, Service = S>) -> Self
    where
        S: Service<Call, Response: IntoOutcome, Error: Into<Failure>, Future: Send> + Clone + Send + 'static,
    {
        Self(Shared::new(layer.layer(CallService(()))))
    }
}

impl<S> Layer for TowerLayer<S>
where
    S: Service<Call, Response: IntoOutcome, Error: Into<Failure>, Future: Send> + Clone + Send + 'static,
{
    fn around<'a>(&'a self, _: &'a Meta, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        let (request, service) = (Call::new(next), self.0.get());
        let (job, has_begun) = (Arc::clone(request.meta()), Arc::clone(request.has_begun()));
        Box::pin(async move {
            let calling = async { call(service, request, || ()).await.into_outcome() };
            let called = unless_cancelled(calling, job.cancelled(), &has_begun).await;
            called.unwrap_or_else(|interrupted| Err::<(), _>(interrupted).into_outcome())
        })
    }
}

impl<S> fmt::Debug for TowerLayer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TowerLayer({})", std::any::type_name::<S>())
    }
}

/// A layer of tower around all handlers of a worker that take [batches](crate::Batch).
///
/// Its service answers a [`BatchCall`] with the outcomes of the messages, in their order. Apart from that,
/// it does the same as a [`TowerLayer`]: an error of the service is a failure of all messages, and a batch
/// that is cancelled as a whole before its handler has begun ends at once.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::testing::perform_batch;
/// use pgmq_worker::tower::TowerBatchLayer;
/// use pgmq_worker::{Batch, Outcome};
/// use tower::timeout::TimeoutLayer;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let hangs = async |_: Batch<u32>| std::future::pending::<()>().await;
/// let layer = TowerBatchLayer::new(TimeoutLayer::new(Duration::from_millis(10)));
/// let performed = perform_batch(hangs, &[1, 2]).layer(layer).run().await;
/// assert!(performed.iter().all(|performed| matches!(performed.outcome, Outcome::Retry { .. })));
/// # }
/// ```
#[derive(Clone)]
pub struct TowerBatchLayer<S>(Shared<S>);

impl<S> TowerBatchLayer<S> {
    /// Puts a layer of tower around the handlers of batches.
    pub fn new(layer: impl tower_layer::Layer<CallService, Service = S>) -> Self
    where
        S: Service<BatchCall, Response = Vec<Outcome>, Error: Into<Failure>, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        Self(Shared::new(layer.layer(CallService(()))))
    }
}

impl<S> Layer for TowerBatchLayer<S>
where
    S: Service<BatchCall, Response = Vec<Outcome>, Error: Into<Failure>, Future: Send>
        + Clone
        + Send
        + 'static,
{
    fn around<'a>(&'a self, _: &'a Meta, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        next.run()
    }

    fn around_batch<'a>(&'a self, jobs: &'a [Arc<Meta>], next: NextBatch<'a>) -> BoxFuture<'a, Vec<Outcome>> {
        let (request, service) = (BatchCall::new(next), self.0.get());
        let has_begun = Arc::clone(request.has_begun());
        Box::pin(async move {
            let calling = async { call(service, request, || ()).await.map_err(Into::into) };
            let cancelled = all_cancelled(jobs.iter().map(|job| job.cancelled()).collect());
            let called = unless_cancelled(calling, cancelled, &has_begun).await;
            match called.unwrap_or_else(|interrupted| Err(interrupted.into())) {
                Ok(outcomes) => outcomes,
                Err(failure) => vec![Outcome::from(failure); jobs.len()],
            }
        })
    }
}

impl<S> fmt::Debug for TowerBatchLayer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TowerBatchLayer({})", std::any::type_name::<S>())
    }
}
