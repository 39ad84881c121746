//! The provider of servers and databases.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod clean_up;
mod databases;
mod faults;
mod own_server;
mod poolers;
mod support;
