//! The tests that are specific to this driver, and not in the suite that all back ends run.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod composed;
mod round_trips;
mod statements;
mod support;
mod transactions;
