//! What is special about this driver, and is not in the suite that all back ends run.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cancellation;
mod ended;
mod other_manager;
mod round_trips;
mod support;
