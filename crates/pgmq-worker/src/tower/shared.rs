//! A service that many calls share, and the wait until it is ready.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::future::{Either, select};
use tower_service::Service;

use crate::cancel::{Cancelled, Interrupted};
use crate::machine::command::CancelReason;

/// A service of which each call has a clone.
///
/// The lock is for services that are not `Sync`, such as boxed ones. It is held for the clone alone.
#[derive(Debug)]
pub(super) struct Shared<S>(Mutex<S>);

impl<S> Shared<S> {
    pub(super) fn new(service: S) -> Self {
        Self(Mutex::new(service))
    }
}

impl<S: Clone> Shared<S> {
    pub(super) fn get(&self) -> S {
        // A panic in a clone does not change the original.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S: Clone> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self::new(self.get())
    }
}

/// Waits until the service is ready, and calls it. `begins` runs between the two.
pub(super) async fn call<S: Service<R>, R>(
    mut service: S,
    request: R,
    begins: impl FnOnce(),
) -> Result<S::Response, S::Error> {
    poll_fn(|context| service.poll_ready(context)).await?;
    begins();
    let response = service.call(request);
    // Tower drops the service here as well: a buffer, for one, ends when the last clone is gone.
    drop(service);
    response.await
}

/// Awaits a call, and drops it if it is cancelled before its handler has begun.
///
/// A handler that has begun sees the cancellation by itself.
pub(super) async fn unless_cancelled<T>(
    call: impl Future<Output = T>,
    cancelled: impl Future<Output = CancelReason>,
    has_begun: &AtomicBool,
) -> Result<T, Interrupted> {
    match select(pin!(call), pin!(cancelled)).await {
        Either::Left((response, _)) => Ok(response),
        Either::Right((_, call)) if has_begun.load(Ordering::Relaxed) => Ok(call.await),
        Either::Right((why, _)) => Err(Interrupted(why)),
    }
}

/// Waits until all jobs of a batch are cancelled, and returns the reason of the last one.
pub(super) async fn all_cancelled(jobs: Vec<Cancelled>) -> CancelReason {
    let mut reason = CancelReason::LeaseLost;
    for job in jobs {
        reason = job.await;
    }
    reason
}
