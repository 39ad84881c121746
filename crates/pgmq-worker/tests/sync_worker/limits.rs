//! Timeouts, lost leases, pauses, and other handlers than of single messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pgmq_postgres::{NotifyOptions, SendOptions};
use pgmq_worker::sync::{Batch, Job, Router, Worker};
use pgmq_worker::{BatchOutcome, CancelReason, Interrupted, On, Outcome, Queue, Retry};
use serde_json::json;

use crate::letters::dead_letters;
use crate::support::{LIMIT, on_a_database, wait_until, wait_until_empty};

#[test]
fn a_handler_is_cancelled_after_its_timeout() {
    on_a_database(|_, queue| {
        let settings =
            Queue::new().timeout(Duration::from_millis(50)).max_reads(1).retry(Retry::fixed(Duration::ZERO));
        let handler = |job: &Job<i32>| job.sleep(LIMIT);
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().unwrap();
        queue.send("q", &1).unwrap();
        wait_until_empty(&queue, "q");
        assert!(worker.stop().is_clean());
        assert_eq!(dead_letters(&queue), [("1".to_owned(), "timeout".to_owned())]);
    });
}

#[test]
fn a_handler_of_one_type_has_a_timeout_of_its_own() {
    on_a_database(|_, queue| {
        let slow = |job: &Job<serde_json::Value>| match job.sleep(LIMIT) {
            Err(Interrupted(CancelReason::TimedOut)) => Outcome::dead_letter("too slow"),
            _ => Outcome::Done,
        };
        let router = Router::by_header("type").on("quick", |_: &Job<serde_json::Value>| ()).on_with(
            "slow",
            On::new().timeout(Duration::from_millis(50)),
            slow,
        );
        let worker = Worker::builder(queue.clone()).queue("q", Queue::new(), router).start().unwrap();
        for kind in ["quick", "slow"] {
            let options = SendOptions::new().headers(&json!({"type": kind}));
            queue.send_with("q", &json!({}), &options).unwrap();
        }
        wait_until_empty(&queue, "q");
        assert!(worker.stop().is_clean());
        assert_eq!(queue.metrics("q_dlq").unwrap().queue_length, 1);
    });
}

#[test]
fn a_handler_that_ignores_its_own_timeout_counts_as_stuck() {
    on_a_database(|_, queue| {
        let (sender, ends) = async_channel::bounded::<()>(1);
        let deaf = move |_: &Job<serde_json::Value>| assert!(ends.recv_blocking().is_err());
        let rules = On::new().timeout(Duration::from_millis(20));
        let router = Router::by_header("type").on_with("slow", rules, deaf);
        let settings = Queue::new().grace(Duration::from_millis(20));
        let worker = Worker::builder(queue.clone()).queue("q", settings, router).start().unwrap();
        let options = SendOptions::new().headers(&json!({"type": "slow"}));
        queue.send_with("q", &json!({}), &options).unwrap();
        let handle = worker.handle();
        wait_until("the handler is stuck", || handle.health()[0].stuck == 1);
        // The handler returns in time, and its message is finished.
        sender.close();
        wait_until_empty(&queue, "q");
        assert!(worker.stop().is_clean());
    });
}

#[test]
fn a_batch_has_an_outcome_for_each_message() {
    on_a_database(|_, queue| {
        let handler = |batch: &Batch<i64>| -> BatchOutcome {
            batch.outcomes(|job| if **job % 2 == 0 { Outcome::Done } else { Outcome::Archive })
        };
        let settings = Queue::new().batch(50);
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().unwrap();
        let messages: Vec<_> = (0..100).collect();
        queue.send_batch("q", &messages).unwrap();
        wait_until_empty(&queue, "q");
        assert!(worker.stop().is_clean());
        assert_eq!(queue.read_archive::<i64>("q", 0, 100).unwrap().len(), 50);
    });
}

#[test]
fn a_paused_queue_is_not_read_until_it_is_resumed() {
    on_a_database(|_, queue| {
        let done = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&done);
        let handler = move |_: &Job<i64>| {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        let worker = Worker::builder(queue.clone()).queue("q", Queue::new(), handler).start().unwrap();
        let handle = worker.handle();
        assert!(handle.pause("Q") && !handle.pause("other"));
        queue.send("q", &1).unwrap();
        assert!(handle.wake("q"));
        // A claim that was in flight when the queue was paused releases what it brings.
        wait_until("the message is visible", || queue.peek::<i64>("q", 1).unwrap().len() == 1);
        assert_eq!(done.load(Ordering::Relaxed), 0);
        assert!(handle.resume("q"));
        wait_until_empty(&queue, "q");
        assert_eq!(done.load(Ordering::Relaxed), 1);
        assert!(worker.stop().is_clean());
    });
}

#[test]
fn a_notification_wakes_an_idle_worker() {
    on_a_database(|_, queue| {
        queue.enable_notify_with("q", &NotifyOptions::new()).unwrap();
        // Without the notification, the worker would not look within the limit of the test.
        let settings = Queue::new().backstop(Duration::from_secs(3600));
        let handler = |_: &Job<i64>| ();
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().unwrap();
        for n in 0..3 {
            queue.send("q", &n).unwrap();
            wait_until_empty(&queue, "q");
        }
        // The worker knows when a delayed message is due.
        queue.send_with("q", &1, &SendOptions::new().delay(1)).unwrap();
        wait_until_empty(&queue, "q");
        assert!(worker.stop().is_clean());
    });
}

#[test]
fn a_lost_lease_cancels_the_handler_and_its_retry_has_no_effect() {
    on_a_database(|_, queue| {
        let lost = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lost);
        let handler = move |job: &Job<i64>| {
            if job.reads() > 1 {
                return Outcome::Done;
            }
            assert_eq!(job.wait_cancelled(LIMIT), Some(CancelReason::LeaseLost));
            counted.fetch_add(1, Ordering::Relaxed);
            Outcome::retry_after(Duration::ZERO)
        };
        let settings = Queue::new().vt(Duration::from_secs(3)).concurrency(1).prefetch(0);
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().unwrap();
        let id = queue.send("q", &1).unwrap();
        let is_read = || queue.get::<i64>("q", id).unwrap().unwrap().read_ct == 1;
        wait_until("the worker has the message", is_read);
        // Another consumer takes the message. The worker has no slot to be faster.
        queue.set_vt::<i64>("q", id, 0).unwrap();
        assert!(queue.read::<i64>("q", 600).unwrap().is_some());
        wait_until("the lease is lost", || lost.load(Ordering::Relaxed) == 1);
        wait_until("the handler has ended", || worker.handle().health()[0].running == 0);
        assert!(queue.peek::<i64>("q", 1).unwrap().is_empty(), "the other consumer keeps the message");
        assert!(worker.stop().is_clean());
    });
}
