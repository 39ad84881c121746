//! Draining queues, on a server and in memory.

use std::time::Duration;

use pgmq_core::{AsyncQueue, ErrorKind, RawJson, SendOptions};
use pgmq_worker::testing::{DrainReport, Fate, MemoryQueue, Op, drain};
use pgmq_worker::{Batch, Failure, Job, Outcome, Queue, Reason, Retry, Router, sync};

use crate::support::{on_a_database, on_a_database_sync};

async fn handler(job: Job<String>) -> Result<Outcome, Failure> {
    match job.as_str() {
        "bad" => Err("it is bad".into()),
        "worst" => Err(Failure::from("it is worst").permanent()),
        "old" => Ok(Outcome::discard("it is old")),
        "step" => Ok(Outcome::forward("q2", "next")),
        "keep" => Ok(Outcome::Archive),
        "wait" => Ok(Outcome::snooze(Duration::from_secs(600))),
        "flaky" if job.reads() < 3 => Err("not yet".into()),
        "shared" => Ok(job.state::<Outcome>().clone()),
        _ => Ok(Outcome::Done),
    }
}

fn blocking(job: &sync::Job<String>) -> Result<Outcome, Failure> {
    match job.as_str() {
        "bad" => Err("it is bad".into()),
        "worst" => Err(Failure::from("it is worst").permanent()),
        "old" => Ok(Outcome::discard("it is old")),
        "step" => Ok(Outcome::forward("q2", "next")),
        "keep" => Ok(Outcome::Archive),
        "wait" => Ok(Outcome::snooze(Duration::from_secs(600))),
        "shared" => Ok(job.state::<Outcome>().clone()),
        _ => Ok(Outcome::Done),
    }
}

const PAYLOADS: [&str; 8] = ["good", "bad", "worst", "old", "step", "keep", "wait", "shared"];

/// Checks the report on all payloads and on a number, which does not decode.
fn check(report: &DrainReport) {
    assert_eq!(report.done(), [1, 5, 6, 8]);
    assert_eq!((report.retried(), report.snoozed()), (vec![2], vec![7]));
    assert_eq!((report.dead(), report.discarded(), report.lost()), (vec![3, 9], vec![4], vec![]));
    let failures = report.failures();
    assert_eq!(
        failures[..3],
        [
            "queue q: message 2 (read 1): it is bad",
            "queue q: message 3 (read 1): it is worst",
            "queue q: message 4 (read 1): it is old",
        ]
    );
    assert!(failures[3].contains("message 9 (read 1): invalid type"), "{failures:?}");
    assert_eq!(report.messages[1].fate, Fate::Retried { after: Duration::from_secs(5) });
    let text =
        "4 done, 1 retried, 1 snoozed, 2 dead, 1 discarded, 0 lost\nqueue q: message 2 (read 1): it is bad";
    assert!(report.to_string().starts_with(text), "{report}");
}

#[test]
fn a_drain_handles_what_is_visible_and_settles_it() {
    on_a_database(async |queue| {
        queue.create_queue("q2").await.unwrap();
        queue.send_batch("q", &PAYLOADS).await.unwrap();
        queue.send("q", &5).await.unwrap();
        queue.send_with("q", "later", &SendOptions::new().delay(600)).await.unwrap();
        let drained = drain(&queue).queue("Q", Queue::new(), handler).state(Outcome::Done);
        check(&drained.run().await.unwrap());
        let left = [2, 10, 11];
        for id in 1..=11 {
            let is_left = queue.get::<RawJson>("q", id).await.unwrap().is_some();
            assert_eq!(is_left, left.contains(&id), "message {id}; the snoozed one has a new id");
        }
        assert_eq!(queue.read_archive::<String>("q", 0, 10).await.unwrap().len(), 1);
        let forwarded = queue.peek::<String>("q2", 10).await.unwrap();
        assert_eq!(forwarded[0].message, "next");
        let dead = queue.peek::<RawJson>("q_dlq", 10).await.unwrap();
        let headers: serde_json::Value = dead[0].parse_headers().unwrap().unwrap();
        assert_eq!(
            (&headers["x-dlq-reason"], &headers["x-dlq-worker"]),
            (&"permanent".into(), &"drain".into())
        );
        let again = drain(&queue).queue("q", Queue::new(), handler).run().await.unwrap();
        assert_eq!(again, DrainReport::default(), "nothing is visible");
    });
}

