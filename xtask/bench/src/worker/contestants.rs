//! Everything that is measured.

use crate::worker::contestant::{Contestant, Unit, rate, time};
use crate::worker::{asynchronous, blocking, latency, telemetry};

/// All contestants.
pub(super) fn contestants() -> Vec<Contestant> {
    let loops = "`read_batch(100)` and `delete_batch(100)`, one after the other";
    let two = "two such loops";
    let worker = "a worker whose handler does nothing, with this concurrency";
    let by_hand = "16 tasks or threads, each reads a message and deletes it in a transaction with an insert";
    let finish = "a worker with concurrency 16 whose handlers insert, and call `finish_in`";
    #[cfg_attr(not(feature = "peers"), allow(unused_mut, reason = "nothing is added"))]
    let mut all = vec![
        rate("tokio-loop", loops, asynchronous::tokio_loops::<1>),
        rate("tokio-2-loops", two, asynchronous::tokio_loops::<2>),
        rate("tokio-16", worker, asynchronous::tokio_worker::<16>),
        rate("tokio-100", worker, asynchronous::tokio_worker::<100>),
        rate("tokio-1000", worker, asynchronous::tokio_worker::<1000>),
        rate("tokio-1-connection", "concurrency 100 on a pool of one", asynchronous::tokio_on_one_connection),
        rate("tokio-loop-otel", "the loop with spans, metrics and trace contexts", telemetry::looped),
        rate("tokio-100-otel", "the worker with spans, metrics and trace contexts", telemetry::worker),
        rate("tokio-beats", "handlers that take 2 s, with a `vt` of 1 s", asynchronous::tokio_slow::<1>),
        rate("tokio-no-beats", "the same with a `vt` of 60 s", asynchronous::tokio_slow::<60>),
        rate("tokio-transactions", by_hand, asynchronous::tokio_transactions),
        rate("tokio-finish", finish, asynchronous::tokio_finish),
        rate("sqlx-loop", loops, asynchronous::sqlx_loops::<1>),
        rate("sqlx-2-loops", two, asynchronous::sqlx_loops::<2>),
        rate("sqlx-100", worker, asynchronous::sqlx_worker::<100>),
        rate("postgres-loop", loops, blocking::loops::<1>),
        rate("postgres-2-loops", two, blocking::loops::<2>),
        rate("postgres-16", worker, blocking::worker::<16>),
        rate("postgres-100", worker, blocking::worker::<100>),
        rate("postgres-transactions", by_hand, blocking::transactions),
        rate("postgres-finish", finish, blocking::finish),
        time("tokio-latency", "from a send to the handler of an idle worker, p50", latency::of_the_worker),
        time("tokio-listen-and-read", "from a send to the message, by hand, p50", latency::by_hand),
        time("tokio-due", "from the end of a delay to the handler, p99", latency::of_delays),
        time("tokio-bury", "`move_batch` of 100 messages, p50", latency::of_moves),
        time("tokio-read", "`read_batch` of 100 messages, p50", latency::of_reads),
        Contestant {
            name: "tokio-idle",
            about: "statements of an idle worker, for each backstop",
            unit: Unit::Statements,
            measure: latency::idle_statements,
        },
    ];
    #[cfg(feature = "peers")]
    all.extend(crate::worker::peers::contestants());
    all
}
