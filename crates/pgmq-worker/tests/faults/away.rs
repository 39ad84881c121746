//! A server that is away for a while.

use std::time::Duration;

use pgmq_test_server::proxy::Proxy;
use pgmq_worker::{CancelReason, Outcome, Queue};

use crate::bed::{Bed, wait_until};
use crate::shell::{End, Plan, Shell, Takes, twins};

/// A way to be away, and to come back.
type Absence = (fn(&Proxy), fn(&Proxy));

const DOWN: Absence = (Proxy::shut, Proxy::reopen);
const STALLED: Absence = (Proxy::freeze, Proxy::thaw);
/// The connections are lost without a word, and new ones work.
const SWALLOWED: Absence = (|proxy| proxy.swallow().unwrap(), |_| ());

/// Handlers end while the server is away: each runs once, and its message is deleted afterwards.
fn acknowledgements_are_kept(shell: Shell, (leave, come_back): Absence) {
    let bed = Bed::create();
    let (gate, is_closed) = async_channel::bounded(1);
    let plan = Plan {
        queue: Queue::new().concurrency(8),
        takes: Takes::Until(is_closed),
        ..Plan::new(End::Outcome(|_| Outcome::Done))
    };
    bed.send(1..=8);
    let worker = shell.start(&bed.through_proxy(), &plan);
    wait_until("all handlers run", || worker.log.begun().len() == 8);
    leave(&bed.proxy);
    gate.close();
    wait_until("all handlers have ended", || worker.health().unsettled == 8);
    bed.send(9..=16);
    assert_eq!(bed.length("q"), 16);
    come_back(&bed.proxy);
    bed.wait_until_empty();
    wait_until("the worker is idle", || worker.is_idle());
    let log = std::sync::Arc::clone(&worker.log);
    assert!(worker.stop().is_clean());
    assert_eq!(log.begun(), Vec::from_iter(1..=16), "each ran once");
    bed.proxy.close_swallowed();
}

/// Leases run out while the server is away: the handlers are cancelled, their retries touch nothing, and the
/// messages come again.
fn leases_run_out(shell: Shell, (leave, come_back): Absence) {
    let bed = Bed::create();
    let outcome = |meta: &pgmq_worker::Meta| match meta.reads() {
        1 => Outcome::retry_after(Duration::from_secs(3600)),
        _ => Outcome::Done,
    };
    let plan = Plan {
        queue: Queue::new().concurrency(4).vt(Duration::from_secs(1)),
        takes: Takes::UntilCancelled,
        ..Plan::new(End::Outcome(outcome))
    };
    bed.send(1..=4);
    let worker = shell.start(&bed.through_proxy(), &plan);
    wait_until("all handlers run", || worker.log.begun().len() == 4);
    leave(&bed.proxy);
    wait_until("all handlers are cancelled", || worker.log.ended().len() == 4);
    assert!(worker.log.ended().iter().all(|(_, reason)| *reason == Some(CancelReason::LeaseLost)));
    come_back(&bed.proxy);
    bed.wait_until_empty();
    assert!(worker.stop().is_clean());
    let books = bed.books();
    assert_eq!((books.dead, books.archive), (Vec::new(), Vec::new()));
}

/// Messages are sent while the listener has no connection, and nothing but the listener wakes the worker.
fn a_listener_that_is_back_looks(shell: Shell) {
    let bed = Bed::create();
    bed.queue.enable_notify("q").unwrap();
    let queue = Queue::new().backstop(Duration::from_secs(3600));
    let worker =
        shell.start(&bed.through_proxy(), &Plan { queue, ..Plan::new(End::Outcome(|_| Outcome::Done)) });
    for number in [1, 2] {
        bed.send([number]);
        bed.wait_until_empty();
    }
    wait_until("the worker is idle", || worker.is_idle());
    bed.proxy.shut();
    bed.send([3]);
    bed.proxy.reopen();
    bed.wait_until_empty();
    // Notifications come again.
    bed.send([4]);
    bed.wait_until_empty();
    assert!(worker.stop().is_clean());
}

twins! {
    a_listener_that_has_lost_its_connection_looks_when_it_is_back => a_listener_that_is_back_looks;
    acknowledgements_are_kept_while_the_server_is_down => |shell| acknowledgements_are_kept(shell, DOWN);
    acknowledgements_are_kept_while_the_server_is_stalled => |shell| acknowledgements_are_kept(shell, STALLED);
    acknowledgements_are_repeated_on_other_connections => |shell| acknowledgements_are_kept(shell, SWALLOWED);
    leases_run_out_while_the_server_is_down => |shell| leases_run_out(shell, DOWN);
    leases_run_out_while_the_server_is_stalled => |shell| leases_run_out(shell, STALLED);
}
