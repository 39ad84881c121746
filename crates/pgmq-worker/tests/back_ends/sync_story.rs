//! The same story on the sync back ends.

use std::thread;
use std::time::{Duration, Instant};

use pgmq_core::{Listen, Queue};
use pgmq_worker::sync::{Job, Worker};
use pgmq_worker::{Finished, IntoOutcome};

use crate::story::{LIMIT, MESSAGES, outcome, settings, those};

/// Runs a worker. `finish` finishes a message in a transaction that adds its number to `effects`.
pub(crate) fn run<Q: Listen + Clone + Send + Sync + 'static>(
    queue: Q,
    finish: impl Fn(&Q, &Job<i64>) -> Result<Finished, Q::Error> + Send + Sync + 'static,
) {
    for name in ["q", "next"] {
        queue.create_queue(name).unwrap();
    }
    queue.enable_notify("q").unwrap();
    let finishing = queue.clone();
    let handler = move |job: &Job<i64>| match outcome(job.meta(), **job) {
        Some(outcome) => outcome,
        None => finish(&finishing, job).into_outcome(),
    };
    let worker = Worker::builder(queue.clone()).queue("q", settings(), handler).start().unwrap();
    let numbers: Vec<_> = (1..=MESSAGES).collect();
    let (first, rest) = numbers.split_at(10);
    for part in [first, rest] {
        queue.send_batch("q", part).unwrap();
        wait_until_empty(&queue);
    }
    let report = worker.stop();
    assert!(report.is_clean(), "{report:?}");

    let mut archived: Vec<_> =
        queue.read_archive::<i64>("q", 0, 100).unwrap().into_iter().map(|row| row.message.message).collect();
    archived.sort_unstable();
    assert_eq!(archived, those(1));
    for (name, kind) in [("q_dlq", 2), ("next", 3)] {
        let mut found: Vec<_> =
            queue.peek::<i64>(name, 100).unwrap().into_iter().map(|message| message.message).collect();
        found.sort_unstable();
        assert_eq!(found, those(kind), "{name}");
    }
}

fn wait_until_empty(queue: &impl Queue) {
    let started = Instant::now();
    while queue.metrics("q").unwrap().queue_length > 0 {
        assert!(started.elapsed() < LIMIT, "the queue does not become empty");
        thread::sleep(Duration::from_millis(5));
    }
}
