//! Runs the futures of a back end.

use std::{
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::runtime::{Builder, Handle};

use crate::kit::blocking::poll_once;

/// Work that runs concurrently with other work, until its end.
pub type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs the futures of a back end.
pub trait Runtime: 'static {
    /// `true` if operations block the thread, so that dropping their future cannot cancel them.
    const BLOCKS: bool;

    /// Runs a future to its end.
    fn block_on<T>(future: impl Future<Output = T>) -> T;
    /// Runs tasks concurrently, and returns their results in order. A panic of a task is resumed.
    fn join_all<T: Send + 'static>(tasks: Vec<Task<T>>) -> impl Future<Output = Vec<T>>;
    /// Drops a call after `limit`, and returns `None` then. A blocking call cannot be dropped, and runs to
    /// its end.
    fn timeout<T: Send>(
        limit: Duration,
        call: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Option<T>> + Send;
    /// Waits for `time`.
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send;
    /// The number of tasks of the current runtime; 0 without a runtime.
    fn tasks() -> usize;
}

/// The runtime of async back ends: tokio with two worker threads.
#[derive(Debug)]
pub enum TokioRuntime {}

impl Runtime for TokioRuntime {
    const BLOCKS: bool = false;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        // With several threads, the driver's tasks make progress while a case blocks.
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime can be built").block_on(future)
    }

    async fn join_all<T: Send + 'static>(tasks: Vec<Task<T>>) -> Vec<T> {
        let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
        let mut results = Vec::with_capacity(tasks.len());
        for task in tasks {
            results.push(task.await.unwrap_or_else(|error| resume_unwind(error.into_panic())));
        }
        results
    }

    async fn timeout<T: Send>(limit: Duration, call: impl Future<Output = T> + Send) -> Option<T> {
        tokio::time::timeout(limit, call).await.ok()
    }

    async fn sleep(time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn tasks() -> usize {
        Handle::current().metrics().num_alive_tasks()
    }
}

/// The runtime of blocking back ends: no runtime, and a thread for each task.
#[derive(Debug)]
pub enum Threads {}

impl Runtime for Threads {
    const BLOCKS: bool = true;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        poll_once(future)
    }

    async fn join_all<T: Send + 'static>(tasks: Vec<Task<T>>) -> Vec<T> {
        let threads: Vec<_> = tasks.into_iter().map(|task| thread::spawn(|| poll_once(task))).collect();
        let join = |thread: JoinHandle<T>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        threads.into_iter().map(join).collect()
    }

    async fn timeout<T: Send>(_: Duration, call: impl Future<Output = T> + Send) -> Option<T> {
        Some(call.await)
    }

    async fn sleep(time: Duration) {
        thread::sleep(time);
    }

    fn tasks() -> usize {
        0
    }
}
