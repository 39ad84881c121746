//! The servers, databases and poolers that this crate provides.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod clean_up;
mod databases;
mod faults;
mod own_server;
mod poolers;
mod support;
