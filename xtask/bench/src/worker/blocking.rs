//! Workers and loops on threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use pgmq_core::RawJson;
use pgmq_postgres::PGMQueue;
use pgmq_worker::sync::{Job, Worker};
use pgmq_worker::{IntoOutcome, Queue};

use crate::client::{INSERT, QUEUE};
use crate::worker::asynchronous::{KEEPERS, per_second};
use crate::worker::setting::{BATCH, POOL, Setting, VT};

/// The number of threads, handlers and connections of transactions.
const TRANSACTIONS: u32 = 16;

fn queue(setting: &Setting, connections: u32) -> Result<PGMQueue> {
    let builder = PGMQueue::builder().url(setting.db.url()).pool_size(connections);
    Ok(builder.prepared_statements(true).connect()?)
}

pub(super) fn loops<const LOOPS: usize>(setting: &mut Setting) -> Result<f64> {
    setting.fill(setting.messages)?;
    let queue = queue(setting, POOL)?;
    side_by_side(LOOPS, setting.messages, || {
        let queue = queue.clone();
        move || by_batches(&queue)
    })
}

pub(super) fn transactions(setting: &mut Setting) -> Result<f64> {
    let messages = setting.messages / 8;
    setting.fill(messages)?;
    let queue = queue(setting, TRANSACTIONS)?;
    side_by_side(TRANSACTIONS as usize, messages, || {
        let queue = queue.clone();
        move || by_transactions(&queue)
    })
}

/// The rate of threads that handle this number of messages together.
fn side_by_side<F: FnOnce() -> Result<u32> + Send + 'static>(
    threads: usize,
    messages: u32,
    work: impl Fn() -> F,
) -> Result<f64> {
    let begun = Instant::now();
    let threads: Vec<_> = (0..threads).map(|_| thread::spawn(work())).collect();
    let mut done = 0;
    for thread in threads {
        done += thread.join().map_err(|_| anyhow!("a thread panicked"))??;
    }
    let rate = per_second(messages, begun);
    ensure!(done == messages, "{done} messages of {messages}");
    Ok(rate)
}

fn by_batches(queue: &PGMQueue) -> Result<u32> {
    let mut done = 0;
    loop {
        let messages = queue.read_batch::<RawJson>(QUEUE, VT, BATCH)?;
        if messages.is_empty() {
            return Ok(done);
        }
        let ids: Vec<_> = messages.iter().map(|message| message.msg_id).collect();
        done += u32::try_from(queue.delete_batch(QUEUE, &ids)?.len())?;
    }
}

fn by_transactions(queue: &PGMQueue) -> Result<u32> {
    let mut done = 0;
    while let Some(message) = queue.read::<RawJson>(QUEUE, VT)? {
        let is_deleted = queue.transaction(|transaction| {
            transaction.execute(INSERT, &[&"Ada"])?;
            queue.with(transaction).delete(QUEUE, message.msg_id)
        })?;
        ensure!(is_deleted, "the message is gone");
        done += 1;
    }
    Ok(done)
}

pub(super) fn worker<const CONCURRENCY: usize>(setting: &mut Setting) -> Result<f64> {
    let messages = setting.messages;
    setting.fill(messages)?;
    let queue = queue(setting, POOL)?;
    worker_with(&queue, CONCURRENCY, messages, |_| ())
}

pub(super) fn finish(setting: &mut Setting) -> Result<f64> {
    let messages = setting.messages / 8;
    setting.fill(messages)?;
    let queue = queue(setting, TRANSACTIONS + KEEPERS)?;
    let shared = queue.clone();
    worker_with(&queue, TRANSACTIONS as usize, messages, move |job| {
        shared.transaction(|transaction| {
            transaction.execute(INSERT, &[&"Ada"])?;
            job.finish_in(&shared.with(transaction))
        })
    })
}

/// The rate of a worker, from its start until the last message is gone from the queue.
fn worker_with<R: IntoOutcome + 'static>(
    queue: &PGMQueue,
    concurrency: usize,
    messages: u32,
    handler: impl Fn(&Job<RawJson>) -> R + Send + Sync + 'static,
) -> Result<f64> {
    let left = Arc::new(AtomicU32::new(messages));
    let (sender, all) = channel();
    let handler = move |job: &Job<RawJson>| {
        let outcome = handler(job);
        if left.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The receiver waits for this.
            let _ = sender.send(());
        }
        outcome
    };
    let begun = Instant::now();
    let settings = Queue::new().concurrency(concurrency);
    let worker = Worker::builder(queue.clone()).queue(QUEUE, settings, handler).start()?;
    all.recv().context("the worker has stopped")?;
    // The stop settles what is left.
    let report = worker.stop();
    let rate = per_second(messages, begun);
    ensure!(report.is_clean(), "{report}");
    let left = queue.metrics(QUEUE)?.queue_length;
    ensure!(left == 0, "{left} messages are left");
    Ok(rate)
}
