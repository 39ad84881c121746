//! Stops that end in time, whatever the database and the handlers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pgmq_postgres::PGMQueue;
use pgmq_worker::Queue;
use pgmq_worker::sync::{Builder, Job, Worker};

use crate::support::{on_a_database, wait_until};

/// A time that is longer than a stop with the limits of these tests takes, and shorter than all others.
const SOON: Duration = Duration::from_secs(5);

/// A worker whose handlers ignore that they are cancelled, until the receiver is closed.
fn deaf(queue: &PGMQueue, ends: async_channel::Receiver<()>, begun: &Arc<AtomicUsize>) -> Builder {
    let begun = Arc::clone(begun);
    let handler = move |_: &Job<i32>| {
        begun.fetch_add(1, Ordering::Relaxed);
        assert!(ends.recv_blocking().is_err());
    };
    Worker::builder(queue.clone())
        .queue("q", Queue::new().concurrency(2), handler)
        .drain(Duration::from_millis(50))
        .grace(Duration::from_millis(50))
        .flush(Duration::from_millis(500))
}

fn wait_until_begun(begun: &AtomicUsize) {
    wait_until("the handler runs", || begun.load(Ordering::Relaxed) == 1);
}

#[test]
fn a_handler_that_does_not_end_is_left_behind_and_named() {
    on_a_database(|_, queue| {
        let (sender, ends) = async_channel::bounded(1);
        let (is_there, handlers) = (Arc::new(()), Arc::default());
        let worker = deaf(&queue, ends, &handlers).state(Arc::clone(&is_there)).start().unwrap();
        let id = queue.send("q", &1).unwrap();
        wait_until_begun(&handlers);
        let begun = Instant::now();
        let report = worker.stop();
        assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
        assert_eq!(report.running, [("q".to_owned(), id)]);
        assert_eq!(report.unsettled, []);
        assert!(queue.peek::<i32>("q", 1).unwrap().is_empty(), "it may still write, so it is not released");
        sender.close();
        wait_until("its thread has ended", || Arc::strong_count(&is_there) == 1);
        assert_eq!(queue.metrics("q").unwrap().queue_length, 1, "the lane had stopped, so it is not deleted");
    });
}

#[test]
fn a_stop_ends_in_time_while_the_database_does_not_answer() {
    on_a_database(|_, queue| {
        let (sender, ends) = async_channel::bounded(1);
        let handlers = Arc::default();
        let worker = deaf(&queue, ends, &handlers).drain(SOON * 2).start().unwrap();
        let id = queue.send("q", &1).unwrap();
        wait_until_begun(&handlers);
        let locked = queue.transaction(|transaction| {
            transaction.batch_execute("LOCK TABLE pgmq.q_q IN ACCESS EXCLUSIVE MODE")?;
            sender.close();
            let begun = Instant::now();
            let report = worker.stop();
            assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
            assert_eq!(report.unsettled, [("q".to_owned(), id)]);
            Ok::<_, pgmq_postgres::Error>(())
        });
        locked.unwrap();
    });
}
