//! Whole sync workers in a world whose clock is turned.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use pgmq_core::{ErrorKind, SendOptions};
use pgmq_worker::sync::testing::World;
use pgmq_worker::sync::{Batch, Job};
use pgmq_worker::testing::Op;
use pgmq_worker::{Failure, Outcome, Queue, Retry};

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

#[test]
fn a_retry_comes_at_its_time_and_not_before() {
    let world = World::with_queues(["q"]);
    let log = Log::default();
    let (clock, logged) = (world.clone(), log.clone());
    let handler = move |job: &Job<i32>| {
        logged.add(format!("read {} at {}", job.reads(), clock.passed().as_secs()));
        if job.reads() < 4 { Err("not yet") } else { Ok(()) }
    };
    let _worker = world.worker().queue("q", Queue::new(), handler).start().unwrap();
    world.send("q", &1);
    world.pass(Duration::ZERO);
    assert_eq!(log.take(), ["read 1 at 0"]);
    world.pass(SECOND * 4);
    assert_eq!(log.take(), [""; 0]);
    world.pass(MINUTE);
    assert_eq!(log.take(), ["read 2 at 5", "read 3 at 15", "read 4 at 35"]);
    assert_eq!(world.queue_length("q"), 0);
}

#[test]
fn a_message_that_always_fails_is_a_dead_letter_after_its_reads() {
    let world = World::with_queues(["q"]);
    let handler = |_: &Job<i32>| Err::<(), _>("the disk is full");
    let _worker = world.worker().queue("q", Queue::new().max_reads(3), handler).start().unwrap();
    world.send_with("q", &7, &SendOptions::new().delay(MINUTE));
    world.pass(MINUTE + SECOND * 14);
    assert_eq!((world.queue_length("q"), world.dead_letters("q").len()), (1, 0));
    world.pass(SECOND);
    assert_eq!((world.queue_length("q"), world.dead_letters("q").len()), (0, 1));
}

#[test]
fn handlers_sleep_by_the_clock_of_the_world_side_by_side() {
    let world = World::with_queues(["q"]);
    let log = Log::default();
    let (clock, logged) = (world.clone(), log.clone());
    let handler = move |job: &Job<u64>| -> Result<(), Failure> {
        job.sleep(SECOND * u32::try_from(**job).unwrap())?;
        logged.add(format!("{} at {}", **job, clock.passed().as_secs()));
        Ok(())
    };
    let settings = Queue::new().concurrency(3);
    let _worker = world.worker().queue("q", settings, handler).start().unwrap();
    for seconds in [3000, 100, 2000, 1000] {
        world.send("q", &seconds);
    }
    world.pass(SECOND * 3000);
    assert_eq!(log.take(), ["100 at 100", "1000 at 1100", "2000 at 2000", "3000 at 3000"]);
    assert_eq!(world.queue_length("q"), 0);
}

#[test]
fn a_settlement_that_fails_is_repeated_and_the_handler_is_not() {
    for is_lost in [false, true] {
        let world = World::with_queues(["q"]);
        let log = Log::default();
        let logged = log.clone();
        let handler = move |job: &Job<i32>| logged.add(format!("{}", **job));
        let _worker = world.worker().queue("q", Queue::new(), handler).start().unwrap();
        match is_lost {
            true => world.lose_next(Op::Settle),
            false => world.fail_next(Op::Settle, ErrorKind::Connection),
        }
        world.send("q", &5);
        world.pass(Duration::ZERO);
        assert_eq!(world.queue_length("q"), usize::from(!is_lost));
        world.pass(MINUTE * 5);
        assert_eq!(log.take(), ["5"], "the handler ran once");
        assert_eq!((world.queue_length("q"), world.dead_letters("q").len()), (0, 0));
    }
}

#[test]
fn a_lease_that_another_worker_takes_cancels_the_handler() {
    let world = World::with_queues(["q"]);
    let log = Log::default();
    let (clock, logged) = (world.clone(), log.clone());
    let handler = move |job: &Job<i32>| {
        let why = job.wait_cancelled(SECOND * 20);
        logged.add(format!("read {} at {}: {why:?}", job.reads(), clock.passed().as_secs()));
        Outcome::Archive
    };
    let _worker = world.worker().queue("q", Queue::new(), handler).start().unwrap();
    let id = world.send("q", &1);
    world.pass(SECOND);
    assert!(world.take_away("q", id));
    world.pass(SECOND * 11);
    assert_eq!(log.take(), ["read 1 at 10: Some(LeaseLost)"]);
    world.pass(MINUTE);
    assert_eq!(world.archived("q").len(), 1, "the first handler has finished the message all the same");
}

