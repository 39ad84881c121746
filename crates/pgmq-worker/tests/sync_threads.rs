//! The threads of a sync worker, counted in a process that has no other worker.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::fs;
use std::time::Duration;

use pgmq_worker::Queue;
use pgmq_worker::sync::{Job, Worker};

use crate::support::{on_a_database, wait_until, wait_until_empty};

#[path = "sync_worker/support.rs"]
mod support;

#[test]
fn a_dropped_worker_leaves_no_thread_behind() {
    on_a_database(|_, queue| {
        let handler = |job: &Job<i32>| if **job == 1 { Ok(()) } else { job.sleep(Duration::MAX) };
        let settings = Queue::new().concurrency(2);
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().unwrap();
        let handle = worker.handle();
        queue.send("q", &1).unwrap();
        wait_until_empty(&queue, "q");
        queue.send_batch("q", &[2, 3]).unwrap();
        wait_until("both handlers run", || handle.health()[0].running == 2);
        wait_until("two slots, six others of the queue, and the listener run", || of_workers() == 9);
        drop(worker);
        wait_until("all threads have ended", || of_workers() == 0);
    });
}

/// The number of threads of workers in this process.
fn of_workers() -> usize {
    let names = ["pgmq-slot", "pgmq-look", "pgmq-beat", "pgmq-settle", "pgmq-timer", "pgmq-listen"];
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // A thread may end meanwhile.
    let threads = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    threads.filter(|name| names.contains(&name.trim())).count()
}