#[test]
fn a_sync_drain_handles_what_is_visible_and_settles_it() {
    on_a_database_sync(|queue| {
        queue.create_queue("q2").unwrap();
        queue.send_batch("q", &PAYLOADS).unwrap();
        queue.send("q", &5).unwrap();
        let drained = sync::testing::drain(&queue).queue("Q", Queue::new(), blocking).state(Outcome::Done);
        check(&drained.run().unwrap());
        assert_eq!(queue.peek::<String>("q2", 10).unwrap()[0].message, "next");
        let drained = sync::testing::drain(&queue).queue("q", Queue::new(), blocking).with_delayed(true);
        let error = drained.at_most(50).run().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "one message is snoozed for ever");
    });
}

#[test]
fn a_drain_in_a_transaction_is_rolled_back_with_it() {
    on_a_database(async |queue| {
        queue.send_batch("q", &["good", "worst"]).await.unwrap();
        let mut session = queue.session().await.unwrap();
        let mut transaction = session.transaction().await.unwrap();
        let inside = queue.with(&mut transaction);
        inside.send("q", "keep").await.unwrap();
        let report = drain(&inside).queue("q", Queue::new(), handler).run().await.unwrap();
        assert_eq!((report.done(), report.dead()), (vec![1, 3], vec![2]));
        assert_eq!(inside.peek::<String>("q_dlq", 1).await.unwrap().len(), 1);
        transaction.rollback().await.unwrap();
        let left = queue.peek::<String>("q", 10).await.unwrap();
        assert_eq!(
            left.iter().map(|message| (message.msg_id, message.read_ct)).collect::<Vec<_>>(),
            [(1, 0), (2, 0)]
        );
        assert!(!queue.queue_exists("q_dlq").await.unwrap());
    });
}

#[test]
fn a_sync_drain_in_a_transaction_is_rolled_back_with_it() {
    on_a_database_sync(|queue| {
        queue.send("q", "good").unwrap();
        let mut session = queue.session().unwrap();
        let mut transaction = session.transaction().unwrap();
        let inside = queue.with(&mut transaction);
        let report = sync::testing::drain(&inside).queue("q", Queue::new(), blocking).run().unwrap();
        assert_eq!(report.done(), [1]);
        transaction.rollback().unwrap();
        assert_eq!(queue.peek::<String>("q", 10).unwrap().len(), 1);
    });
}

#[test]
fn delayed_messages_are_taken_as_if_their_time_had_come() {
    on_a_database(async |queue| {
        queue.send_with("q", "later", &SendOptions::new().delay(600)).await.unwrap();
        queue.send_batch("q", &["flaky", "bad"]).await.unwrap();
        let settings = || Queue::new().max_reads(4).retry(Retry::fixed(Duration::from_secs(600)));
        let report = drain(&queue).queue("q", settings(), handler).run().await.unwrap();
        assert_eq!((report.done(), report.retried()), (vec![], vec![2, 3]));
        let drained = drain(&queue).queue("q", settings(), handler).with_delayed(true);
        let report = drained.run().await.unwrap();
        assert_eq!((report.done(), report.dead()), (vec![1, 2], vec![3]));
        let exhausted = &report.messages.last().unwrap().fate;
        assert!(matches!(exhausted, Fate::DeadLettered { reason: Reason::Exhausted, .. }), "{exhausted:?}");
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 0);
    });
}

async fn in_memory(queues: &[&str]) -> MemoryQueue {
    let queue = MemoryQueue::new();
    for name in queues {
        queue.create_queue(name).await.unwrap();
    }
    queue
}

