//! Faults between a worker and its server, and in the database, on both shells.
//!
//! After each fault the books have to be right: no message is lost, and each effect that was written in the
//! transaction of `finish_in` is there once.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod away;
mod bed;
mod cuts;
mod database;
mod idle;
mod notifications;
mod shell;
mod stops;
