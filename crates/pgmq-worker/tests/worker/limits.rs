//! Timeouts, lost leases, pauses, and other handlers than of single messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pgmq_tokio::{NotifyOptions, RawJson, SendOptions};
use pgmq_worker::{Batch, BatchOutcome, CancelReason, Job, Outcome, Queue, Retry, Router, Worker};
use serde_json::json;

use crate::support::{on_a_database, wait_until, wait_until_empty};

async fn reason_of_dead_letter(queue: &pgmq_tokio::PGMQueue) -> String {
    let dead = queue.peek::<RawJson>("q_dlq", 1).await.unwrap();
    let headers: serde_json::Value = dead[0].headers.as_ref().unwrap().parse().unwrap();
    headers["x-dlq-reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_handler_that_ignores_its_timeout_is_dropped() {
    on_a_database(async |_, queue| {
        let settings = Queue::new()
            .timeout(Duration::from_millis(50))
            .grace(Duration::from_millis(50))
            .max_reads(1)
            .retry(Retry::fixed(Duration::ZERO));
        let handler = async |_: Job<i32>| std::future::pending::<()>().await;
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().await.unwrap();
        queue.send("q", &1).await.unwrap();
        wait_until_empty(&queue, "q").await;
        assert!(worker.stop().await.is_clean());
        assert_eq!(reason_of_dead_letter(&queue).await, "timeout");
    });
}

#[test]
fn a_handler_of_one_type_has_a_timeout_of_its_own() {
    on_a_database(async |_, queue| {
        let slow = async |job: Job<serde_json::Value>| match job.cancelled().await {
            CancelReason::TimedOut => Outcome::dead_letter("too slow"),
            _ => Outcome::Done,
        };
        let router = Router::by_header("type").on("quick", async |_: Job<serde_json::Value>| ()).on_with(
            "slow",
            pgmq_worker::On::new().timeout(Duration::from_millis(50)),
            slow,
        );
        let worker = Worker::builder(queue.clone()).queue("q", Queue::new(), router).start().await.unwrap();
        for kind in ["quick", "slow"] {
            let options = SendOptions::new().headers(&json!({"type": kind}));
            queue.send_with("q", &json!({}), &options).await.unwrap();
        }
        wait_until_empty(&queue, "q").await;
        assert!(worker.stop().await.is_clean());
        assert_eq!(queue.metrics("q_dlq").await.unwrap().queue_length, 1);
    });
}

#[test]
fn a_batch_has_an_outcome_for_each_message() {
    on_a_database(async |_, queue| {
        let handler = async |batch: Batch<i64>| -> BatchOutcome {
            batch.outcomes(|job| if **job % 2 == 0 { Outcome::Done } else { Outcome::Archive })
        };
        let settings = Queue::new().batch(50);
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().await.unwrap();
        let messages: Vec<_> = (0..100).collect();
        queue.send_batch("q", &messages).await.unwrap();
        wait_until_empty(&queue, "q").await;
        assert!(worker.stop().await.is_clean());
        assert_eq!(queue.read_archive::<i64>("q", 0, 100).await.unwrap().len(), 50);
    });
}

#[test]
fn a_paused_queue_is_not_read_until_it_is_resumed() {
    on_a_database(async |_, queue| {
        let done = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&done);
        let handler = move |_: Job<i64>| {
            counted.fetch_add(1, Ordering::Relaxed);
            async {}
        };
        let worker = Worker::builder(queue.clone()).queue("q", Queue::new(), handler).start().await.unwrap();
        let handle = worker.handle();
        assert!(handle.pause("Q") && !handle.pause("other"));
        queue.send("q", &1).await.unwrap();
        assert!(handle.wake("q"));
        // A claim that was in flight when the queue was paused releases what it brings.
        wait_until("the message is visible", async || queue.peek::<i64>("q", 1).await.unwrap().len() == 1)
            .await;
        assert_eq!(done.load(Ordering::Relaxed), 0);
        assert!(handle.resume("q"));
        wait_until_empty(&queue, "q").await;
        assert_eq!(done.load(Ordering::Relaxed), 1);
        assert!(worker.stop().await.is_clean());
    });
}

#[test]
fn a_notification_wakes_an_idle_worker() {
    on_a_database(async |_, queue| {
        queue.enable_notify_with("q", &NotifyOptions::new()).await.unwrap();
        // Without the notification, the worker would not look within the limit of the test.
        let settings = Queue::new().backstop(Duration::from_secs(3600));
        let handler = async |_: Job<i64>| ();
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().await.unwrap();
        for n in 0..3 {
            queue.send("q", &n).await.unwrap();
            wait_until_empty(&queue, "q").await;
        }
        // The worker knows when a delayed message is due.
        queue.send_with("q", &1, &SendOptions::new().delay(1)).await.unwrap();
        wait_until_empty(&queue, "q").await;
        assert!(worker.stop().await.is_clean());
    });
}

