//! The helpers for tests of users.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod drain;
mod observer;
mod same_as_a_server;
mod support;
mod sync_world;
#[cfg(feature = "tower")]
mod tower;
mod watch;
mod weather;
mod world;
