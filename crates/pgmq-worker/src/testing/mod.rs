//! Helpers for tests of handlers and of workers.
//!
//! | to test | use |
//! |---|---|
//! | one handler | [`perform`] |
//! | a worker with its retries, leases and stops, without a server and without waiting | [`World`] |
//! | handlers with their queries, in a transaction that is rolled back | [`drain`] |
//! | code that sends | [`assert_sent`] |
//! | a program as it runs | [`Handle::watch`](crate::Handle::watch) |
//!
//! The helpers for sync handlers have the same names, in [`sync::testing`](crate::sync::testing).

pub(crate) mod drain;
pub(crate) mod drained;
mod executor;
pub(crate) mod fate;
mod job;
pub(crate) mod memory;
pub(crate) mod perform;
pub(crate) mod report;
pub(crate) mod sent;
pub(crate) mod world;

pub use drain::{Drain, drain};
pub use fate::Fate;
pub use job::TestJob;
pub use memory::{MemoryListener, MemoryQueue, Op};
pub use perform::{Perform, Performed, perform, perform_batch};
pub use report::{DrainReport, DrainedMessage};
pub use sent::{assert_not_sent, assert_sent};
pub use world::World;
