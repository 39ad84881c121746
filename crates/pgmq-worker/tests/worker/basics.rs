//! The outcomes of handlers, and the stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pgmq_tokio::RawJson;
use pgmq_worker::{Failure, Job, Outcome, Queue, Retry, Worker};

use crate::support::{on_a_database, wait_until, wait_until_empty};

#[test]
fn messages_are_handled_and_deleted() {
    on_a_database(async |_, queue| {
        let sum = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sum);
        let handler = move |job: Job<usize>| {
            let counted = Arc::clone(&counted);
            async move {
                counted.fetch_add(*job, Ordering::Relaxed);
            }
        };
        let worker = Worker::builder(queue.clone()).queue("q", Queue::new(), handler).start().await.unwrap();
        let messages: Vec<_> = (1..=1000_usize).collect();
        queue.send_batch("q", &messages).await.unwrap();
        wait_until_empty(&queue, "q").await;
        assert!(worker.stop().await.is_clean());
        assert_eq!(sum.load(Ordering::Relaxed), 500_500);
    });
}

#[test]
fn a_failure_is_retried_and_at_last_a_dead_letter() {
    on_a_database(async |_, queue| {
        let settings = Queue::new().max_reads(2).retry(Retry::fixed(Duration::ZERO));
        let handler = async |job: Job<String>| match job.as_str() {
            "flaky" if job.reads() == 1 => Err("the first time"),
            "poison" => Err("always"),
            _ => Ok(()),
        };
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().await.unwrap();
        queue.send_batch("q", &["good", "flaky", "poison"]).await.unwrap();
        wait_until_empty(&queue, "q").await;
        assert!(worker.stop().await.is_clean());
        let dead = queue.peek::<RawJson>("q_dlq", 10).await.unwrap();
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].message.get(), "\"poison\"");
        let headers = dead[0].headers.as_ref().unwrap().get();
        assert!(
            headers.contains("\"x-dlq-reason\":\"exhausted\"") || headers.contains("exhausted"),
            "{headers}"
        );
        assert!(headers.contains("always"), "{headers}");
    });
}

#[test]
fn the_other_outcomes_have_their_effect() {
    on_a_database(async |_, queue| {
        queue.create_queue("next").await.unwrap();
        let handler = async |job: Job<String>| match job.as_str() {
            "archive" => Outcome::Archive,
            "forward" => Outcome::forward("next", "step two"),
            "permanent" => Failure::from("no such address").permanent().into(),
            "discard" => Outcome::discard("out of date"),
            "snooze" if job.reads() == 1 => Outcome::snooze(Duration::ZERO),
            "panic" => panic!("intended by the test"),
            _ => Outcome::Done,
        };
        let settings = Queue::new().max_reads(2).retry(Retry::fixed(Duration::ZERO));
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().await.unwrap();
        let messages = ["archive", "forward", "permanent", "discard", "snooze", "panic", "done"];
        queue.send_batch("q", &messages).await.unwrap();
        queue.send("q", &7).await.unwrap();
        wait_until_empty(&queue, "q").await;
        assert!(worker.stop().await.is_clean());
        assert_eq!(queue.read_archive::<String>("q", 0, 10).await.unwrap()[0].message.message, "archive");
        assert_eq!(queue.pop::<String>("next").await.unwrap().unwrap().message, "step two");
        let mut dead: Vec<_> = queue
            .peek::<RawJson>("q_dlq", 10)
            .await
            .unwrap()
            .into_iter()
            .map(|message| {
                let headers: serde_json::Value = message.headers.unwrap().parse().unwrap();
                (message.message.get().to_owned(), headers["x-dlq-reason"].as_str().unwrap().to_owned())
            })
            .collect();
        dead.sort();
        let dead: Vec<_> = dead.iter().map(|(message, reason)| (message.as_str(), reason.as_str())).collect();
        assert_eq!(dead, [("\"panic\"", "panic"), ("\"permanent\"", "permanent"), ("7", "decode")]);
    });
}

#[test]
fn a_message_that_is_finished_in_a_transaction_is_gone_with_its_effect() {
    on_a_database(async |database, queue| {
        database.execute("CREATE TABLE paid (amount bigint)").unwrap();
        let paying = queue.clone();
        let handler = move |job: Job<i64>| {
            let queue = paying.clone();
            async move {
                queue
                    .transaction(async |transaction| {
                        transaction.execute("INSERT INTO paid VALUES ($1)", &[&*job]).await?;
                        job.finish_in(&queue.with(transaction)).await
                    })
                    .await
            }
        };
        let worker = Worker::builder(queue.clone()).queue("q", Queue::new(), handler).start().await.unwrap();
        queue.send_batch("q", &[1, 2, 3]).await.unwrap();
        wait_until_empty(&queue, "q").await;
        assert!(worker.stop().await.is_clean());
        let session = queue.session().await.unwrap();
        let sum: i64 = session.query_one("SELECT sum(amount)::bigint FROM paid", &[]).await.unwrap().get(0);
        assert_eq!(sum, 6);
    });
}

#[test]
fn a_stop_cancels_what_does_not_end_and_releases_it() {
    on_a_database(async |_, queue| {
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&begun);
        let handler = move |_: Job<i32>| {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>()
        };
        let worker = Worker::builder(queue.clone())
            .queue("q", Queue::new().concurrency(2), handler)
            .drain(Duration::ZERO)
            .grace(Duration::from_millis(50))
            .start()
            .await
            .unwrap();
        queue.send_batch("q", &[1, 2, 3, 4, 5]).await.unwrap();
        wait_until("both handlers run", async || begun.load(Ordering::Relaxed) == 2).await;
        let report = worker.stop().await;
        assert!(report.is_clean(), "{report:?}");
        let visible = queue.peek::<i32>("q", 10).await.unwrap();
        assert_eq!(visible.len(), 5, "what has not begun, and what was stopped, is released");
    });
}
