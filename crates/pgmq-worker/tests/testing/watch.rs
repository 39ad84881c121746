//! Waiting for the events of a worker that runs.

use std::time::Duration;

use pgmq_core::{AsyncQueue as _, ErrorKind};
use pgmq_worker::testing::{MemoryQueue, Op, World};
use pgmq_worker::{Failure, Finished, Happened, Job, Outcome, Queue, Reason, Retry, Worker, sync};

use crate::support::{on_a_database, on_a_database_sync};

const LIMIT: Duration = Duration::from_secs(60);

async fn handler(job: Job<String>) -> Result<Outcome, Failure> {
    match job.as_str() {
        "bad" if job.reads() == 1 => Err("the first time".into()),
        "worst" => Err(Failure::from("it is worst").permanent()),
        "keep" => Ok(Outcome::Archive),
        "step" => Ok(Outcome::forward("next", "b")),
        _ => Ok(Outcome::Done),
    }
}

#[test]
fn a_watch_sees_what_was_sent_after_it_began() {
    on_a_database(async |queue| {
        let settings = Queue::new().retry(Retry::fixed(Duration::ZERO));
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().await.unwrap();
        queue.create_queue("next").await.unwrap();
        let handle = worker.handle();
        assert!(handle.watch("other").is_none());
        let mut watch = handle.watch("Q").unwrap().limit(LIMIT);
        let id = queue.send("q", "good").await.unwrap();
        let event = watch.until(|event| event.is_done_for(id)).await.unwrap();
        assert_eq!((event.happened, event.reads, &*event.queue), (Happened::Deleted, 1, "q"));
        assert!(queue.get::<String>("q", id).await.unwrap().is_none(), "the server knows");

        let id = queue.send("q", "bad").await.unwrap();
        let event = watch.until(|event| event.is_retried_for(id)).await.unwrap();
        let error = "the first time".to_owned();
        assert_eq!(event.happened, Happened::Retried { after: Duration::ZERO, error });
        assert_eq!(watch.until(|event| event.is_done_for(id)).await.unwrap().reads, 2);

        let id = queue.send("q", "worst").await.unwrap();
        let event = watch.until(|event| event.is_dead_for(id)).await.unwrap();
        let error = "it is worst".to_owned();
        assert_eq!(event.happened, Happened::DeadLettered { reason: Reason::Permanent, error });
        assert_eq!(queue.peek::<String>("q_dlq", 1).await.unwrap().len(), 1);

        let id = queue.send("q", "keep").await.unwrap();
        assert_eq!(watch.until(|event| event.is_done_for(id)).await.unwrap().happened, Happened::Archived);
        let id = queue.send("q", "step").await.unwrap();
        let event = watch.until(|event| event.is_done_for(id)).await.unwrap();
        assert_eq!(event.happened, Happened::Forwarded { to: "next".to_owned() });

        let mut second = handle.watch("q").unwrap().limit(LIMIT);
        let id = queue.send("q", "good").await.unwrap();
        second.until(|event| event.is_done_for(id)).await.unwrap();
        watch.until(|event| event.is_done_for(id)).await.unwrap();
        assert!(worker.stop().await.is_clean());
        let error = watch.until(|_| true).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "queue q: the worker has stopped, and no event matched before; there was none at all"
        );
        let error = handle.watch("q").unwrap().until(|_| true).await.unwrap_err().to_string();
        assert!(error.contains("the worker has stopped"), "{error}");
    });
}

#[test]
fn a_sync_watch_sees_what_was_sent_after_it_began() {
    on_a_database_sync(|queue| {
        let inside = queue.clone();
        let handler = move |job: &sync::Job<String>| -> Result<Finished, pgmq_postgres::Error> {
            inside.transaction(|transaction| job.finish_in(&inside.with(transaction)))
        };
        let worker = sync::Worker::builder(queue.clone()).queue("q", Queue::new(), handler).start().unwrap();
        let mut watch = worker.handle().watch("q").unwrap().limit(LIMIT);
        let id = queue.send("q", "good").unwrap();
        let event = watch.until_blocking(|event| event.is_done_for(id)).unwrap();
        assert_eq!(event.happened, Happened::Finished);
        assert!(worker.stop().is_clean());
        assert!(watch.until_blocking(|_| true).is_err());
    });
}

