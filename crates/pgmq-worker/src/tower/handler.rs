//! Services of tower as handlers.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use tower_service::Service;

use crate::batch::{BatchOutcome, IntoBatchOutcome};
use crate::failure::Failure;
use crate::handler::{Batch, BatchHandler, Handler};
use crate::job::Job;
use crate::outcome::{IntoOutcome, Outcome};
use crate::tower::shared::{Shared, all_cancelled, call, unless_cancelled};

/// Makes a handler of a service that takes a [`Job`] or a [`Batch`].
///
/// The response is anything that a handler can return, and the error anything that converts to a
/// [`Failure`]. Middleware around the service is for this handler alone, and sees the payload.
///
/// ```
/// use std::convert::Infallible;
///
/// use pgmq_worker::testing::TestJob;
/// use pgmq_worker::tower::service;
/// use pgmq_worker::{Job, Outcome};
/// use tower::{ServiceBuilder, service_fn};
///
/// async fn resize(job: Job<String>) -> Result<Outcome, Infallible> {
///     println!("{}", *job);
///     Ok(Outcome::Archive)
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// // In a worker: `.queue("images", Queue::new(), service(resizing))`.
/// let resizing = ServiceBuilder::new().concurrency_limit(2).service(service_fn(resize));
/// assert_eq!(TestJob::new("a.jpg").run(service(resizing)).await, Outcome::Archive);
/// # }
/// ```
///
/// The service is cloned for each message, as with a [`TowerLayer`](crate::tower::TowerLayer). A job that is
/// cancelled before the service is ready ends at once.
pub fn service<S>(service: S) -> ServiceHandler<S> {
    ServiceHandler(Shared::new(service))
}

/// A service as a handler: see [`service`].
#[derive(Clone)]
pub struct ServiceHandler<S>(Shared<S>);

impl<T, S> Handler<T> for ServiceHandler<S>
where
    T: Send + Sync,
    S: Service<Job<T>, Response: IntoOutcome, Error: Into<Failure>, Future: Send> + Clone + Send + 'static,
{
    fn handle(&self, job: Job<T>) -> impl Future<Output = Outcome> + Send {
        let (service, cancelled) = (self.0.get(), job.cancelled());
        async move {
            let has_begun = AtomicBool::new(false);
            let begins = || has_begun.store(true, Ordering::Relaxed);
            let calling = async { call(service, job, begins).await.into_outcome() };
            let called = unless_cancelled(calling, cancelled, &has_begun).await;
            called.unwrap_or_else(|interrupted| Err::<(), _>(interrupted).into_outcome())
        }
    }
}

impl<T, S> BatchHandler<T> for ServiceHandler<S>
where
    T: Send + Sync,
    S: Service<Batch<T>, Response: IntoBatchOutcome, Error: Into<Failure>, Future: Send>
        + Clone
        + Send
        + 'static,
{
    fn handle(&self, batch: Batch<T>) -> impl Future<Output = BatchOutcome> + Send {
        let service = self.0.get();
        async move {
            let has_begun = AtomicBool::new(false);
            let cancelled = all_cancelled(batch.iter().map(Job::cancelled).collect());
            let begins = || has_begun.store(true, Ordering::Relaxed);
            let calling = async { call(service, batch, begins).await.into_batch_outcome() };
            let called = unless_cancelled(calling, cancelled, &has_begun).await;
            called.unwrap_or_else(|interrupted| Err::<(), _>(interrupted).into_batch_outcome())
        }
    }
}

impl<S> fmt::Debug for ServiceHandler<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceHandler({})", std::any::type_name::<S>())
    }
}
