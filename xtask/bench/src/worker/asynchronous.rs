//! Workers and loops on tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use pgmq_core::{AsyncListen, AsyncQueue, QueueError, RawJson};
use pgmq_worker::{Builder, Job, Queue, Worker};
use tokio::sync::Notify;

use crate::client::{INSERT, QUEUE};
use crate::worker::setting::{BATCH, POOL, Setting, VT};

/// The number of tasks, handlers and connections of transactions.
const TRANSACTIONS: u32 = 16;

/// The connections of a worker besides those of its handlers.
pub(super) const KEEPERS: u32 = 5;

pub(super) async fn tokio_queue(url: &str, connections: u32) -> Result<pgmq_tokio::PGMQueue> {
    let builder = pgmq_tokio::PGMQueue::builder().url(url).pool_size(connections);
    Ok(builder.prepared_statements(true).connect().await?)
}

async fn sqlx_queue(url: &str, connections: u32) -> Result<pgmq_sqlx::PGMQueue> {
    Ok(pgmq_sqlx::PGMQueue::builder().url(url).pool_size(connections).connect().await?)
}

pub(super) fn tokio_loops<const LOOPS: usize>(setting: &mut Setting) -> Result<f64> {
    setting.fill(setting.messages)?;
    let Setting { runtime, db, messages, .. } = setting;
    runtime.block_on(async {
        let queue = tokio_queue(db.url(), POOL).await?;
        let rate = loops(&queue, LOOPS, *messages).await;
        queue.close().await;
        rate
    })
}

pub(super) fn sqlx_loops<const LOOPS: usize>(setting: &mut Setting) -> Result<f64> {
    setting.fill(setting.messages)?;
    let Setting { runtime, db, messages, .. } = setting;
    runtime.block_on(async {
        let queue = sqlx_queue(db.url(), POOL).await?;
        let rate = loops(&queue, LOOPS, *messages).await;
        queue.close().await;
        rate
    })
}

pub(super) fn tokio_worker<const CONCURRENCY: usize>(setting: &mut Setting) -> Result<f64> {
    with_tokio(setting, POOL, CONCURRENCY)
}

pub(super) fn tokio_on_one_connection(setting: &mut Setting) -> Result<f64> {
    with_tokio(setting, 1, 100)
}

fn with_tokio(setting: &mut Setting, connections: u32, concurrency: usize) -> Result<f64> {
    setting.fill(setting.messages)?;
    let Setting { runtime, db, messages, .. } = setting;
    runtime.block_on(async {
        let queue = tokio_queue(db.url(), connections).await?;
        let rate = worker(&queue, Queue::new().concurrency(concurrency), *messages).await;
        queue.close().await;
        rate
    })
}

pub(super) fn sqlx_worker<const CONCURRENCY: usize>(setting: &mut Setting) -> Result<f64> {
    setting.fill(setting.messages)?;
    let Setting { runtime, db, messages, .. } = setting;
    runtime.block_on(async {
        let queue = sqlx_queue(db.url(), POOL).await?;
        let rate = worker(&queue, Queue::new().concurrency(CONCURRENCY), *messages).await;
        queue.close().await;
        rate
    })
}

/// Handlers that take twice the shorter of the visibility timeouts.
pub(super) fn tokio_slow<const VT: u64>(setting: &mut Setting) -> Result<f64> {
    let handlers = setting.messages.min(1_000) / 2;
    setting.fill(handlers * 2)?;
    let Setting { runtime, db, .. } = setting;
    runtime.block_on(async {
        let queue = tokio_queue(db.url(), POOL).await?;
        let settings = Queue::new().concurrency(handlers as usize).vt(Duration::from_secs(VT));
        let wait = || tokio::time::sleep(Duration::from_secs(2));
        let rate = worker_with(&queue, settings, handlers * 2, move |_: Job<RawJson>| wait()).await;
        queue.close().await;
        rate
    })
}

pub(super) fn tokio_transactions(setting: &mut Setting) -> Result<f64> {
    let messages = setting.messages / 8;
    setting.fill(messages)?;
    let Setting { runtime, db, .. } = setting;
    runtime.block_on(async {
        let queue = tokio_queue(db.url(), TRANSACTIONS).await?;
        let begun = Instant::now();
        let tasks: Vec<_> = (0..TRANSACTIONS).map(|_| tokio::spawn(by_transactions(queue.clone()))).collect();
        let mut done = 0;
        for task in tasks {
            done += task.await??;
        }
        let rate = per_second(messages, begun);
        ensure!(done == messages, "{done} messages of {messages}");
        queue.close().await;
        Ok(rate)
    })
}

