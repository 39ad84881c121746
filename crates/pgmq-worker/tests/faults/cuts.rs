//! Connections that are lost at each step of a worker, before the server has the request and after it has
//! done what was asked for.

use std::time::Duration;

use pgmq_test_server::proxy::Moment;
use pgmq_worker::{Meta, Outcome, Queue, Retry};

use crate::bed::{Bed, Books, wait_until};
use crate::shell::{End, Plan, Shell, Takes, twins};

const MESSAGES: u16 = 40;
/// The number of times that most steps fail.
const CUTS: usize = 3;

/// A step of a worker.
struct Step {
    /// A part of its statement, which no other statement of the trial has.
    statement: &'static str,
    /// The number of times that the step fails.
    cuts: usize,
    plan: Plan,
    /// The place where all messages are at the end.
    place: Place,
    /// The number of times that each handler runs; `None` if leases may run out, so that it may be more than
    /// once.
    runs: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Archive,
    DeadLetters,
    Next,
}

fn done() -> End {
    End::Outcome(|_| Outcome::Done)
}

fn is_first(meta: &Meta) -> bool {
    meta.reads() == 1
}

fn look(statement: &'static str) -> Step {
    // The messages of a claim whose answer is lost come again when their leases have run out.
    let plan = Plan { queue: Queue::new().vt(Duration::from_secs(1)), ..Plan::new(done()) };
    Step { statement, cuts: CUTS, plan, place: Place::Nowhere, runs: None }
}

fn claim() -> Step {
    look("pgmq.read(")
}

fn due() -> Step {
    look("clock_timestamp()")
}

fn settle(statement: &'static str, outcome: fn(&Meta) -> Outcome, place: Place) -> Step {
    Step { statement, cuts: CUTS, plan: Plan::new(End::Outcome(outcome)), place, runs: Some(1) }
}

fn delete() -> Step {
    settle("pgmq.delete(", |_| Outcome::Done, Place::Nowhere)
}

fn archive() -> Step {
    settle("pgmq.archive(", |_| Outcome::Archive, Place::Archive)
}

fn retry() -> Step {
    let outcome =
        |meta: &Meta| if is_first(meta) { Outcome::retry_after(Duration::ZERO) } else { Outcome::Done };
    // A worker that has read the messages again does not repeat the statement.
    Step { cuts: 1, runs: Some(2), ..settle("held.vt::integer", outcome, Place::Nowhere) }
}

fn dead_letter() -> Step {
    settle("pgmq.send_batch(", |_| Outcome::dead_letter("no"), Place::DeadLetters)
}

fn resend() -> Step {
    // A message that was sent again counts as never read, but its attempts are counted.
    let outcome = |meta: &Meta| {
        if meta.headers().is_empty() { Outcome::snooze(Duration::ZERO) } else { Outcome::Done }
    };
    let mut step = settle("pgmq.send_batch(", outcome, Place::Nowhere);
    step.plan.queue = Queue::new().exact_attempts();
    Step { runs: Some(2), ..step }
}

fn forward() -> Step {
    let outcome = |meta: &Meta| Outcome::forward("next", meta.raw());
    settle("pgmq.send(", outcome, Place::Next)
}

fn beat() -> Step {
    let queue = Queue::new().vt(Duration::from_secs(3)).concurrency(MESSAGES.into());
    let plan = Plan { queue, takes: Takes::For(Duration::from_secs(2)), ..Plan::new(done()) };
    Step { statement: "AS ids FROM held HAVING", cuts: CUTS, plan, place: Place::Nowhere, runs: None }
}

fn finish(statement: &'static str) -> Step {
    // A transaction that has failed is retried.
    let queue = Queue::new().retry(Retry::fixed(Duration::ZERO));
    let plan = Plan { queue, ..Plan::new(End::FinishIn) };
    Step { statement, cuts: CUTS, plan, place: Place::Nowhere, runs: None }
}

fn finish_in() -> Step {
    finish("msg_id=>$2::bigint)")
}

fn commit() -> Step {
    finish("COMMIT")
}

/// Loses connections at a step, and closes the books.
fn run(shell: Shell, moment: Moment, step: &Step) {
    let bed = Bed::create();
    let sent: Vec<_> = (1..=i64::from(MESSAGES)).collect();
    bed.proxy.cut_at(step.statement, moment, step.cuts);
    let worker = shell.start(&bed.through_proxy(), &step.plan);
    bed.send(sent.iter().copied());
    wait_until("the connections are cut", || bed.proxy.cuts() == step.cuts);
    bed.wait_until_empty();
    let log = std::sync::Arc::clone(&worker.log);
    let report = worker.stop();
    assert!(report.is_clean(), "{report:?}");

    let all_in = |place| if step.place == place { sent.clone() } else { Vec::new() };
    let in_transaction = matches!(step.plan.end, End::FinishIn);
    let expected = Books {
        queue: Vec::new(),
        archive: all_in(Place::Archive),
        dead: all_in(Place::DeadLetters),
        next: all_in(Place::Next),
        effects: if in_transaction { sent.clone() } else { Vec::new() },
    };
    assert_eq!(bed.books(), expected);
    let mut begun = log.begun();
    match step.runs {
        Some(runs) => {
            let expected: Vec<_> =
                sent.iter().flat_map(|number| std::iter::repeat_n(*number, runs)).collect();
            assert_eq!(begun, expected);
        }
        None => {
            begun.dedup();
            assert_eq!(begun, sent);
        }
    }
}

/// Writes the tests of steps, for each moment and each shell.
macro_rules! steps {
    ($($step:ident)*) => {
        $(mod $step {
            use super::*;
            twins! {
                before => |shell| run(shell, Moment::Before, &super::super::$step());
                after => |shell| run(shell, Moment::After, &super::super::$step());
            }
        })*
    };
}

steps! { claim due delete archive retry dead_letter resend forward beat finish_in commit }
