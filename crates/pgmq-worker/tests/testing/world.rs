//! Whole workers in a world whose clock is turned.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgmq_core::{AsyncQueue, ErrorKind, SendOptions};
use pgmq_worker::testing::{Op, World};
use pgmq_worker::{Batch, CancelReason, Job, Outcome, Queue, Reason, Retry};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A list that handlers write to.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn a_retry_comes_at_its_time_and_not_before() {
    let world = World::with_queues(["q"]);
    let log = Log::default();
    let (clock, logged) = (world.clone(), log.clone());
    let handler = move |job: Job<i32>| {
        logged.add(format!("read {} at {}", job.reads(), clock.passed().as_secs()));
        async move { if job.reads() < 4 { Err("not yet") } else { Ok(()) } }
    };
    let _worker = world.worker().queue("q", Queue::new(), handler).start().await.unwrap();
    world.send("q", &1);
    world.pass(Duration::ZERO).await;
    assert_eq!(log.take(), ["read 1 at 0"]);
    world.pass(SECOND * 4).await;
    assert_eq!(log.take(), [""; 0]);
    world.pass(MINUTE).await;
    assert_eq!(log.take(), ["read 2 at 5", "read 3 at 15", "read 4 at 35"]);
    assert_eq!(world.queue_length("q"), 0);
}

#[tokio::test]
async fn a_notification_before_the_start_does_not_delay_a_message_after_it() {
    let world = World::with_queues(["q"]);
    world.send("q", &1);
    let handler = async |_: Job<i32>| ();
    let _worker = world.worker().queue("q", Queue::new(), handler).start().await.unwrap();
    world.pass(Duration::from_millis(100)).await;
    assert_eq!(world.queue_length("q"), 0);
    // The throttle of the notification before the start silences that of this message.
    world.send("q", &2);
    world.pass(Duration::from_millis(200)).await;
    assert_eq!(world.queue_length("q"), 0);
}

