//! The statements of a worker that has nothing to do.

use std::thread;
use std::time::{Duration, Instant};

use pgmq_test_server::proxy::Direction;
use pgmq_worker::{Outcome, Queue};

use crate::bed::{Bed, wait_until};
use crate::shell::{End, Plan, Shell, twins};

const BACKSTOP: Duration = Duration::from_millis(500);

/// An idle worker issues one statement for each backstop at most.
fn count(shell: Shell, notifies: bool) {
    let bed = Bed::create();
    let mut queue = Queue::new();
    if notifies {
        bed.queue.enable_notify("q").unwrap();
        queue = queue.backstop(BACKSTOP).poll(Duration::from_millis(1));
    } else {
        queue = queue.poll(BACKSTOP).backstop(Duration::from_millis(1));
    }
    let plan = Plan { queue, ..Plan::new(End::Outcome(|_| Outcome::Done)) };
    let worker = shell.start(&bed.through_proxy(), &plan);
    bed.send(1..=10);
    bed.wait_until_empty();
    wait_until("the worker is idle", || worker.is_idle());
    // Without notifications, the pauses between looks are short at first.
    thread::sleep(4 * BACKSTOP);
    bed.proxy.reset();
    let begun = Instant::now();
    thread::sleep(6 * BACKSTOP);
    let flights = bed.proxy.flights();
    // One more, as the first and the last may be at the ends.
    let most = begun.elapsed().as_millis() / BACKSTOP.as_millis() + 1;
    let requests = flights.iter().filter(|flight| flight.direction == Direction::ToServer);
    let statements: Vec<_> =
        requests.map(|flight| String::from_utf8_lossy(&flight.bytes).into_owned()).collect();
    assert!(!statements.is_empty(), "the worker looks");
    assert!(statements.len() as u128 <= most, "{} instead of {most}: {statements:#?}", statements.len());
    assert!(worker.stop().is_clean());
}

twins! {
    an_idle_worker_that_listens_issues_one_statement_for_each_backstop => |shell| count(shell, true);
    an_idle_worker_without_notifications_issues_one_statement_for_each_poll => |shell| count(shell, false);
}