#[test]
fn a_lost_lease_cancels_the_handler_and_its_retry_has_no_effect() {
    on_a_database(async |_, queue| {
        let lost = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lost);
        let handler = move |job: Job<i64>| {
            let counted = Arc::clone(&counted);
            async move {
                if job.reads() > 1 {
                    return Outcome::Done;
                }
                assert_eq!(job.cancelled().await, CancelReason::LeaseLost);
                counted.fetch_add(1, Ordering::Relaxed);
                Outcome::retry_after(Duration::ZERO)
            }
        };
        let settings = Queue::new().vt(Duration::from_secs(3)).concurrency(1);
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().await.unwrap();
        let id = queue.send("q", &1).await.unwrap();
        let is_read = async || queue.get::<i64>("q", id).await.unwrap().unwrap().read_ct == 1;
        wait_until("the worker has the message", is_read).await;
        // Another consumer takes the message.
        queue.set_vt::<i64>("q", id, 0).await.unwrap();
        let taken = queue.read::<i64>("q", 600).await.unwrap();
        if taken.is_some() {
            wait_until("the lease is lost", async || lost.load(Ordering::Relaxed) == 1).await;
            assert!(
                queue.peek::<i64>("q", 1).await.unwrap().is_empty(),
                "the other consumer keeps the message"
            );
        }
        assert!(worker.stop().await.is_clean());
    });
}

#[test]
fn a_handler_that_blocks_its_thread_does_not_keep_the_worker_from_stopping() {
    on_a_database(async |_, queue| {
        let (block, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = std::sync::Mutex::new(blocked);
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&begun);
        let handler = move |_: Job<i64>| {
            counted.fetch_add(1, Ordering::Relaxed);
            // Ends when the test drops the other half.
            let _ = blocked.lock().unwrap().recv();
            async {}
        };
        let worker = Worker::builder(queue.clone())
            .queue("q", Queue::new().concurrency(1), handler)
            .drain(Duration::ZERO)
            .grace(Duration::from_millis(20))
            .flush(Duration::from_millis(20))
            .start()
            .await
            .unwrap();
        let id = queue.send("q", &1).await.unwrap();
        wait_until("the handler runs", async || begun.load(Ordering::Relaxed) == 1).await;
        let report = tokio::time::timeout(Duration::from_secs(8), worker.stop()).await.unwrap();
        assert_eq!(report.running, [("q".to_owned(), id)]);
        drop(block);
    });
}

#[test]
fn an_open_transaction_of_one_handler_costs_no_other_its_lease() {
    on_a_database(async |_, queue| {
        let lost = Arc::new(AtomicUsize::new(0));
        let (counted, finishing) = (Arc::clone(&lost), queue.clone());
        let vt = Duration::from_secs(2);
        let handler = move |job: Job<String>| {
            let (counted, queue) = (Arc::clone(&counted), finishing.clone());
            async move {
                let work = async {
                    if *job == "finishes" {
                        let work = async |transaction: &mut pgmq_tokio::Transaction<'_>| {
                            let finished = job.finish_in(&queue.with(transaction)).await?;
                            tokio::time::sleep(vt * 2).await;
                            Ok::<_, pgmq_tokio::Error>(finished)
                        };
                        return queue.transaction(work).await.map(Outcome::Finished);
                    }
                    tokio::time::sleep(vt * 2).await;
                    Ok(Outcome::Done)
                };
                let (work, cancelled) = (std::pin::pin!(work), job.cancelled());
                match futures_util::future::select(work, cancelled).await {
                    futures_util::future::Either::Left((outcome, _)) => outcome,
                    futures_util::future::Either::Right(_) => {
                        counted.fetch_add(1, Ordering::Relaxed);
                        Ok(Outcome::retry())
                    }
                }
            }
        };
        let worker =
            Worker::builder(queue.clone()).queue("q", Queue::new().vt(vt), handler).start().await.unwrap();
        queue.send_batch("q", &["finishes", "works"]).await.unwrap();
        wait_until_empty(&queue, "q").await;
        assert!(worker.stop().await.is_clean());
        assert_eq!(lost.load(Ordering::Relaxed), 0, "a lease was lost");
    });
}

#[test]
fn a_slot_survives_a_handler_that_panics_when_it_is_dropped() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("intended by the test");
        }
    }
    on_a_database(async |_, queue| {
        let settings = Queue::new()
            .concurrency(1)
            .timeout(Duration::from_millis(30))
            .grace(Duration::from_millis(30))
            .max_reads(1);
        let handler = async |job: Job<String>| {
            if *job == "bad" {
                let _guard = PanicsOnDrop;
                std::future::pending::<()>().await;
            }
        };
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().await.unwrap();
        queue.send_batch("q", &["bad", "good"]).await.unwrap();
        wait_until_empty(&queue, "q").await;
        assert!(worker.stop().await.is_clean());
        assert_eq!(queue.metrics("q_dlq").await.unwrap().queue_length, 1);
    });
}

#[test]
fn a_lost_handler_that_does_not_end_is_dropped_so_that_its_slot_is_free() {
    on_a_database(async |_, queue| {
        let settings =
            Queue::new().vt(Duration::from_secs(1)).grace(Duration::from_millis(30)).concurrency(1);
        let handler = async |job: Job<String>| {
            if *job == "hangs" {
                std::future::pending::<()>().await;
            }
        };
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().await.unwrap();
        let id = queue.send("q", "hangs").await.unwrap();
        wait_until("the worker has the message", async || {
            queue.get::<String>("q", id).await.unwrap().is_some_and(|message| message.read_ct > 0)
        })
        .await;
        assert!(queue.delete("q", id).await.unwrap());
        queue.send("q", "ends").await.unwrap();
        wait_until_empty(&queue, "q").await;
        assert!(worker.stop().await.is_clean());
    });
}
