//! A worker with one kind of handlers, on either shell, so that a test is written once for both.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use async_channel::Receiver;
use futures_util::future::BoxFuture;
use pgmq_worker::{
    CancelReason, Finished, Handle, Health, IntoOutcome, Job, Meta, Outcome, Queue, StopReport, Worker, sync,
};
use tokio::runtime::{Builder, Runtime};

use crate::bed::wait_until;

/// The shell that a worker runs on: tasks over `pgmq-tokio`, or threads over `pgmq-postgres`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    Async,
    Sync,
}

/// Writes the same tests for both shells. Each is a function of the [`Shell`].
macro_rules! twins {
    ($($name:ident => $test:expr;)*) => {
        mod of_the_async_worker {
            use super::*;
            $(#[test] fn $name() { $test(Shell::Async); })*
        }
        mod of_the_sync_worker {
            use super::*;
            $(#[test] fn $name() { $test(Shell::Sync); })*
        }
    };
}
pub(crate) use twins;

/// The time that a handler takes.
#[derive(Clone)]
pub(crate) enum Takes {
    For(Duration),
    /// Until the sender is closed, whatever happens.
    Until(Receiver<()>),
    /// Until it is cancelled, at the first read of the message.
    UntilCancelled,
}

/// The end of a handler.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Outcome(fn(&Meta) -> Outcome),
    /// In a transaction, together with a row in `effects`.
    FinishIn,
}

/// The settings of a worker, and the work of its handlers.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) queue: Queue,
    pub(crate) takes: Takes,
    pub(crate) end: End,
    pub(crate) drain: Duration,
    pub(crate) grace: Duration,
    pub(crate) flush: Duration,
    pub(crate) pool_size: u32,
}

impl Plan {
    /// Handlers that end at once.
    pub(crate) fn new(end: End) -> Self {
        Self {
            queue: Queue::new(),
            takes: Takes::For(Duration::ZERO),
            end,
            drain: Duration::from_secs(20),
            grace: Duration::from_secs(5),
            flush: Duration::from_secs(3),
            pool_size: 8,
        }
    }
}

/// The handlers that have run.
#[derive(Default)]
pub(crate) struct Log {
    begun: Mutex<Vec<i64>>,
    ended: Mutex<Vec<(i64, Option<CancelReason>)>>,
    /// Each task of the worker holds one.
    tasks: Arc<()>,
}

impl Log {
    /// The numbers whose handlers have begun, in order, once for each time.
    pub(crate) fn begun(&self) -> Vec<i64> {
        let mut begun = lock(&self.begun).clone();
        begun.sort_unstable();
        begun
    }

    /// The number of tasks of the async worker.
    pub(crate) fn tasks(&self) -> usize {
        Arc::strong_count(&self.tasks) - 1
    }

