//! Stops that end in time, whatever the database does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pgmq_worker::{Job, Queue, Worker, WorkerEvent, WorkerObserver};

use crate::support::{on_a_database, wait_until};

/// Counts the calls of the database that have failed.
#[derive(Default)]
struct Failures(AtomicUsize);

impl WorkerObserver for Failures {
    fn observe(&self, event: &WorkerEvent<'_>) {
        if matches!(event, WorkerEvent::CallFailed { .. }) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_stop_ends_in_time_while_the_database_does_not_answer() {
    on_a_database(async |_, queue| {
        let is_running = Arc::new(AtomicBool::new(false));
        let may_end = Arc::new(AtomicBool::new(false));
        let (runs, ends) = (Arc::clone(&is_running), Arc::clone(&may_end));
        let handler = move |_: Job<i32>| {
            let ends = Arc::clone(&ends);
            runs.store(true, Ordering::Relaxed);
            async move {
                while !ends.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        let failures = Arc::new(Failures::default());
        let worker = Worker::builder(queue.clone())
            .observer(Arc::clone(&failures))
            .queue("q", Queue::new(), handler)
            .flush(Duration::from_millis(200))
            .start()
            .await
            .unwrap();
        let id = queue.send("q", &1).await.unwrap();
        wait_until("the handler runs", async || is_running.load(Ordering::Relaxed)).await;
        let mut session = queue.session().await.unwrap();
        let locking = session.transaction().await.unwrap();
        locking.batch_execute("LOCK TABLE pgmq.q_q IN ACCESS EXCLUSIVE MODE").await.unwrap();
        may_end.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        let report = worker.stop().await;
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
        assert_eq!(report.unsettled, [("q".to_owned(), id)]);
        // The calls that the stop has cut short have not failed.
        assert_eq!(failures.0.load(Ordering::Relaxed), 0);
        locking.rollback().await.unwrap();
    });
}
