//! What the tests of the PGMQ clients share.
//!
//! - [`conformance`] is what every back end has to do, written once.
//! - [`faults`] is what has to hold for each of them when servers crash and networks break.
//! - [`server`] finds or starts a Postgres and hands out databases with PGMQ in them.
//! - [`proxy`] stands between a client and a server and records what goes over the wire.
//!
//! This crate is for the tests of this workspace only and is not published. It needs a Unix system.

pub mod conformance;
#[cfg(any(test, doctest))]
mod docs;
pub mod faults;
pub mod proxy;
pub mod server;
