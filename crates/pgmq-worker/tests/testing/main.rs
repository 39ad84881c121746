//! The helpers for tests of users.

mod drain;
mod same_as_a_server;
mod support;
mod watch;
mod world;
