//! Runs the same cases against blocking back ends: futures that are ready when they are first polled.

use std::{
    future::{Future, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use pgmq_core::{AsyncQueue, Output, Query, Queue};

/// A blocking queue as an [`AsyncQueue`], whose futures are ready when they are returned.
///
/// Each operation blocks the calling thread before its future exists. So no runtime surrounds the client,
/// which may run one internally.
#[derive(Clone, Debug)]
pub struct Blocking<Q>(pub Q);

impl<Q: Queue> AsyncQueue for Blocking<Q> {
    type Error = Q::Error;

    fn run_query<O: Output>(&self, query: Query<'_, O>) -> impl Future<Output = Result<O, Q::Error>> + Send {
        ready(self.0.run_query(query))
    }
}

/// Runs a future of blocking work, which is ready when it is first polled.
///
/// # Panics
///
/// If the future is pending: something in it waits without blocking.
pub fn poll_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the future of a blocking client is pending"),
    }
}