#[tokio::test]
async fn a_watch_in_a_world_waits_by_its_clock() {
    let world = World::with_queues(["q"]);
    let worker = world.worker().queue("q", Queue::new(), handler).start().await.unwrap();
    let mut watch = worker.handle().watch("q").unwrap().limit(LIMIT);
    let bad = world.send("q", "bad");
    let event = world.run(watch.until(|event| event.is_done_for(bad))).await.unwrap();
    assert_eq!((event.reads, world.passed().as_secs()), (2, 5));
    let other = world.send("q", "good");
    let missing = world.run(watch.until(|event| event.is_done_for(other + 1))).await.unwrap_err();
    let text = "queue q: no event matched within 60s; there were:\n  message 2 (read 1) is deleted";
    assert_eq!(missing.to_string(), text);
    assert_eq!(missing.passed().count(), 1);
    assert_eq!(world.passed().as_secs(), 65);
}

#[tokio::test]
async fn the_last_events_before_a_stop_are_seen() {
    let world = World::with_queues(["q"]);
    let worker = world.worker().queue("q", Queue::new(), handler).start().await.unwrap();
    let mut watch = worker.handle().watch("q").unwrap();
    world.fail_next(Op::Settle, ErrorKind::Connection);
    let id = world.send("q", "good");
    world.pass(Duration::ZERO).await;
    assert!(world.run(worker.stop()).await.is_clean());
    world.run(watch.until(|event| event.is_done_for(id))).await.unwrap();
}

#[tokio::test]
async fn lost_leases_and_messages_that_are_gone_are_events() {
    let world = World::with_queues(["q"]);
    let clock = world.clone();
    let slow = move |_: Job<String>| clock.sleep(Duration::from_secs(25));
    let worker = world.worker().queue("q", Queue::new(), slow).start().await.unwrap();
    let mut watch = worker.handle().watch("q").unwrap().limit(LIMIT);
    let (taken, gone) = (world.send("q", "a"), world.send("q", "b"));
    world.pass(Duration::from_secs(1)).await;
    world.take_away("q", taken);
    let lost = world.run(watch.until(|event| event.happened == Happened::Lost)).await.unwrap();
    assert_eq!(lost.msg_id, taken);
    world.pass(Duration::from_secs(13)).await;
    world.queue().delete("q", gone).await.unwrap();
    let event = world.run(watch.until(|event| event.happened == Happened::AlreadyGone)).await.unwrap();
    assert_eq!(event.msg_id, gone);
}

#[tokio::test]
async fn a_snooze_is_an_event_and_no_failure() {
    let world = World::with_queues(["q"]);
    let handler = async |job: Job<u64>| match job.reads() {
        1 => Outcome::snooze(Duration::from_secs(*job)),
        _ => Outcome::Done,
    };
    let worker = world.worker().queue("q", Queue::new(), handler).start().await.unwrap();
    let mut watch = worker.handle().watch("q").unwrap();
    for after in [5, 500] {
        let id = world.send("q", &after);
        let event = world.run(watch.until(|event| event.msg_id == id)).await.unwrap();
        assert_eq!(event.happened, Happened::Snoozed { after: Duration::from_secs(after) });
    }
}

#[test]
fn workers_of_both_shells_run_on_queues_in_memory() {
    let queue = MemoryQueue::new();
    let sync_queue = queue.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(async {
        queue.create_queue("q").await.unwrap();
        queue.enable_notify("q").await.unwrap();
        let worker = Worker::builder(queue.clone()).queue("q", Queue::new(), handler).start().await.unwrap();
        let mut watch = worker.handle().watch("q").unwrap().limit(LIMIT);
        let id = queue.send("q", "keep").await.unwrap();
        watch.until(|event| event.is_done_for(id)).await.unwrap();
        assert!(worker.stop().await.is_clean());
    });
    let handler = |_: &sync::Job<String>| Outcome::Archive;
    let worker = sync::Worker::builder(sync_queue.clone()).queue("q", Queue::new(), handler).start().unwrap();
    let mut watch = worker.handle().watch("q").unwrap().limit(LIMIT);
    let id = pgmq_core::Queue::send(&sync_queue, "q", "two").unwrap();
    watch.until_blocking(|event| event.is_done_for(id)).unwrap();
    assert!(worker.stop().is_clean());
    assert_eq!(sync_queue.archived("q").len(), 2);
}
