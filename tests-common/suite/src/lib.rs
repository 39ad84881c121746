//! The conformance suite of the PGMQ clients, and fault injection: written once, run against every back end.
//!
//! - `kit` contains the interface between the suite and a back end, the context of a case, and the harness.
//! - `conformance` contains the cases, in a file per group.
//! - `faults` checks that no message is lost when servers crash and networks break.
//! - `secrets` looks for passwords in what a client shows of connection strings.
//! - `suite` lists the groups and runs them.
//!
//! A back end runs the suite from a test without the standard harness:
//!
//! ```text
//! struct Tokio;
//!
//! pgmq_test_suite::client!(async pgmq_tokio for Tokio);
//!
//! impl Backend for Tokio { /* the operations that differ by driver */ }
//!
//! fn main() -> std::process::ExitCode {
//!     pgmq_test_suite::run::<Tokio>()
//! }
//! ```
//!
//! See `tests-common/README.md` for how to find, run and add a case.
//!
//! This crate is for the tests of this workspace only and is not published. It needs a Unix system.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test panics")]
#![allow(clippy::missing_errors_doc, reason = "every error is a failed case")]

mod conformance;
#[cfg(any(test, doctest))]
mod docs;
pub mod faults;
mod kit;
pub mod secrets;
mod suite;
#[cfg(test)]
mod versions;

pub use self::{
    kit::{
        backend::{Backend, Builder, Client, Listener, Pooled, Step, UserError},
        blocking::{Blocking, poll_once},
        case::{CaseInfo, QueueCase, Runs},
        context::{BackgroundStatements, QUEUE, QueueUnderTest, TestContext},
        failure::{Failure, Outcome},
        runtime::{Runtime, Task, Threads, TokioRuntime},
    },
    suite::{cases, run},
};
