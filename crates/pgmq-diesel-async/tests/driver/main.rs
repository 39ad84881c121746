//! Tests of the behaviour that is specific to this driver, and not part of the suite that all back ends run.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod cancellation;
mod composed;
mod ended;
mod fake_server;
mod listener;
mod round_trips;
mod runtimes;
mod statements;
mod support;
mod tls;
mod transactions;
mod unanswered;