#[tokio::test]
async fn a_handler_that_sends_to_its_own_queue_does_not_run_for_ever() {
    let queue = in_memory(&["q"]).await;
    queue.send("q", "a").await.unwrap();
    let handler = async |_: Job<String>| Outcome::forward("q", "again");
    let error = drain(&queue).queue("q", Queue::new(), handler).at_most(30).run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let text =
        "the drain has handled 30 messages, and queue \"q\" has more; a handler may send to its own queue";
    assert!(error.to_string().starts_with(text), "{error}");
    assert_eq!(queue.messages("q")[0].msg_id, 31);
}

#[tokio::test]
async fn exactly_the_limit_is_no_error() {
    let queue = in_memory(&["q"]).await;
    queue.send_batch("q", &["a", "b", "c"]).await.unwrap();
    let report = drain(&queue).queue("q", Queue::new(), handler).at_most(3).run().await.unwrap();
    assert_eq!(report.done(), [1, 2, 3]);
}

#[tokio::test]
async fn several_queues_are_drained_until_all_are_empty() {
    let queue = in_memory(&["a", "b"]).await;
    queue.send("a", &3).await.unwrap();
    let down = |to: &'static str| {
        move |job: Job<i32>| {
            let next = match *job {
                0 => Outcome::Done,
                left => Outcome::forward(to, &(left - 1)),
            };
            async move { next }
        }
    };
    let drained = drain(&queue).queue("b", Queue::new(), down("a")).queue("a", Queue::new(), down("b"));
    let report = drained.run().await.unwrap();
    assert_eq!(
        (report.done().len(), report.of("A").done(), report.of("b").done()),
        (4, vec![1, 2], vec![1, 2])
    );
}

#[tokio::test]
async fn batches_and_routers_are_drained() {
    let queue = in_memory(&["batches", "routed"]).await;
    queue.send_batch("batches", &[1, 2, 3, 4, 5]).await.unwrap();
    let headers = serde_json::json!({"type": "a"});
    queue.send_with("routed", &1, &SendOptions::new().headers(&headers)).await.unwrap();
    queue.send("routed", &2).await.unwrap();
    let batch = async |batch: Batch<i32>| match batch.len() {
        2 => batch.outcomes(|job| if **job == 3 { Err("three") } else { Ok(()) }),
        _ => batch.outcomes(|_| Ok::<_, Failure>(Outcome::Archive)),
    };
    let router = Router::by_header("type").on("a", async |_: Job<i32>| {});
    let drained =
        drain(&queue).queue("batches", Queue::new().batch(2), batch).queue("routed", Queue::new(), router);
    let report = drained.run().await.unwrap();
    assert_eq!(report.of("batches").done(), [1, 2, 4, 5]);
    assert_eq!(report.of("batches").retried(), [3]);
    assert_eq!(queue.archived("batches").len(), 1);
    assert_eq!((report.of("routed").done(), report.of("routed").dead()), (vec![1], vec![2]));
}

#[tokio::test]
async fn a_message_that_another_consumer_takes_is_reported_as_lost() {
    let queue = in_memory(&["q"]).await;
    let id = queue.send("q", "a").await.unwrap();
    let taking = queue.clone();
    let handler = move |job: Job<String>| {
        taking.take_away("q", job.id());
        async { Err::<(), _>("no") }
    };
    let report = drain(&queue).queue("q", Queue::new(), handler).run().await.unwrap();
    assert_eq!((report.lost(), report.retried()), (vec![id], vec![]));
}

#[tokio::test]
async fn a_message_that_was_read_too_often_is_a_dead_letter_without_its_handler() {
    let queue = in_memory(&["q"]).await;
    let id = queue.send("q", "keep").await.unwrap();
    for _ in 0..10 {
        queue.take_away("q", id);
    }
    let drained =
        drain(&queue).queue("q", Queue::new().dead_letter_queue("dead"), handler).with_delayed(true);
    let report = drained.run().await.unwrap();
    assert_eq!(report.dead(), [id]);
    assert_eq!((queue.messages("dead").len(), queue.archived("q").len()), (1, 0));
}

