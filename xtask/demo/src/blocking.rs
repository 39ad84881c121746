//! Blocking clients behind the async trait, so that one story serves both kinds.

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use pgmq_core::{AsyncQueue, Output, Query, Queue};

/// A blocking client whose futures are ready when they are returned, so that no runtime is needed.
pub(super) struct Blocking<Q>(pub(super) Q);

impl<Q: Queue> AsyncQueue for Blocking<Q> {
    type Error = Q::Error;

    fn run_query<O: Output>(&self, query: Query<'_, O>) -> impl Future<Output = Result<O, Q::Error>> + Send {
        ready(self.0.run_query(query))
    }
}

/// Polls a future of a blocking client, which is ready at the first poll.
///
/// # Panics
///
/// If the future is pending.
pub(super) fn poll_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a blocking client returned a future that waits"),
    }
}