    /// The numbers whose handlers have ended, with the reasons of their cancellations.
    pub(crate) fn ended(&self) -> Vec<(i64, Option<CancelReason>)> {
        lock(&self.ended).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker that runs.
pub(crate) struct Started {
    pub(crate) handle: Handle,
    pub(crate) log: Arc<Log>,
    worker: Running,
}

/// A worker, and the runtime that it runs on.
enum Running {
    Async(Worker, Runtime),
    Sync(sync::Worker),
}

impl Started {
    /// The state of the queue `q`.
    pub(crate) fn health(&self) -> Health {
        self.handle.health().remove(0)
    }

    /// Returns `true` if the worker has no message.
    pub(crate) fn is_idle(&self) -> bool {
        let health = self.health();
        health.waiting + health.running + health.unsettled == 0
    }

    pub(crate) fn stop(self) -> StopReport {
        match self.worker {
            Running::Async(worker, runtime) => {
                let report = runtime.block_on(worker.stop());
                // The worker does not wait for its listener.
                wait_until("all tasks have ended", || self.log.tasks() == 0);
                // Calls of the database that do not end are dropped with the runtime.
                runtime.shutdown_background();
                report
            }
            Running::Sync(worker) => worker.stop(),
        }
    }

    /// Drops the worker. Its runtime goes on until it is dropped.
    pub(crate) fn drop_worker(self) -> (Handle, Option<Runtime>) {
        match self.worker {
            Running::Async(_, runtime) => (self.handle, Some(runtime)),
            Running::Sync(_) => (self.handle, None),
        }
    }
}

/// The builder of a back end's queue, with limits that end soon.
macro_rules! connection {
    ($back_end:ident, $url:expr, $plan:expr) => {
        $back_end::PGMQueue::builder()
            .url($url)
            .pool_size($plan.pool_size)
            .acquire_timeout(Duration::from_secs(2))
            .connect_timeout(Duration::from_secs(2))
            .connect()
    };
}

impl Shell {
    /// Starts a worker of the queue `q`.
    pub(crate) fn start(self, url: &str, plan: &Plan) -> Started {
        match self {
            Self::Async => start_async(url, plan.clone()),
            Self::Sync => start_sync(url, plan.clone()),
        }
    }
}

fn start_async(url: &str, plan: Plan) -> Started {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let queue = runtime.block_on(connection!(pgmq_tokio, url, plan)).unwrap();
    let log = Arc::new(Log::default());
    let (logs, finishes) = (Arc::clone(&log), queue.clone());
    let Plan { queue: settings, takes, end, drain, grace, flush, .. } = plan;
    let handler = move |job: Job<i64>| {
        let (log, takes, queue) = (Arc::clone(&logs), takes.clone(), finishes.clone());
        async move {
            lock(&log.begun).push(*job);
            match takes {
                Takes::For(time) => tokio::time::sleep(time).await,
                Takes::Until(gate) => drop(gate.recv().await),
                Takes::UntilCancelled if job.reads() > 1 => {}
                Takes::UntilCancelled => drop(job.cancelled().await),
            }
            lock(&log.ended).push((*job, job.cancel_reason()));
            match end {
                End::Outcome(outcome) => outcome(job.meta()),
                End::FinishIn => finish(&queue, &job).await.into_outcome(),
            }
        }
    };
    let (spawning, tasks) = (runtime.handle().clone(), Arc::downgrade(&log.tasks));
    let spawn = move |task: BoxFuture<'static, ()>| {
        let held = tasks.upgrade();
        drop(spawning.spawn(async move {
            task.await;
            drop(held);
        }));
    };
    let builder = Worker::builder(queue.clone()).queue("q", settings, handler).spawner(spawn);
    let starting = builder.drain(drain).grace(grace).flush(flush).start();
    let worker = runtime.block_on(starting).unwrap();
    let handle = worker.handle();
    Started { handle, log, worker: Running::Async(worker, runtime) }
}

async fn finish(queue: &pgmq_tokio::PGMQueue, job: &Job<i64>) -> Result<Finished, pgmq_tokio::Error> {
    queue
        .transaction(async |transaction| {
            transaction.execute("INSERT INTO effects VALUES ($1)", &[&**job]).await?;
            job.finish_in(&queue.with(transaction)).await
        })
        .await
}

fn start_sync(url: &str, plan: Plan) -> Started {
    let queue = connection!(pgmq_postgres, url, plan).unwrap();
    let log = Arc::new(Log::default());
    let (logs, finishes) = (Arc::clone(&log), queue.clone());
    let Plan { queue: settings, takes, end, drain, grace, flush, .. } = plan;
    let handler = move |job: &sync::Job<i64>| {
        lock(&logs.begun).push(**job);
        match &takes {
            Takes::For(time) => thread::sleep(*time),
            Takes::Until(gate) => drop(gate.recv_blocking()),
            Takes::UntilCancelled if job.reads() > 1 => {}
            Takes::UntilCancelled => drop(job.sleep(Duration::MAX)),
        }
        lock(&logs.ended).push((**job, job.cancel_reason()));
        match end {
            End::Outcome(outcome) => outcome(job.meta()),
            End::FinishIn => {
                let finished: Result<Finished, pgmq_postgres::Error> = finishes.transaction(|transaction| {
                    transaction.execute("INSERT INTO effects VALUES ($1)", &[&**job])?;
                    job.finish_in(&finishes.with(transaction))
                });
                finished.into_outcome()
            }
        }
    };
    let builder = sync::Worker::builder(queue).queue("q", settings, handler);
    let worker = builder.drain(drain).grace(grace).flush(flush).start().unwrap();
    Started { handle: worker.handle(), log, worker: Running::Sync(worker) }
}
