//! The requests that the middleware of a worker gets, and its innermost service.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tower_service::Service;

use crate::erased::BoxFuture;
use crate::layer::{Next, NextBatch, OwnedNext, OwnedNextBatch};
use crate::meta::Meta;
use crate::outcome::Outcome;

/// The call of a handler with one message: the request of a service inside of a
/// [`TowerLayer`](crate::tower::TowerLayer).
///
/// A clone runs the handler once more on the same message, which is how `tower::retry` makes an attempt that
/// is not counted as a read.
#[derive(Clone)]
pub struct Call {
    next: OwnedNext,
    has_begun: Arc<AtomicBool>,
}

impl Call {
    pub(super) fn new(next: Next<'_>) -> Self {
        Self { next: next.into_owned(), has_begun: Arc::default() }
    }

    /// The message, apart from the type of its payload.
    pub fn meta(&self) -> &Arc<Meta> {
        &self.next.job
    }

    /// Becomes `true` when a handler begins.
    pub(super) fn has_begun(&self) -> &Arc<AtomicBool> {
        &self.has_begun
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(self.meta()).finish()
    }
}

/// The call of a handler of batches: the request of a service inside of a
/// [`TowerBatchLayer`](crate::tower::TowerBatchLayer).
#[derive(Clone)]
pub struct BatchCall {
    next: OwnedNextBatch,
    has_begun: Arc<AtomicBool>,
}

impl BatchCall {
    pub(super) fn new(next: NextBatch<'_>) -> Self {
        Self { next: next.into_owned(), has_begun: Arc::default() }
    }

    /// The messages, apart from the type of their payloads.
    pub fn jobs(&self) -> &[Arc<Meta>] {
        &self.next.jobs
    }

    /// Becomes `true` when a handler begins.
    pub(super) fn has_begun(&self) -> &Arc<AtomicBool> {
        &self.has_begun
    }
}

impl fmt::Debug for BatchCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BatchCall").field(&self.jobs()).finish()
    }
}

/// The innermost service, which runs the handler: the service that a layer of tower is put around.
///
/// It is always ready, and never fails: a handler that fails, panics, or cannot decode its payload has an
/// [`Outcome`] that says so.
#[derive(Debug, Clone)]
pub struct CallService(pub(super) ());

impl Service<Call> for CallService {
    type Response = Outcome;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Outcome, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        call.has_begun.store(true, Ordering::Relaxed);
        Box::pin(call.next.run().map(Ok))
    }
}

impl Service<BatchCall> for CallService {
    type Response = Vec<Outcome>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Vec<Outcome>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: BatchCall) -> Self::Future {
        call.has_begun.store(true, Ordering::Relaxed);
        Box::pin(call.next.run().map(Ok))
    }
}
