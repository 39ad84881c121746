//! Tests of this driver's special behaviour, which the conformance suite of all back ends does not cover.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod cancellation;
mod closing;
mod dropping;
mod hostile;
mod listening;
mod losses;
mod round_trips;
mod statements;
mod support;
