//! The async worker on a real server, over `pgmq-tokio`.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod basics;
mod blocking;
mod limits;
mod stops;
mod support;
#[cfg(feature = "tower")]
mod tower;
