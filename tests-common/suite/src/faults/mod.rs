//! Fault injection: no message is lost, and the client recovers, when servers crash and networks break.
//!
//! Each fault has an experiment. Producers and consumers work on a queue and a listener waits for
//! notifications, while the fault is injected repeatedly. A ledger records what was confirmed to them and
//! what was left in doubt. At the end it shows:
//!
//! - No confirmed message is lost: it was read, or is still there. A pop whose answer was lost may have lost
//!   its message.
//! - No message exists twice: none was sent more than once, and none was read by two consumers.
//! - Every error is a lost connection or a timeout, or the server's report of the fault.
//! - Every worker succeeds again soon after each injection, and the listener is notified again, on the same
//!   queue.
//! - No resource leaks: connections, tasks, threads, open files, memory.
//!
//! An experiment runs in a child process, so that only its own threads are counted, and on its own server. An
//! ordinary run injects each fault a few times. With `PGMQ_TEST_FAULTS` set, only the experiments run, at
//! full length, and print their reports.

pub(crate) mod catalog;
pub(crate) mod child;
pub(crate) mod experiment;
pub(crate) mod fault;
pub(crate) mod inject;
pub(crate) mod ledger;
pub(crate) mod report;
pub(crate) mod snapshot;
pub(crate) mod test_bed;
pub(crate) mod workload;

pub use self::report::{Report, parse};
