//! The sync worker on a real server, over `pgmq-postgres`: the twin of the tests of the async worker.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod basics;
mod letters;
mod limits;
mod stops;
mod support;
