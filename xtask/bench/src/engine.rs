//! What runs a contestant: the same kind of runtime for all async ones, and threads for those that block.

use std::thread;

use anyhow::{Context, Result, anyhow};
use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};

use crate::contestant::Contestant;

/// Runs futures, each as a task of its own if there are several.
pub(crate) enum Engine {
    /// For async contestants.
    Runtime(Runtime),
    /// For blocking ones, whose futures are ready when they are first asked.
    Threads,
}

/// Runs a future of blocking work, which is ready when it is first polled.
///
/// # Panics
///
/// If the future is pending: something in it waits without blocking.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> T {
    match future.now_or_never() {
        Some(result) => result,
        None => panic!("the future of a blocking client is pending"),
    }
}

impl Engine {
    /// The engine of a contestant: a runtime on this thread for one task, and with two threads for more.
    pub(crate) fn of<C: Contestant>(tasks: usize) -> Result<Self> {
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

    /// Runs all of them at the same time, and returns what they return, in their order.
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
