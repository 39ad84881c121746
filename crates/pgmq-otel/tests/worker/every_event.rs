//! Workers in memory to which everything happens that has a metric.

use std::time::Duration;

use pgmq_core::ErrorKind;
use pgmq_core::Queue as _;
use pgmq_otel::OtelWorker;
use pgmq_worker::testing::{Op, World};
use pgmq_worker::{Job, Outcome, Queue, Retry, Worker};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Workers that run. At their end, handlers still run.
pub(crate) struct Running {
    _worker: Worker,
    _world: World,
}

/// Lets everything happen:
///
/// - to messages of `q`, as their payloads say
/// - to those of `slow`, while their handlers run or are over their time
pub(crate) async fn run(otel: &OtelWorker) -> Running {
    let world = World::with_queues(["q", "slow", "other"]);
    // The worker begins without a listener, and loses time until it has one.
    world.fail(Op::Listen, ErrorKind::Connection);
    let finishing = world.queue();
    let handler = move |job: Job<String>| {
        let queue = finishing.clone();
        async move {
            match job.as_str() {
                "archive" => Outcome::Archive,
                "retry" => Outcome::retry(),
                "snooze" => Outcome::snooze(MINUTE * 60),
                "bury" => Outcome::dead_letter("no"),
                "discard" => Outcome::discard("no"),
                "forward" => Outcome::forward("other", "done"),
                "finish" => Outcome::Finished(job.finish_in(&queue).await.unwrap()),
                "panic" => panic!("no"),
                _ => Outcome::Done,
            }
        }
    };
    let clock = world.clone();
    let slow = move |job: Job<String>| {
        let clock = clock.clone();
        async move {
            match job.as_str() {
                "wait" => clock.sleep(MINUTE).await,
                _ => std::future::pending().await,
            }
        }
    };
    let settings = Queue::new().retry(Retry::fixed(MINUTE * 60));
    let slow_settings = Queue::new().vt(SECOND * 30).timeout(MINUTE * 5).grace(SECOND).keep_stuck();
    let builder = world.worker().layer(otel.clone()).observer(otel.clone());
    let builder = builder.queue("q", settings, handler).queue("slow", slow_settings, slow);
    let worker = builder.start().await.unwrap();
    otel.report_held(worker.handle());
    world.pass(SECOND * 10).await;
    world.recover();

    for payload in ["done", "archive", "retry", "snooze", "bury", "discard", "forward", "finish", "panic"] {
        world.send("q", payload);
    }
    world.send("q", &7);
    world.pass(SECOND * 10).await;

    // The server refuses to settle a message, and cannot be reached.
    world.fail(Op::Settle, ErrorKind::InvalidArgument);
    world.send("q", "done");
    world.pass(SECOND).await;
    world.recover();
    world.fail(Op::NextDue, ErrorKind::Connection);
    world.pass(MINUTE).await;
    world.fail(Op::Read, ErrorKind::Timeout);
    world.pass(MINUTE).await;
    world.recover();
    world.pass(MINUTE).await;

    // Two leases are lost, and a message is deleted by hand before its end.
    for _ in 0..2 {
        let id = world.send("slow", "wait");
        world.pass(SECOND).await;
        assert!(world.take_away("slow", id));
    }
    world.pass(SECOND * 30).await;
    let gone = world.send("slow", "wait");
    world.pass(SECOND * 59).await;
    world.queue().delete("slow", gone).unwrap();
    world.pass(SECOND * 2).await;

    // Extensions fail, and the next one is late.
    world.send("slow", "wait");
    world.pass(SECOND * 11).await;
    world.fail(Op::Extend, ErrorKind::Connection);
    world.pass(SECOND * 12).await;
    world.recover();
    world.pass(MINUTE).await;

    world.send("slow", "never");
    world.pass(MINUTE * 6).await;
    Running { _worker: worker, _world: world }
}
