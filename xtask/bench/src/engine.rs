//! The execution of a client: the same kind of runtime for all async clients, and threads for blocking ones.

use std::pin::pin;
use std::task::{self, Poll, Waker};
use std::thread;

use anyhow::{Context, Result, anyhow};
use tokio::runtime::{Builder, Runtime};

use crate::client::BenchClient;

/// Runs futures, each as a separate task if there are several.
pub(crate) enum Engine {
    /// For async clients.
    Runtime(Runtime),
    /// For blocking clients, whose futures are ready at the first poll.
    Threads,
}

/// Polls a future of a blocking client, which is ready at the first poll.
///
/// # Panics
///
/// If the future is pending: something in it waits without blocking.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut task::Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a blocking client returned a future that waits"),
    }
}

impl Engine {
    /// The engine of a client: a runtime on this thread for one task, and with two threads for more.
    pub(crate) fn of<C: BenchClient>(tasks: usize) -> Result<Self> {
        if C::IS_BLOCKING {
            return Ok(Self::Threads);
        }
        let mut builder = match tasks {
            1 => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        };
        let runtime = builder.worker_threads(2).enable_all().build();
        Ok(Self::Runtime(runtime.context("cannot start an async runtime")?))
    }

    /// Runs a future on this thread.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        match self {
            Self::Runtime(runtime) => runtime.block_on(future),
            Self::Threads => poll_once(future),
        }
    }

    /// Runs all futures concurrently, and returns their outputs in order.
    pub(crate) fn side_by_side<T: Send + 'static>(
        &self,
        works: Vec<impl Future<Output = Result<T>> + Send + 'static>,
    ) -> Result<Vec<T>> {
        if works.len() == 1 {
            return works.into_iter().map(|work| self.block_on(work)).collect();
        }
        match self {
            Self::Runtime(runtime) => runtime.block_on(async {
                let tasks: Vec<_> = works.into_iter().map(tokio::spawn).collect();
                let mut results = Vec::with_capacity(tasks.len());
                for task in tasks {
                    results.push(task.await.context("a task panicked")??);
                }
                Ok(results)
            }),
            Self::Threads => {
                let threads: Vec<_> =
                    works.into_iter().map(|work| thread::spawn(|| poll_once(work))).collect();
                let end = |thread: thread::JoinHandle<Result<T>>| {
                    thread.join().map_err(|_| anyhow!("a thread panicked"))?
                };
                threads.into_iter().map(end).collect()
            }
        }
    }
}