#[tokio::test]
async fn errors_of_the_database_and_of_the_settings_are_returned() {
    let queue = in_memory(&["q"]).await;
    let error = drain(&queue).queue("q", Queue::new().max_reads(0), handler).run().await.unwrap_err();
    assert!(error.to_string().contains("max_reads is 0"), "{error}");
    queue.send("q", "good").await.unwrap();
    queue.fail_next(Op::Settle, ErrorKind::Connection);
    let error = drain(&queue).queue("q", Queue::new(), handler).run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    let error = drain(&queue).queue("missing", Queue::new(), handler).run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueueNotFound);
}

#[test]
fn what_was_sent_is_found_without_a_read() {
    on_a_database(async |queue| {
        queue.send_with("q", "hidden", &SendOptions::new().delay(600)).await.unwrap();
        queue.send("q", "visible").await.unwrap();
        queue.send("q", &5).await.unwrap();
        use pgmq_worker::testing::{assert_not_sent, assert_sent};
        let found = assert_sent(&queue, "q", |text: &String| text == "hidden").await.unwrap();
        assert_eq!((found.msg_id, found.read_ct), (1, 0));
        assert_eq!(assert_sent(&queue, "q", |number: &i32| *number == 5).await.unwrap().msg_id, 3);
        assert_not_sent(&queue, "q", |text: &String| text == "other").await.unwrap();
        let reads: Vec<_> = queue.read_batch::<RawJson>("q", 30, 10).await.unwrap();
        assert!(reads.iter().all(|message| message.read_ct == 1), "the looks were no reads");
        let error = assert_sent(&queue, "missing", |_: &String| true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QueueNotFound);
    });
    on_a_database_sync(|queue| {
        queue.send("q", "a").unwrap();
        sync::testing::assert_sent(&queue, "q", |text: &String| text == "a").unwrap();
        sync::testing::assert_not_sent(&queue, "q", |text: &String| text == "b").unwrap();
    });
}

#[tokio::test]
#[should_panic(expected = "\
none of the 2 messages of queue \"q\" matches:
  message 1: \"a\" with headers {\"type\": \"x\"}
  message 2: 5 (of another type: invalid type: integer `5`, expected a string at line 1 column 1)")]
async fn a_message_that_was_not_sent_is_a_panic_that_lists_the_others() {
    let queue = in_memory(&["q"]).await;
    let headers = serde_json::json!({"type": "x"});
    queue.send_with("q", "a", &SendOptions::new().headers(&headers)).await.unwrap();
    queue.send("q", &5).await.unwrap();
    let _ = pgmq_worker::testing::assert_sent(&queue, "q", |text: &String| text == "b").await;
}

#[tokio::test]
#[should_panic(expected = "queue \"q\" has a message that must not be there:\n  message 2: \"b\"")]
async fn a_message_that_must_not_be_there_is_a_panic_that_shows_it() {
    let queue = in_memory(&["q"]).await;
    queue.send_batch("q", &["a", "b"]).await.unwrap();
    let _ = pgmq_worker::testing::assert_not_sent(&queue, "q", |text: &String| text == "b").await;
}

#[tokio::test]
async fn a_search_goes_through_all_pages_and_its_list_is_short() {
    let queue = in_memory(&["q"]).await;
    let numbers: Vec<_> = (0..2500).collect();
    queue.send_batch("q", &numbers).await.unwrap();
    let found = pgmq_worker::testing::assert_sent(&queue, "q", |number: &i32| *number == 2499).await.unwrap();
    assert_eq!(found.msg_id, 2500);
    let search = tokio::spawn(async move {
        let _ = pgmq_worker::testing::assert_sent(&queue, "q", |number: &i32| *number == -1).await;
    });
    let panic = search.await.unwrap_err().into_panic();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.ends_with("\n  and 2480 more") && text.contains("drain.rs:"), "{text}");
}

#[test]
#[should_panic(expected = "is empty, and a message was to be there")]
fn a_sync_search_in_an_empty_queue_is_a_panic() {
    let queue = MemoryQueue::new();
    pgmq_core::Queue::create_queue(&queue, "q").unwrap();
    let _ = sync::testing::assert_sent(&queue, "q", |_: &String| true);
}