#[tokio::test]
async fn a_message_that_always_fails_is_a_dead_letter_after_its_reads() {
    let world = World::with_queues(["q"]);
    let handler = async |_: Job<i32>| Err::<(), _>("the disk is full");
    let _worker = world.worker().name("w").queue("q", Queue::new(), handler).start().await.unwrap();
    world.send_with("q", &7, &SendOptions::new().headers(&serde_json::json!({"type": "number"})));
    world.pass(MINUTE * 35).await;
    assert_eq!((world.queue_length("q"), world.dead_letters("q").len()), (1, 0));
    world.pass(MINUTE * 2).await;
    let dead = world.dead_letters("q");
    assert_eq!((world.queue_length("q"), dead.len()), (0, 1));
    let headers: serde_json::Value = dead[0].parse_headers().unwrap().unwrap();
    assert_eq!(headers["x-dlq-reason"], Reason::Exhausted.as_str());
    assert_eq!(headers["x-dlq-error"], "the disk is full");
    assert_eq!((&headers["x-dlq-read-ct"], &headers["type"]), (&10.into(), &"number".into()));
    let at = headers["x-dlq-at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let failing = at - dead[0].enqueued_at;
    assert!(failing.num_seconds().abs() <= 1, "the header has the time of the world: {failing}");
}

#[tokio::test]
async fn a_settlement_that_fails_is_repeated_and_the_handler_is_not() {
    for is_lost in [false, true] {
        let world = World::with_queues(["q"]);
        let log = Log::default();
        let logged = log.clone();
        let handler = move |job: Job<i32>| {
            logged.add(format!("{}", *job));
            async {}
        };
        let _worker = world.worker().queue("q", Queue::new(), handler).start().await.unwrap();
        match is_lost {
            true => world.lose_next(Op::Settle),
            false => world.fail_next(Op::Settle, ErrorKind::Connection),
        }
        world.send("q", &5);
        world.pass(Duration::ZERO).await;
        assert_eq!(world.queue_length("q"), if is_lost { 0 } else { 1 });
        world.pass(MINUTE * 5).await;
        assert_eq!(log.take(), ["5"], "the handler ran once");
        assert_eq!((world.queue_length("q"), world.dead_letters("q").len()), (0, 0));
    }
}

#[tokio::test]
async fn a_lease_that_another_worker_takes_cancels_the_handler() {
    let world = World::with_queues(["q"]);
    let log = Log::default();
    let (clock, logged) = (world.clone(), log.clone());
    let handler = move |job: Job<i32>| {
        let (clock, logged) = (clock.clone(), logged.clone());
        async move {
            if job.reads() == 1 {
                let why = job.cancelled().await;
                logged.add(format!("cancelled at {}: {why:?}", clock.passed().as_secs()));
            }
            logged.add(format!("read {} ends", job.reads()));
            Outcome::retry()
        }
    };
    let settings = Queue::new().vt(SECOND * 30);
    let _worker = world.worker().queue("q", settings, handler).start().await.unwrap();
    let id = world.send("q", &1);
    world.pass(SECOND).await;
    assert!(world.take_away("q", id));
    world.pass(SECOND * 10).await;
    assert_eq!(log.take(), ["cancelled at 10: LeaseLost", "read 1 ends"]);
    let message = &world.messages("q")[0];
    assert_eq!(message.read_ct, 2, "the retry of the first worker has touched nothing");
    world.pass(SECOND * 25).await;
    assert_eq!(log.take(), ["read 3 ends"], "the message comes again when the other worker's lease is over");
}

#[tokio::test]
async fn a_lease_that_cannot_be_extended_cancels_the_handler_when_it_is_over() {
    let world = World::with_queues(["q"]);
    let log = Log::default();
    let (clock, logged) = (world.clone(), log.clone());
    let handler = move |job: Job<i32>| {
        let (clock, logged) = (clock.clone(), logged.clone());
        async move {
            clock.sleep(SECOND * 100 / u32::try_from(job.reads()).unwrap()).await;
            logged.add("the handler ends");
        }
    };
    let settings = Queue::new().vt(SECOND * 30).grace(SECOND * 5);
    let _worker = world.worker().queue("q", settings, handler).start().await.unwrap();
    world.send("q", &1);
    world.pass(SECOND * 25).await;
    world.fail(Op::Extend, ErrorKind::Connection);
    world.pass(SECOND * 20).await;
    assert_eq!(world.messages("q")[0].read_ct, 1, "two extensions were before the failure");
    world.pass(SECOND * 10).await;
    world.recover();
    assert_eq!(log.take(), [""; 0], "the handler was dropped when its grace was over");
    world.pass(MINUTE * 2).await;
    assert_eq!((log.take(), world.queue_length("q")), (vec!["the handler ends".to_owned()], 0));
}

#[tokio::test]
async fn a_stop_cancels_and_drops_what_does_not_end() {
    let world = World::with_queues(["q"]);
    let log = Log::default();
    let (clock, logged) = (world.clone(), log.clone());
    let handler = move |job: Job<String>| {
        let (clock, logged) = (clock.clone(), logged.clone());
        async move {
            match job.as_str() {
                "quick" => clock.sleep(SECOND * 15).await,
                "polite" => {
                    let why = job.cancelled().await;
                    assert_eq!(why, CancelReason::Shutdown);
                }
                _ => clock.sleep(MINUTE * 60).await,
            }
            logged.add(format!("{} at {}", *job, clock.passed().as_secs()));
            Outcome::Done
        }
    };
    let settings = Queue::new().concurrency(3).prefetch(1);
    let worker = world.worker().queue("q", settings, handler).start().await.unwrap();
    for message in ["quick", "polite", "deaf", "waiting"] {
        world.send("q", message);
    }
    world.pass(SECOND * 10).await;
    let report = world.run(worker.stop()).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(log.take(), ["quick at 15", "polite at 30"]);
    assert_eq!(world.passed(), SECOND * 35, "10 s before the stop, 20 s to drain, and 5 s of grace");
    let left = world.messages("q");
    let left: Vec<_> = left.iter().map(|message| (message.message.get(), message.read_ct)).collect();
    assert_eq!(left, [("\"deaf\"", 1), ("\"waiting\"", 1)]);
    assert!(world.queue().peek::<String>("q", 10).await.unwrap().len() == 2, "both are released");
}

#[tokio::test]
async fn a_handler_is_cancelled_at_its_timeout() {
    let world = World::with_queues(["q"]);
    let handler = async |job: Job<i32>| {
        job.cancelled().await;
        Err::<(), _>("cancelled")
    };
    let settings = Queue::new().timeout(SECOND * 3).retry(Retry::fixed(SECOND)).max_reads(2);
    let _worker = world.worker().queue("q", settings, handler).start().await.unwrap();
    world.send("q", &1);
    world.pass(SECOND * 6).await;
    assert_eq!(world.dead_letters("q").len(), 0);
    world.pass(SECOND).await;
    let headers: serde_json::Value = world.dead_letters("q")[0].parse_headers().unwrap().unwrap();
    assert_eq!(headers["x-dlq-reason"], "timeout");
}

#[tokio::test]
async fn delays_snoozes_forwards_and_archives_are_those_of_a_server() {
    let world = World::with_queues(["q", "next"]);
    let clock = world.clone();
    let handler = move |job: Job<String>| {
        let at = clock.passed().as_secs();
        async move {
            match job.as_str() {
                "archive" => Outcome::Archive,
                "forward" => Outcome::forward("next", &at),
                "snooze" if at < 500 => Outcome::snooze(MINUTE * 5),
                "snooze" => Outcome::forward("next", &(at, job.attempt())),
                _ => Outcome::discard("unknown"),
            }
        }
    };
    let _worker = world.worker().queue("q", Queue::new(), handler).start().await.unwrap();
    world.send("q", "archive");
    world.send_with("q", "forward", &SendOptions::new().delay(MINUTE));
    world.send("q", "snooze");
    world.send("q", "other");
    world.pass(SECOND * 59).await;
    assert_eq!((world.archived("q").len(), world.queue_length("q"), world.queue_length("next")), (1, 2, 0));
    world.pass(MINUTE * 10).await;
    let sent: Vec<_> = world.messages("next").iter().map(|m| m.message.get().to_owned()).collect();
    assert_eq!(sent, ["60", "[600, 1]"]);
}

#[tokio::test]
async fn two_workers_share_a_queue_and_batches_are_filled() {
    let world = World::with_queues(["q"]);
    let log = Log::default();
    let mut workers = Vec::new();
    for name in ["a", "b"] {
        let logged = log.clone();
        let handler = move |batch: Batch<i32>| {
            logged.add(format!("{name} {}", batch.len()));
            async {}
        };
        let settings = Queue::new().concurrency(1).batch(10).prefetch(0);
        workers.push(world.worker().queue("q", settings, handler).start().await.unwrap());
    }
    for number in 0..40 {
        world.send("q", &number);
    }
    world.pass(MINUTE).await;
    let lines = log.take();
    let of = |name: &str| lines.iter().filter(|line| line.starts_with(name)).count();
    assert!(of("a 10") > 0 && of("b 10") > 0 && lines.len() == 4, "{lines:?}");
}

#[tokio::test]
async fn a_world_has_the_same_course_each_time() {
    async fn course() -> Vec<String> {
        let world = World::with_queues(["q"]);
        let log = Log::default();
        let (clock, logged) = (world.clone(), log.clone());
        let handler = move |job: Job<u64>| {
            let (clock, logged) = (clock.clone(), logged.clone());
            async move {
                clock.sleep(Duration::from_millis(*job * 37 % 4000)).await;
                logged.add(format!("{} {} {:?}", *job, job.reads(), clock.passed()));
                if job.reads() == 1 && job.is_multiple_of(3) { Err("once") } else { Ok(()) }
            }
        };
        let worker = world.worker().queue("q", Queue::new(), handler).start().await.unwrap();
        world.fail_next(Op::Read, ErrorKind::Connection);
        for number in 0..200_u64 {
            world.send("q", &number);
        }
        world.pass(MINUTE * 3).await;
        assert_eq!(world.queue_length("q"), 0);
        world.run(worker.stop()).await;
        log.take()
    }
    let first = course().await;
    assert!(first.len() > 200);
    assert_eq!(first, course().await);
}

#[tokio::test]
async fn patience_waits_for_a_handler_that_is_elsewhere() {
    let world = World::with_queues(["q"]).patience(SECOND * 20);
    let handler = async |_: Job<i32>| tokio::time::sleep(Duration::from_millis(20)).await;
    let _worker = world.worker().queue("q", Queue::new().timeout(SECOND), handler).start().await.unwrap();
    world.send("q", &1);
    world.pass(MINUTE).await;
    assert_eq!((world.queue_length("q"), world.dead_letters("q").len()), (0, 0));
}

#[tokio::test]
async fn a_world_may_pass_on_another_task() {
    let world = World::with_queues(["q"]);
    let worker = world.worker().queue("q", Queue::new(), async |_: Job<i32>| {}).start().await.unwrap();
    world.send("q", &1);
    let passing = world.clone();
    tokio::spawn(async move { passing.pass(SECOND).await }).await.unwrap();
    assert_eq!(world.queue_length("q"), 0);
    let stopping = world.clone();
    let report = tokio::spawn(async move { stopping.run(worker.stop()).await }).await.unwrap();
    assert!(report.is_clean());
}

#[tokio::test]
async fn a_queue_that_does_not_notify_is_polled() {
    let world = World::new();
    world.queue().create_queue("q").await.unwrap();
    let worker = world.worker().queue("q", Queue::new(), async |_: Job<i32>| {}).start().await.unwrap();
    world.pass(MINUTE).await;
    world.send("q", &1);
    world.pass(SECOND * 2).await;
    assert_eq!(world.queue_length("q"), 0);
    assert_eq!(worker.handle().health()[0].failed_reads, 0);
}

#[tokio::test]
#[should_panic(expected = "has not ended within a day of the world's time")]
async fn a_future_that_never_ends_is_not_waited_for() {
    World::new().run(std::future::pending::<()>()).await;
}

#[tokio::test]
async fn a_handler_must_not_let_the_world_pass() {
    let world = World::with_queues(["q"]);
    let inner = world.clone();
    let handler = move |_: Job<i32>| {
        let inner = inner.clone();
        async move { inner.pass(SECOND).await }
    };
    let settings = Queue::new().max_reads(1);
    let _worker = world.worker().queue("q", settings, handler).start().await.unwrap();
    world.send("q", &1);
    world.pass(SECOND).await;
    let headers = world.dead_letters("q")[0].headers.clone().unwrap();
    assert!(headers.get().contains("only the test may let it pass"), "{headers}");
}
