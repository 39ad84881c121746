//! Stops with each kind of handler in each state of the database: they end within their limits, and report
//! what is left.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pgmq_test_server::proxy::{Direction, Flight};
use pgmq_worker::{CancelReason, Outcome, Queue, StopReport};

use crate::bed::{Bed, wait_until};
use crate::shell::{End, Plan, Shell, Takes, twins};

const DRAIN: Duration = Duration::from_millis(600);
const GRACE: Duration = Duration::from_millis(200);
const FLUSH: Duration = Duration::from_millis(600);
/// The time that a stop may take longer than its limits, on a machine that is busy.
const SLACK: Duration = Duration::from_secs(6);

/// The handler of the message that runs when the worker stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handler {
    /// Has ended before the stop, as has that of the second message.
    Quick,
    /// Ends while the worker drains.
    Slow,
    /// Does not end, whatever happens.
    Deaf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    Up,
    /// Does not answer.
    Stalled,
    /// Refuses connections, and has closed those that were open.
    Down,
}

impl Server {
    /// Brings the server into this state.
    fn reach(self, bed: &Bed) {
        match self {
            Self::Up => {}
            Self::Stalled => bed.proxy.freeze(),
            Self::Down => bed.proxy.shut(),
        }
    }
}

/// Stops a worker that runs message 1 and has read message 2.
fn stop(shell: Shell, handler: Handler, server: Server) {
    let bed = Bed::create();
    let (gate, is_closed) = async_channel::bounded(1);
    let plan = Plan {
        queue: Queue::new().concurrency(1),
        takes: Takes::Until(is_closed),
        drain: DRAIN,
        grace: GRACE,
        flush: FLUSH,
        ..Plan::new(End::Outcome(|_| Outcome::Done))
    };
    let worker = shell.start(&bed.through_proxy(), &plan);
    let ids = bed.send([1, 2]);
    wait_until("one message runs, and one waits", || {
        let health = worker.health();
        (health.running, health.waiting, worker.log.begun().len()) == (1, 1, 1)
    });
    server.reach(&bed);
    match handler {
        Handler::Quick => {
            gate.close();
            wait_until("both handlers have ended", || worker.log.ended().len() == 2);
        }
        Handler::Slow => {
            let gate = gate.clone();
            thread::spawn(move || {
                thread::sleep(DRAIN / 3);
                gate.close()
            });
        }
        Handler::Deaf => {}
    }
    let (handle, begun) = (worker.handle.clone(), Instant::now());
    let report = worker.stop();
    let took = begun.elapsed();
    assert!(took < DRAIN + GRACE + FLUSH + SLACK, "it took {took:?}");
    assert!(!handle.health()[0].is_running);

    let named = |ids: &[i64]| -> Vec<_> { ids.iter().map(|id| ("q".to_owned(), *id)).collect() };
    let StopReport { running, mut unsettled, .. } = report;
    unsettled.sort();
    // A thread cannot be stopped, so it is left behind.
    let is_left = handler == Handler::Deaf && shell == Shell::Sync;
    assert_eq!(running, if is_left { named(&ids[..1]) } else { Vec::new() });
    let in_doubt = match (server, is_left) {
        (Server::Up, _) => &ids[..0],
        (_, true) => &ids[1..],
        (_, false) => &ids[..],
    };
    assert_eq!(unsettled, named(in_doubt));

    bed.proxy.thaw();
    bed.proxy.reopen();
    let mut visible = bed.queue.peek::<i64>("q", 10).unwrap();
    visible.retain(|message| message.read_ct == 1);
    let visible: Vec<_> = visible.iter().map(|message| message.message).collect();
    let books = bed.books();
    assert!([books.archive, books.dead, books.next, books.effects].iter().all(Vec::is_empty));
    match (server, handler) {
        (Server::Up, Handler::Quick) => assert!(books.queue.is_empty()),
        (Server::Up, Handler::Slow) => assert_eq!((books.queue, visible), (vec![2], vec![2])),
        (Server::Up, Handler::Deaf) => {
            let released = if is_left { vec![2] } else { vec![1, 2] };
            assert_eq!((books.queue, visible), (vec![1, 2], released));
        }
        // A statement that was held back may still delete what was done.
        (_, Handler::Quick) => {}
        (_, Handler::Slow) => assert!(books.queue.contains(&2)),
        (_, Handler::Deaf) => assert_eq!(books.queue, [1, 2]),
    }
    gate.close();
}