#[test]
fn a_stop_drains_by_the_clock_of_the_world_and_cancels_the_rest() {
    let world = World::with_queues(["q"]);
    let log = Log::default();
    let (clock, logged) = (world.clone(), log.clone());
    let handler = move |job: &Job<u32>| -> Result<(), Failure> {
        let slept = job.sleep(SECOND * **job);
        logged.add(format!("{} at {}", **job, clock.passed().as_secs()));
        Ok(slept?)
    };
    let worker = world.worker().queue("q", Queue::new().concurrency(3), handler).start().unwrap();
    let mut watch = worker.handle().watch("q").unwrap().limit(MINUTE * 60);
    let (quick, slow) = (world.send("q", &15), world.send("q", &3600));
    world.pass(SECOND * 10);
    let report = world.run(|| worker.stop());
    assert!(report.is_clean(), "{report}");
    assert_eq!(log.take(), ["15 at 15", "3600 at 30"]);
    assert_eq!(world.passed(), SECOND * 30, "10 s before the stop, and 20 s to drain");
    assert!(watch.until_blocking(|event| event.is_done_for(quick)).is_ok());
    let left = world.messages("q");
    assert_eq!((left[0].msg_id, left[0].read_ct, left.len()), (slow, 1, 1));
    assert!(left[0].vt <= left[0].enqueued_at + SECOND * 30, "it is released");
}

#[test]
fn a_handler_that_blocks_elsewhere_is_waited_for() {
    let world = World::with_queues(["q"]);
    let handler = |_: &Job<i32>| thread::sleep(Duration::from_millis(30));
    let settings = Queue::new().timeout(Duration::from_millis(1)).retry(Retry::none());
    let _worker = world.worker().queue("q", settings, handler).start().unwrap();
    world.send("q", &1);
    world.pass(MINUTE);
    assert_eq!((world.queue_length("q"), world.dead_letters("q").len()), (0, 0));
}

#[test]
#[should_panic(expected = "a handler has neither ended nor waited for the world within 20ms of real time")]
fn a_handler_that_blocks_for_ever_is_a_panic_of_the_test() {
    let world = World::with_queues(["q"]).patience(Duration::from_millis(20));
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = Mutex::new(receiver);
    let handler = move |_: &Job<i32>| {
        let _ = receiver.lock().unwrap().recv();
    };
    let worker = world.worker().queue("q", Queue::new(), handler).start().unwrap();
    world.send("q", &1);
    let passing = world.clone();
    let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| passing.pass(SECOND)));
    drop((sender, worker));
    passed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn batches_are_filled_and_a_failing_read_is_repeated() {
    let world = World::with_queues(["q"]);
    let log = Log::default();
    let logged = log.clone();
    let handler = move |batch: &Batch<i32>| logged.add(format!("{}", batch.len()));
    let settings = Queue::new().concurrency(1).batch(10);
    let _worker = world.worker().queue("q", settings, handler).start().unwrap();
    world.fail_next(Op::Read, ErrorKind::Connection);
    for number in 0..40 {
        world.send("q", &number);
    }
    world.pass(MINUTE);
    assert_eq!(log.take(), ["10"; 4]);
}

#[test]
fn a_handler_must_not_let_the_world_pass() {
    let world = World::with_queues(["q"]);
    let inner = world.clone();
    let handler = move |_: &Job<i32>| inner.pass(SECOND);
    let _worker = world.worker().queue("q", Queue::new().max_reads(1), handler).start().unwrap();
    world.send("q", &1);
    world.pass(SECOND);
    let headers = world.dead_letters("q")[0].headers.clone().unwrap();
    assert!(headers.get().contains("only the test may let it pass"), "{headers}");
}

#[test]
fn the_result_and_the_panic_of_a_function_are_those_of_the_run() {
    let world = World::with_queues(["q"]);
    let worker = world.worker().queue("q", Queue::new(), |_: &Job<i32>| ()).start().unwrap();
    let mut watch = worker.handle().watch("q").unwrap().limit(MINUTE);
    let id = world.send_with("q", &1, &SendOptions::new().delay(SECOND * 50));
    let event = world.run(|| watch.until_blocking(|event| event.is_done_for(id)));
    assert_eq!((event.unwrap().reads, world.passed()), (1, SECOND * 50));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run(|| panic!("broken"))));
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"broken"));
    assert!(world.run(|| worker.stop()).is_clean());
}
