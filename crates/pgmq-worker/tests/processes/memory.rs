//! The memory, the threads and the tasks of a worker that handles many messages.

use std::thread;
use std::time::{Duration, Instant};

use pgmq_worker::{Job, Queue, Worker, sync};

use crate::bed::{Bed, wait_until};
use crate::figures::{is_full, tell};
use crate::process::{AsyncWorker, Process, Usage};

pub(crate) const TASK: &str = "memory";

const LIMIT: Duration = Duration::from_secs(60);
/// The messages of a send.
const BATCH: usize = 1_000;
/// The messages that wait at most.
const DEPTH: i64 = 5_000;
/// The messages whose handlers take a moment, so that all slots are made.
const SLOW: i64 = 500;
/// The growth of the resident memory that is none: the allocator keeps what it had to give at once.
const TOLERANCE: usize = 4 << 20;

pub(crate) fn run(shell: &str) {
    let messages = if is_full() { 1_000_000 } else { 20_000 };
    let bed = Bed::create(&["q"], "");
    let mut worker = Process::start(TASK, shell, bed.database.url());
    let begun = Instant::now();
    let warm = handle(&bed, &mut worker, 1..=messages / 5);
    let end = handle(&bed, &mut worker, messages / 5 + 1..=messages);
    let took = begun.elapsed().as_secs_f64();
    tell(format!("{messages} messages of the {shell} worker in {took:.0} s: from {warm:?} to {end:?}"));
    assert!(end.memory <= warm.memory + TOLERANCE, "from {warm:?} to {end:?}");
    assert!(end.threads <= warm.threads && end.tasks <= warm.tasks, "from {warm:?} to {end:?}");
}

/// Sends messages, and waits until the worker has handled them.
fn handle(bed: &Bed, worker: &mut Process, numbers: std::ops::RangeInclusive<i64>) -> Usage {
    let numbers: Vec<_> = numbers.collect();
    for batch in numbers.chunks(BATCH) {
        wait_until("the worker keeps up", LIMIT, || bed.length("q") < DEPTH);
        bed.queue.send_batch("q", batch).unwrap();
    }
    wait_until("the queue is empty", LIMIT, || bed.length("q") == 0);
    worker.usage()
}

fn settings() -> Queue {
    Queue::new().concurrency(16)
}

/// The time that a handler takes.
fn time(number: i64) -> Option<Duration> {
    (number <= SLOW).then(|| Duration::from_millis(2))
}

pub(crate) fn async_worker(url: String) -> AsyncWorker {
    Box::pin(async move {
        let queue = pgmq_tokio::PGMQueue::builder().url(url).pool_size(6).connect().await.unwrap();
        let handler = async |job: Job<i64>| {
            if let Some(time) = time(*job) {
                tokio::time::sleep(time).await;
            }
        };
        Worker::builder(queue).queue("q", settings(), handler).start().await.unwrap()
    })
}

pub(crate) fn sync_worker(url: String) {
    let queue = pgmq_postgres::PGMQueue::builder().url(url).pool_size(6).connect().unwrap();
    let handler = |job: &sync::Job<i64>| {
        if let Some(time) = time(**job) {
            thread::sleep(time);
        }
    };
    sync::Worker::builder(queue).queue("q", settings(), handler).start().unwrap().join();
}
