//! The cases: the required behaviour of every back end.
//!
//! A case is an async function over [`AsyncQueue`](pgmq_core::AsyncQueue), or over a whole
//! [`Backend`](crate::Backend) if it is about connecting. Each file is a group, and begins with the table of
//! its cases. A case that runs [`everywhere`](crate::Runs::everywhere) runs on a pool, and on a connection
//! inside a transaction that is rolled back.
//!
//! With [`Poolers`](pgmq_test_server::Poolers), a case works through a pooler, and its helpers on the
//! [context](crate::TestContext) connect directly. Cases that are [`direct`](crate::Runs::direct) connect
//! directly, and so do sessions with [settings](crate::TestContext::url_with), which PgBouncer rejects or
//! ignores.
//!
//! Cases about [TLS](crate::Runs::tls) run if the variable `PGMQ_TEST_TLS` names the library that is compiled
//! in.

#![allow(
    clippy::extra_unused_type_parameters,
    reason = "the tables pass the back end to every case, and some cases run in a child process"
)]

pub(crate) mod browse;
pub(crate) mod cancellation;
pub(crate) mod claims;
pub(crate) mod concurrency;
pub(crate) mod connect;
pub(crate) mod connection_strings;
pub(crate) mod env;
pub(crate) mod errors;
pub(crate) mod finish;
pub(crate) mod hostile;
pub(crate) mod install;
pub(crate) mod listen;
pub(crate) mod malformed_rows;
pub(crate) mod notify;
pub(crate) mod observer;
pub(crate) mod pool;
pub(crate) mod pooler;
pub(crate) mod prepared;
pub(crate) mod queues;
pub(crate) mod read;
pub(crate) mod read_only;
pub(crate) mod round_trips;
pub(crate) mod send;
pub(crate) mod timeouts;
pub(crate) mod tls;
pub(crate) mod topics;
pub(crate) mod transactions;
pub(crate) mod undecoded;
