//! The metrics of a worker, each with its attributes.

use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgmq_core::{ErrorKind, Queue as _};
use pgmq_otel::OtelWorker;
use pgmq_worker::testing::{MemoryQueue, Op, World};
use pgmq_worker::{Happened, Job, Queue, sync};

use crate::every_event;
use crate::telemetry::Telemetry;

const SECOND: Duration = Duration::from_secs(1);
const PAGE: &str = include_str!("../../../../docs/telemetry/opentelemetry.md");

/// The attributes of each metric, with the queue in front. The listener serves all queues.
const ATTRIBUTES: [(&str, &[&str]); 13] = [
    (
        "messaging.process.duration",
        &[
            "q",
            "q error.type=_OTHER",
            "q error.type=decode",
            "q error.type=panic",
            "slow",
            "slow error.type=cancelled",
        ],
    ),
    (
        "pgmq.worker.calls.failed",
        &[
            "q error.type=connection pgmq.call=due",
            "q error.type=invalid_argument pgmq.call=settle",
            "q error.type=timeout pgmq.call=read",
            "slow error.type=connection pgmq.call=extend",
            "slow error.type=timeout pgmq.call=read",
        ],
    ),
    ("pgmq.worker.extend.late", &["slow"]),
    ("pgmq.worker.extend.lost", &["slow"]),
    (
        "pgmq.worker.in_flight",
        &[
            "q pgmq.state=running",
            "q pgmq.state=unsettled",
            "q pgmq.state=waiting",
            "slow pgmq.state=running",
            "slow pgmq.state=unsettled",
            "slow pgmq.state=waiting",
        ],
    ),
    ("pgmq.worker.lease.left", &["q", "slow"]),
    ("pgmq.worker.listener.lost", &[""]),
    (
        "pgmq.worker.messages",
        &[
            "q pgmq.event=archived",
            "q pgmq.event=dead_lettered pgmq.reason=decode",
            "q pgmq.event=dead_lettered pgmq.reason=permanent",
            "q pgmq.event=deleted",
            "q pgmq.event=finished",
            "q pgmq.event=forwarded",
            "q pgmq.event=not_settled",
            "q pgmq.event=retried",
            "q pgmq.event=snoozed",
            "slow pgmq.event=already_gone",
            "slow pgmq.event=deleted",
            "slow pgmq.event=lost",
            "slow pgmq.event=retried",
            "slow pgmq.event=stuck",
        ],
    ),
    ("pgmq.worker.read.failing", &["q", "slow"]),
    ("pgmq.worker.read.messages", &["q", "slow"]),
    ("pgmq.worker.settle.messages", &["q", "slow"]),
    ("pgmq.worker.stuck", &["q", "slow"]),
    ("pgmq.worker.time_in_queue", &["q", "slow"]),
];

/// The attributes of the points of a metric, with the queue in front.
fn attributes(telemetry: &Telemetry, name: &str) -> BTreeSet<String> {
    let queue_first = |(attributes, _): (String, u64)| {
        let words = attributes.split(' ').filter(|word| !word.starts_with("messaging.operation."));
        let mut words: Vec<_> = words.collect();
        words.sort_by_key(|word| !word.starts_with("messaging.destination.name="));
        words.join(" ").replace("messaging.destination.name=", "")
    };
    telemetry.points(name).into_iter().map(queue_first).collect()
}

/// The words in backticks of the rows of the guide's tables that begin with a metric of this sort.
fn rows(of: &str) -> Vec<Vec<&'static str>> {
    let is_of = |line: &&str| line.starts_with(&format!("| `{of}"));
    PAGE.lines().filter(is_of).map(|line| line.split('`').skip(1).step_by(2).collect()).collect()
}

#[tokio::test]
async fn everything_that_happens_has_its_metric() {
    let telemetry = Telemetry::new();
    let otel = OtelWorker::new(&telemetry.tracers, &telemetry.meters);
    let _running = every_event::run(&otel).await;
    for (name, expected) in ATTRIBUTES {
        let expected = expected.iter().map(ToString::to_string).collect();
        assert_eq!(attributes(&telemetry, name), expected, "{name}");
    }
}

