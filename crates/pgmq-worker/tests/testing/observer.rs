//! The events that the observer of a worker sees.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgmq_core::ErrorKind;
use pgmq_worker::testing::{Op, World};
use pgmq_worker::{Happened, Job, Queue, Retry, WorkerEvent, WorkerObserver};

const SECOND: Duration = Duration::from_secs(1);

/// Writes the events down, apart from reads that bring nothing.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl WorkerObserver for Log {
    fn observe(&self, event: &WorkerEvent<'_>) {
        let line = match event {
            WorkerEvent::Read { got: 0, .. } => return,
            WorkerEvent::Read { queue, asked, got } => format!("{queue}: {got} of {asked} read"),
            WorkerEvent::Begun { message } => format!("{} begins", message.id()),
            WorkerEvent::Handled { message, took } => format!("{} took {took:?}", message.id()),
            WorkerEvent::Message(event) => match &event.happened {
                Happened::Retried { after, .. } => format!("{} is retried after {after:?}", event.msg_id),
                happened => format!("{} {happened:?}", event.msg_id),
            },
            WorkerEvent::Settled { messages, found, .. } => format!("{found} of {messages} settled"),
            WorkerEvent::Extended { leases, current, late, .. } => {
                format!("{current} of {leases} extended, {late:?} late")
            }
            WorkerEvent::CallFailed { call, kind, .. } => format!("{call} failed: {kind:?}"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn each_step_of_a_message_is_an_event() {
    let world = World::with_queues(["q"]);
    let log = Log::default();
    let clock = world.clone();
    let handler = move |job: Job<i32>| {
        let clock = clock.clone();
        async move {
            clock.sleep(SECOND * 2).await;
            if job.reads() == 1 { Err("not yet") } else { Ok(()) }
        }
    };
    let settings = Queue::new().concurrency(4).prefetch(0).retry(Retry::fixed(SECOND * 3));
    let building = world.worker().observer(log.clone()).queue("q", settings, handler);
    let _worker = building.start().await.unwrap();
    world.send("q", &1);
    world.pass(SECOND * 10).await;
    assert_eq!(
        log.take(),
        [
            "q: 1 of 4 read",
            "1 begins",
            "1 took 2s",
            "1 of 1 settled",
            "1 is retried after 3s",
            "q: 1 of 4 read",
            "1 begins",
            "1 took 2s",
            "1 of 1 settled",
            "1 Deleted",
        ]
    );
}

#[tokio::test]
async fn late_extensions_failures_and_lost_leases_are_events() {
    let world = World::with_queues(["q"]);
    let log = Log::default();
    let handler = async |job: Job<i32>| {
        job.cancelled().await;
    };
    let settings = Queue::new().vt(SECOND * 30);
    let building = world.worker().observer(log.clone()).queue("q", settings, handler);
    let worker = building.start().await.unwrap();
    let id = world.send("q", &1);
    world.pass(SECOND * 11).await;
    assert_eq!(log.take().last().unwrap(), "1 of 1 extended, 0ns late");

    world.fail(Op::Extend, ErrorKind::Connection);
    world.pass(SECOND * 12).await;
    let lines = log.take();
    assert!(lines.iter().all(|line| line == "extend failed: Some(Connection)"), "{lines:?}");
    world.recover();
    world.pass(SECOND * 3).await;
    let lines = log.take();
    let extended = lines.iter().find(|line| line.starts_with("1 of 1 extended")).unwrap();
    assert!(!extended.ends_with(" 0ns late"), "{extended}");

    assert!(world.take_away("q", id));
    world.pass(SECOND * 11).await;
    let lines = log.take();
    assert!(lines.contains(&"1 Lost".to_owned()), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("0 of 1 extended")), "{lines:?}");
    drop(worker);
}