async fn by_transactions(queue: pgmq_tokio::PGMQueue) -> Result<u32> {
    let mut done = 0;
    while let Some(message) = queue.read::<RawJson>(QUEUE, VT).await? {
        let is_deleted = queue.transaction(async |transaction| {
            transaction.execute(INSERT, &[&"Ada"]).await?;
            queue.with(transaction).delete(QUEUE, message.msg_id).await
        });
        ensure!(is_deleted.await?, "the message is gone");
        done += 1;
    }
    Ok(done)
}

pub(super) fn tokio_finish(setting: &mut Setting) -> Result<f64> {
    let messages = setting.messages / 8;
    setting.fill(messages)?;
    let Setting { runtime, db, .. } = setting;
    runtime.block_on(async {
        let queue = tokio_queue(db.url(), TRANSACTIONS + KEEPERS).await?;
        let shared = queue.clone();
        let handler = move |job: Job<RawJson>| {
            let queue = shared.clone();
            async move {
                queue
                    .transaction(async |transaction| {
                        transaction.execute(INSERT, &[&"Ada"]).await?;
                        job.finish_in(&queue.with(transaction)).await
                    })
                    .await
            }
        };
        let settings = Queue::new().concurrency(TRANSACTIONS as usize);
        let rate = worker_with(&queue, settings, messages, handler).await;
        queue.close().await;
        rate
    })
}

/// The rate of loops by hand.
pub(super) async fn loops<Q>(queue: &Q, loops: usize, messages: u32) -> Result<f64>
where
    Q: AsyncQueue<Error: QueueError> + Clone + Send + Sync + 'static,
{
    let begun = Instant::now();
    let tasks: Vec<_> = (0..loops).map(|_| tokio::spawn(by_batches(queue.clone()))).collect();
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    let rate = per_second(messages, begun);
    ensure!(done == messages as usize, "{done} messages of {messages}");
    Ok(rate)
}

async fn by_batches<Q: AsyncQueue<Error: QueueError>>(queue: Q) -> Result<usize> {
    let mut done = 0;
    loop {
        let messages = queue.read_batch::<RawJson>(QUEUE, VT, BATCH).await?;
        if messages.is_empty() {
            return Ok(done);
        }
        let ids: Vec<_> = messages.iter().map(|message| message.msg_id).collect();
        done += queue.delete_batch(QUEUE, &ids).await?.len();
    }
}

/// The rate of a worker whose handler does nothing.
async fn worker<Q>(queue: &Q, settings: Queue, messages: u32) -> Result<f64>
where
    Q: AsyncListen + Clone + Send + Sync + 'static,
{
    worker_with(queue, settings, messages, |_: Job<RawJson>| async {}).await
}

/// The rate of a worker with this handler.
async fn worker_with<Q, F>(
    queue: &Q,
    settings: Queue,
    messages: u32,
    handler: impl Fn(Job<RawJson>) -> F + Send + Sync + 'static,
) -> Result<f64>
where
    Q: AsyncListen + Clone + Send + Sync + 'static,
    F: Future<Output: pgmq_worker::IntoOutcome> + Send + 'static,
{
    built(Worker::builder(queue.clone()), queue, settings, messages, handler).await
}

/// The rate of a worker, from its start until the last message is gone from the queue.
pub(super) async fn built<Q, F>(
    builder: Builder,
    queue: &Q,
    settings: Queue,
    messages: u32,
    handler: impl Fn(Job<RawJson>) -> F + Send + Sync + 'static,
) -> Result<f64>
where
    Q: AsyncListen + Clone + Send + Sync + 'static,
    F: Future<Output: pgmq_worker::IntoOutcome> + Send + 'static,
{
    let counter = Arc::new(Counter::new(messages));
    let counted = Arc::clone(&counter);
    let handler = move |job| {
        let (handling, counter) = (handler(job), Arc::clone(&counted));
        async move {
            let outcome = handling.await;
            counter.count();
            outcome
        }
    };
    let begun = Instant::now();
    let worker = builder.queue(QUEUE, settings, handler).start().await?;
    counter.all.notified().await;
    // The stop settles what is left.
    let report = worker.stop().await;
    let rate = per_second(messages, begun);
    ensure!(report.is_clean(), "{report}");
    let left = queue.metrics(QUEUE).await.map_err(|error| anyhow!("{error}"))?.queue_length;
    ensure!(left == 0, "{left} messages are left");
    Ok(rate)
}

/// Counts messages down.
struct Counter {
    left: AtomicU32,
    all: Notify,
}

impl Counter {
    fn new(messages: u32) -> Self {
        Self { left: AtomicU32::new(messages), all: Notify::new() }
    }

    fn count(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.all.notify_one();
        }
    }
}

pub(super) fn per_second(messages: u32, begun: Instant) -> f64 {
    f64::from(messages) / begun.elapsed().as_secs_f64()
}