#[test]
fn the_guide_has_the_metrics_and_the_values_of_their_attributes() {
    let names: BTreeSet<_> = ATTRIBUTES.iter().map(|(name, _)| *name).collect();
    let worker = rows("pgmq.worker.");
    let documented = worker.iter().map(|words| words[0]).chain(["messaging.process.duration"]);
    assert_eq!(documented.collect::<BTreeSet<_>>(), names);
    for (name, key) in [
        ("pgmq.worker.messages", "pgmq.event"),
        ("pgmq.worker.in_flight", "pgmq.state"),
        ("pgmq.worker.calls.failed", "pgmq.call"),
    ] {
        let (_, attributes) = ATTRIBUTES.iter().find(|(of, _)| *of == name).unwrap();
        let words = attributes.iter().flat_map(|attributes| attributes.split(' '));
        let values = words.filter_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let row = worker.iter().find(|words| words[0] == name).unwrap();
        for value in values {
            assert!(row.contains(&value), "the row of {name} has no {value}: {row:?}");
        }
    }
}

#[tokio::test]
async fn the_messages_that_workers_hold_are_reported_until_the_workers_have_stopped() {
    let telemetry = Telemetry::new();
    let world = World::with_queues(["q"]);
    let otel = OtelWorker::new(&telemetry.tracers, &telemetry.meters);
    let start = async || {
        let clock = world.clone();
        let handler = move |_: Job<i32>| clock.sleep(SECOND * 5);
        let settings = Queue::new().concurrency(1).prefetch(2);
        let worker = world.worker().queue("q", settings, handler).start().await.unwrap();
        otel.report_held(worker.handle());
        worker
    };
    let (first, second) = (start().await, start().await);
    for number in 0..6 {
        world.send("q", &number);
    }
    world.pass(SECOND).await;
    let held = || {
        let points = telemetry.points("pgmq.worker.in_flight");
        points.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    };
    // Running, unsettled and waiting.
    assert_eq!(held(), [2, 0, 4]);
    world.fail(Op::Settle, ErrorKind::Connection);
    world.pass(SECOND * 5).await;
    assert_eq!(held(), [2, 2, 2]);
    world.fail(Op::Read, ErrorKind::Connection);
    world.pass(SECOND * 20).await;
    let failing = &telemetry.points("pgmq.worker.read.failing")[..];
    assert!(matches!(failing, [(_, 1..)]), "{failing:?}");
    // The messages that a stop leaves unsettled are not held any more.
    for worker in [first, second] {
        assert!(!world.run(worker.stop()).await.unsettled.is_empty());
    }
    assert_eq!(held(), [0, 0, 0]);
}

#[test]
fn a_handler_that_does_not_end_is_reported_as_stuck() {
    let telemetry = Telemetry::new();
    let queue = MemoryQueue::new();
    queue.create_queue("q").unwrap();
    let (ends, is_over) = channel::<()>();
    let is_over = Arc::new(Mutex::new(is_over));
    let handler = move |_: &sync::Job<i32>| assert!(is_over.lock().unwrap().recv().is_err());
    let otel = OtelWorker::new(&telemetry.tracers, &telemetry.meters);
    let settings = Queue::new().timeout(SECOND / 100).grace(SECOND / 100);
    let worker = sync::Worker::builder(queue.clone()).queue("q", settings, handler).start().unwrap();
    otel.report_held(worker.handle());
    let mut events = worker.handle().watch("q").unwrap();
    queue.send("q", &1).unwrap();
    events.until_blocking(|event| event.happened == Happened::Stuck).unwrap();
    assert_eq!(telemetry.points("pgmq.worker.stuck"), [("messaging.destination.name=q".to_owned(), 1)]);
    drop(ends);
    worker.stop();
}