/// A worker that is dropped releases its messages, as far as their handlers can be stopped.
fn drop_a_worker(shell: Shell) {
    let bed = Bed::create();
    let plan = Plan {
        queue: Queue::new().concurrency(1),
        takes: Takes::UntilCancelled,
        ..Plan::new(End::Outcome(|_| Outcome::retry_after(Duration::ZERO)))
    };
    let worker = shell.start(&bed.through_proxy(), &plan);
    bed.send([1, 2]);
    wait_until("one message runs, and one waits", || {
        let health = worker.health();
        (health.running, health.waiting, worker.log.begun().len()) == (1, 1, 1)
    });
    let (handle, _runtime) = worker.drop_worker();
    assert!(!handle.health()[0].is_running);
    let visible = || -> Vec<_> {
        bed.queue.peek::<i64>("q", 10).unwrap().iter().map(|message| message.message).collect()
    };
    match shell {
        Shell::Async => wait_until("both are released", || visible() == [1, 2]),
        // The thread of the other handler is left behind.
        Shell::Sync => wait_until("what has not begun is released", || visible().contains(&2)),
    }
}

macro_rules! stops {
    ($($name:ident: $handler:ident $server:ident;)*) => {
        mod matrix {
            use super::*;
            twins! { $($name => |shell| stop(shell, Handler::$handler, Server::$server);)* }
        }
    };
}

/// The answer to a claim comes after the stop has begun.
fn stop_amid_a_claim(shell: Shell) {
    let bed = Bed::create();
    bed.queue.enable_notify("q").unwrap();
    let queue = Queue::new().backstop(Duration::from_secs(3600));
    let plan = Plan { queue, ..Plan::new(End::Outcome(|_| Outcome::Done)) };
    let worker = shell.start(&bed.through_proxy(), &plan);
    let text = |flight: &Flight| String::from_utf8_lossy(&flight.bytes).into_owned();
    let has_looked =
        |flights: &[Flight]| flights.iter().any(|flight| text(flight).contains("clock_timestamp()"));
    wait_until("the worker has looked, and waits", || {
        let flights = bed.proxy.flights();
        has_looked(&flights) && flights.last().is_some_and(|last| last.direction == Direction::ToClient)
    });
    bed.proxy.freeze();
    worker.handle.wake("q");
    let is_claim = |last: &Flight| last.direction == Direction::ToServer && text(last).contains("pgmq.read(");
    wait_until("a claim is in flight", || bed.proxy.flights().last().is_some_and(is_claim));
    bed.send(1..=5);
    worker.handle.stop();
    bed.proxy.thaw();
    let log = Arc::clone(&worker.log);
    assert!(worker.stop().is_clean());
    assert!(log.begun().is_empty(), "nothing begins after the stop");
    let released = bed.queue.peek::<i64>("q", 10).unwrap();
    assert_eq!(released.len(), 5, "the messages of the claim are released");
}

/// A stop that waits for a handler is followed by one that does not.
fn stop_now(shell: Shell) {
    let bed = Bed::create();
    let plan = Plan {
        takes: Takes::UntilCancelled,
        // Longer than the limit of a test.
        drain: Duration::from_secs(3600),
        ..Plan::new(End::Outcome(|job| if job.reads() == 1 { Outcome::retry() } else { Outcome::Done }))
    };
    let worker = shell.start(&bed.through_proxy(), &plan);
    bed.send([1]);
    wait_until("the message runs", || worker.log.begun().len() == 1);
    worker.handle.stop();
    worker.handle.stop_now();
    // Later stops cannot make the limit longer.
    worker.handle.stop();
    let log = Arc::clone(&worker.log);
    assert!(worker.stop().is_clean());
    assert_eq!(log.ended(), [(1, Some(CancelReason::Shutdown))]);
    assert_eq!(bed.books().queue, [1]);
}

twins! {
    a_claim_that_is_answered_late_is_released => stop_amid_a_claim;
    a_worker_that_is_dropped_releases_its_messages => drop_a_worker;
    a_stop_now_cancels_what_a_stop_waits_for => stop_now;
}

stops! {
    a_quick_handler_and_a_server_that_answers: Quick Up;
    a_quick_handler_and_a_server_that_is_stalled: Quick Stalled;
    a_quick_handler_and_a_server_that_is_down: Quick Down;
    a_slow_handler_and_a_server_that_answers: Slow Up;
    a_slow_handler_and_a_server_that_is_stalled: Slow Stalled;
    a_slow_handler_and_a_server_that_is_down: Slow Down;
    a_deaf_handler_and_a_server_that_answers: Deaf Up;
    a_deaf_handler_and_a_server_that_is_stalled: Deaf Stalled;
    a_deaf_handler_and_a_server_that_is_down: Deaf Down;
}
